"""What leaves on a connection, and who waits until it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from truckee.flow.fair import Debt
from truckee.flow.timer import CallLater, Timer


@implementer(IPushProducer)
@define(eq=False)
class Output:
    """
    The transport's one producer, for the producers of one response after the other.

    A client that takes nothing for *stalled* seconds is given up.
    """

    _call_later: CallLater
    _stalled: float
    _give_up: Callable[[], None]
    _flushed: Callable[[], None]  # the transport takes more again
    _debt: Debt
    blocked: bool = field(default=False, init=False)
    _producer: Any = field(default=None, init=False)
    _timer: Timer = field(factory=Timer, init=False)

    def set_producer(self, producer: Any) -> None:
        """Let *producer*, a push producer or None, hear when to stop and go."""
        self._producer = producer
        if producer is not None and self.blocked:
            producer.pauseProducing()

    def end(self) -> None:
        """Wait for nothing any more."""
        self._producer = None
        self._timer.cancel()

    # From the transport

    def pauseProducing(self) -> None:
        """What is written stays in memory for now."""
        self.blocked = True
        self._debt.wait()
        self._timer.start(self._call_later, self._stalled, self._give_up)
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """All that was written has left."""
        self.blocked = False
        self._debt.clear()
        self._timer.cancel()
        if self._producer is not None:
            self._producer.resumeProducing()
        self._flushed()

    def stopProducing(self) -> None:
        """The transport is gone; the channel hears of it too."""
