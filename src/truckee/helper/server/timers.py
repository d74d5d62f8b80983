"""Work that is done later, unless all ends before."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define(eq=False)
class Timers:
    """Calls of one helper.  ``stop`` them in the end."""

    _clock: IReactorTime
    stopped: bool = field(default=False, init=False)
    _calls: list[IDelayedCall] = field(factory=list, init=False)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do *work* after so many seconds, unless all ends before."""
        self._calls = [call for call in self._calls if call.active()]
        if not self.stopped:
            self._calls.append(self._clock.callLater(seconds, work))

    def stop(self) -> None:
        """Do nothing more; may be called twice."""
        self.stopped = True
        for call in self._calls:
            if call.active():
                call.cancel()
