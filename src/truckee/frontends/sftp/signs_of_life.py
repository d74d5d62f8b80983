"""What a client hears while it waits for something long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.flow.timer import Timer

_EVERY = 5.0  # seconds


@define(eq=False)
class SignsOfLife:
    """Gives them while anybody waits."""

    _give: Callable[[], None]
    _clock: IReactorTime
    _waiting: int = field(default=0, init=False)
    _next: Timer = field(factory=Timer, init=False, repr=False)

    @contextmanager
    def given(self) -> Iterator[None]:
        """Give them as long as this lasts."""
        self._waiting += 1
        if not self._next.running:
            self._next.start(self._clock.callLater, _EVERY, self._beat)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._next.cancel()

    def _beat(self) -> None:
        self._next.start(self._clock.callLater, _EVERY, self._beat)
        self._give()
