"""Waiting until something is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


@contextmanager
def ending(then: Callable[[], None]) -> Iterator[None]:
    """
    Call *then* when what is inside ends, well or not, to wake who waits for that.

    It is not called when a coroutine is collected as it waits inside: that happens at any
    moment and in any thread, and whom it would wake may be collected just then.
    """
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException:
        then()
        raise
    then()


@define(eq=False)
class Changes:
    """What coroutines wait for, who look again whenever something changed."""

    error: Exception | None = field(default=None, init=False)  # after which nothing comes
    _waiting: list[Deferred[None]] = field(factory=list, init=False, repr=False)

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when *condition* holds.  :raises Exception: what it failed with."""
        while not condition():
            if self.error is not None:
                raise self.error
            await self.once()

    def once(self) -> Deferred[None]:
        """Fire at the next change, whatever it is."""
        change: Deferred[None] = Deferred(self._leave)
        self._waiting.append(change)
        return change

    async def once_within(self, clock: IReactorTime, seconds: float) -> None:
        """Return at the next change, or after *seconds*, which then counts as one."""
        timer = clock.callLater(seconds, self.wake)
        try:
            await self.once()
        finally:
            if timer.active():
                timer.cancel()

    def wake(self) -> None:
        """Something changed."""
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.called:  # by a cancellation
                change.callback(None)

    def fail(self, error: Exception) -> None:
        """What is waited for will not come; the first reason counts."""
        if self.error is None:
            self.error = error
            self.wake()

    def _leave(self, change: Deferred[None]) -> None:
        # While all are woken, one of them can cancel another.
        if change in self._waiting:
            self._waiting.remove(change)
