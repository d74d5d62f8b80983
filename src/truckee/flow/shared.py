"""Work that several wait for and that is done once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from truckee.flow.together import Work

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@define(eq=False)
class _Flight(Generic[T]):
    """One piece of work under way, and those who wait for it."""

    waiting: list[Deferred[T]] = field(factory=list)
    work: Deferred[None] | None = None


@define(eq=False)
class Shared(Generic[K, T]):
    """
    Whoever asks for what is under way waits for that.

    One who is cancelled leaves the others alone; when nobody is left, the work is
    cancelled.  Its end is not waited for then, and who asks next begins anew.
    """

    _flights: dict[K, _Flight[T]] = field(factory=dict, init=False, repr=False)

    def __contains__(self, key: K) -> bool:
        """Tell whether something is under way for *key*."""
        return key in self._flights

    async def run(self, key: K, work: Callable[[], Work[T]]) -> T:
        """Return what *work* returns, or what that of another caller does for *key*."""
        flight = self._flights.get(key)
        new = flight is None
        if flight is None:
            flight = self._flights[key] = _Flight()
        turn: Deferred[T] = Deferred(partial(self._leave, key, flight))
        flight.waiting.append(turn)
        if new:
            flight.work = Deferred.fromCoroutine(work()).addBoth(self._land, key, flight)
        return await turn

    def _land(self, result: T | Failure, key: K, flight: _Flight[T]) -> None:
        self._close(key, flight)
        # One who is served can make another one leave.
        while flight.waiting:
            flight.waiting.pop(0).callback(result)  # a failure becomes an error there

    def _leave(self, key: K, flight: _Flight[T], turn: Deferred[T]) -> None:
        flight.waiting.remove(turn)
        if not flight.waiting and self._close(key, flight) and flight.work is not None:
            flight.work.cancel()

    def _close(self, key: K, flight: _Flight[T]) -> bool:
        """Let nobody join *flight* any more; return whether that was still possible."""
        open_ = self._flights.get(key) is flight
        if open_:
            del self._flights[key]
        return open_
