"""The client as the source of one body after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.flow.fair import Debt
from truckee.flow.timer import Timer
from truckee.net.http import peer
from truckee.net.http.limits import HttpLimits
from truckee.net.http.minimum_rate import RateWatch
from truckee.net.http.reading import Cause, Reading

# Of a TLS record that is not complete yet, beyond what the system still holds for us.
_RECORD = 17 * 1024


@define(eq=False)
class BodySource:
    """
    Lets a body come and holds it up; sees to it that it comes, and that its client lives.

    While it is paused the reactor does not notice whether the client is there, so we look.
    """

    _clock: IReactorTime
    _limits: HttpLimits
    _reading: Reading
    _debt: Debt
    _wire: Any  # the transport with the socket
    _tls: bool
    _missing: Callable[[], int | None]  # bytes that did not reach us; None: unknown
    _drains: Callable[[], bool]  # whether what came is wanted of a client that is gone
    _too_slow: Callable[[], None]
    _gone: Callable[[], None]
    _rate: RateWatch = field(init=False)
    _peer_timer: Timer = field(factory=Timer, init=False)
    _paused_at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        limits, clock = self._limits, self._clock
        self._rate = RateWatch(
            clock.callLater,
            clock.seconds,
            limits.body_window,
            limits.body_minimum,
            self._too_slow,
        )

    def start(self) -> None:
        """A body begins, and is paused."""
        self._rate.start()
        self.pause()

    def got(self, count: int) -> None:
        """Count *count* bytes that came."""
        self._rate.got(count)
        self._debt.pay(count)

    def pause(self) -> None:
        """Let none come; one more read can."""
        self._rate.pause()
        self._debt.rest()
        self._reading.stop(Cause.BODY)
        self._paused_at = self._clock.seconds()
        if not self._peer_timer.running:
            self._look_later()

    def go_on(self) -> None:
        """Let them come."""
        if self._reading.is_stopped_by(Cause.BODY):
            self._rate.resume()
            self._debt.wait()
            self._reading.go_on(Cause.BODY)

    def stop(self) -> None:
        """The body is over; the connection is watched again for what follows."""
        self.forget()
        self._debt.clear()
        self._reading.go_on(Cause.BODY)

    def forget(self) -> None:
        """Look at nothing any more, and leave the connection as it is."""
        self._rate.stop()
        self._peer_timer.cancel()

    def _look_later(self) -> None:
        call_later, wait = self._clock.callLater, self._limits.peer_look
        self._peer_timer.start(call_later, wait, self._look_at_peer)

    def _look_at_peer(self) -> None:
        # Goes on while the body stops and flows, which can be thousands of times each
        # second, and ends with a look that finds it flowing.
        if not self._reading.is_stopped_by(Cause.BODY):
            return
        missing = self._missing()
        if missing is not None and self._tls:
            missing -= _RECORD
        gone = None if self._drains() else peer.is_gone(self._wire, missing)
        if gone is None:
            gone = self._clock.seconds() - self._paused_at >= self._limits.max_pause
        if gone:
            self._gone()
        else:
            self._look_later()
