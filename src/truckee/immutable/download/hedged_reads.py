"""Getting something from k of many sources, without waiting for a slow one for long."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Set
from typing import Generic, Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.flow.changes import Changes, ending
from truckee.flow.together import Work
from truckee.immutable.download.speed import Speed

T = TypeVar("T")

# Until it is known how long an answer usually takes.
FIRST = 1.0  # seconds
# Nobody is called slow who takes no longer than this, or as many times the usual.
LEAST = 0.125  # seconds
FACTOR = 4.0


@define(eq=False)
class Pace:
    """How long answers usually take."""

    _usual: float | None = field(default=None, init=False)  # seconds

    def patience(self, weight: int = 1) -> float:
        """Seconds after which another source is asked too, what takes *weight* times."""
        if self._usual is None:
            return FIRST * weight
        return max(LEAST, FACTOR * self._usual * weight)

    @property
    def is_quick(self) -> bool:
        """Whether answers usually take so little that nobody is slow yet."""
        return self._usual is not None and self._usual <= LEAST

    def took(self, seconds: float) -> None:
        """An answer took so long."""
        if self._usual is None:
            self._usual = seconds
        else:
            self._usual += (seconds - self._usual) / 8


class Asked(Protocol):
    """One share on one server."""

    @property
    def speed(self) -> Speed:
        """How soon it answers."""

    @property
    def number(self) -> int:
        """The number of the share."""


S = TypeVar("S", bound=Asked)


class Sources(Protocol[S]):
    """The shares of one file."""

    @property
    def needed(self) -> int:
        """k."""

    def choose(self, avoid: Set[S], taken: Set[int]) -> S | None:
        """Return the best share that is not in *avoid* and has no number in *taken*."""

    def not_enough(self, avoid: Set[S]) -> Exception:
        """Return the error that there are not k shares beside *avoid*."""


@define(eq=False)
class Race(Generic[S, T]):
    """
    One *question* to the sources of a file, until those of k distinct shares answered.

    A source that is slow is asked on, and another one too; who is first counts, and the
    slow one is asked last from then on.  An answer of None is a failure.
    """

    _sources: Sources[S]
    _question: Callable[[S], Work[T | None]]
    _pace: Pace
    _clock: IReactorTime
    _weight: int = 1  # of the question, for what one alone takes
    tried: set[S] = field(factory=set, init=False)
    _running: dict[S, tuple[float, Deferred[None]]] = field(
        factory=dict, init=False, repr=False
    )
    _slow: set[S] = field(factory=set, init=False)
    _error: Exception | None = field(default=None, init=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    async def run(self, found: MutableMapping[S, T]) -> None:
        """
        Add to *found* until it has sources of k distinct shares.

        :raises Exception: that of ``not_enough``, when not so many answer.
        """
        needed = self._sources.needed
        try:
            while len(found) < needed and self._error is None:
                if self._ask(found, needed):
                    continue  # some may have answered at once
                if not self._running:
                    raise self._sources.not_enough(self.tried - found.keys())
                await self._wait()
            if self._error is not None:
                raise self._error
        except CancelledError:
            await self._stop()
            raise
        finally:
            for _, running in list(self._running.values()):
                running.cancel()

    def _ask(self, found: MutableMapping[S, T], needed: int) -> bool:
        """Ask as many sources as are missing, beside the slow ones; return if any was."""
        quick = [source for source in self._running if source not in self._slow]
        taken = {source.number for source in (*found, *quick)}
        asked = False
        for _ in range(needed - len(found) - len(quick)):
            source = self._sources.choose(self.tried, taken)
            if source is None:
                break
            asked = True
            taken.add(source.number)
            self.tried.add(source)
            began = self._clock.seconds()
            running: Deferred[None] = Deferred.fromCoroutine(self._one(source, found))
            if not running.called:
                self._running[source] = (began, running)
        return asked

    async def _one(self, source: S, found: MutableMapping[S, T]) -> None:
        began = self._clock.seconds()
        source.speed.busy += 1
        with ending(self._changes.wake):
            try:
                answer = await self._question(source)
            except CancelledError:
                return
            except Exception as error:
                self._error = error
            else:
                if answer is not None:
                    self._pace.took((self._clock.seconds() - began) / self._weight)
                    if source.number not in {each.number for each in found}:
                        found[source] = answer
            finally:
                source.speed.busy -= 1
                self._running.pop(source, None)

    async def _wait(self) -> None:
        """Return when one has ended, or has become slow."""
        now, patience = self._clock.seconds(), self._pace.patience(self._weight)
        quick = [
            (began + patience - now, source)
            for source, (began, _) in self._running.items()
            if source not in self._slow
        ]
        timer = None
        if quick:
            left, source = min(quick, key=lambda each: each[0])
            timer = self._clock.callLater(max(0.0, left), self._is_slow, source)
        try:
            await self._changes.once()
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _is_slow(self, source: S) -> None:
        self._slow.add(source)
        source.speed.demote()
        self._changes.wake()

    async def _stop(self) -> None:
        """Cancel all, and return when they have ended."""
        for _, running in list(self._running.values()):
            running.cancel()
        while self._running:
            try:
                await self._changes.once()
            except CancelledError:
                continue
