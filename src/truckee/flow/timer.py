"""One delayed call that is set, moved and dropped."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

CallLater = Callable[[float, Callable[[], None]], IDelayedCall]


@define(eq=False)
class Timer:
    """At most one pending call; all three verbs may be repeated at any time."""

    _call: IDelayedCall | None = field(default=None, init=False)

    def start(
        self, call_later: CallLater, seconds: float, function: Callable[[], object]
    ) -> None:
        """Call *function* in *seconds*, instead of whatever was pending."""
        self.cancel()

        def fire() -> None:
            self._call = None
            function()

        self._call = call_later(seconds, fire)

    def extend(self, seconds: float) -> None:
        """Move what is pending, if anything is, to *seconds* from now."""
        if self._call is not None:
            self._call.reset(seconds)

    def cancel(self) -> None:
        """Call nothing."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    @property
    def running(self) -> bool:
        """Whether a call is pending."""
        return self._call is not None
