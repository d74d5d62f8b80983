"""For how long a gateway waits for its helper."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.flow.timer import Timer
from truckee.helper.errors import HelperSilent
from truckee.helper.gateway.connection import NoHelper


@frozen
class HelperPatience:
    """Seconds that a gateway waits for its helper."""

    absent: float = 600.0  # without a connection, or with such as bring nothing
    silent: float = 300.0  # without any sign of progress while it is connected
    again: float = 1.0  # after it was asked for an upload, before it is asked again


@define(eq=False)
class Watch:
    """
    Gives a helper up that is not there, or is there and does nothing.

    ``start`` it, call ``sign`` whenever the helper shows that it works, ``stop`` it.
    """

    _patience: HelperPatience
    _clock: IReactorTime
    _is_absent: Callable[[], bool]
    _is_awaited: Callable[[], bool]  # it need not say anything while the client is slow
    _give_up: Callable[[Exception], None]
    # Seconds since the last sign, without and with a connection.
    _absent: float = field(default=0.0, init=False)
    _silent: float = field(default=0.0, init=False)
    _looked_at: float = field(default=0.0, init=False)  # seconds
    _next: Timer = field(factory=Timer, init=False)

    def start(self) -> None:
        """Begin to look."""
        self._looked_at = self._clock.seconds()
        self._look()

    def sign(self) -> None:
        """The helper showed that it works."""
        self._silent = self._absent = 0.0

    def stop(self) -> None:
        """Look no more; may be called at any time."""
        self._next.cancel()

    def _look(self) -> None:
        patience, now = self._patience, self._clock.seconds()
        self._next.start(self._clock.callLater, patience.silent / 10, self._look)
        passed, self._looked_at = now - self._looked_at, now
        if self._is_absent():
            self._absent += passed
        elif self._is_awaited():
            self._silent += passed
        if self._absent > patience.absent:
            self._give_up(NoHelper(patience.absent))
        elif self._silent > patience.silent:
            self._give_up(HelperSilent(patience.silent))
