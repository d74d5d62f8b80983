"""Work on one thing after the other, many at once, whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field

from truckee.flow.changes import Changes
from truckee.flow.limits import Budget
from truckee.flow.together import Group, Work

T = TypeVar("T")
R = TypeVar("R")


@define(eq=False)
class InOrder(Generic[T, R]):
    """
    What *work* makes of what *source* gives, at most *most* at once.

    What is done and not taken counts, so whoever takes slowly holds up the source.  With
    *ahead* so many more may wait, done or not begun, behind one that takes long.
    ``results`` is called once, under ``aclosing``.
    """

    _source: AsyncIterator[T]
    _work: Callable[[T], Work[R]]
    _most: int
    _ahead: int = 0
    _turns: Budget = field(init=False)
    _room: Budget = field(init=False)
    _group: Group = field(factory=Group, init=False)
    _results: deque[list[R]] = field(factory=deque, init=False, repr=False)
    _ended: bool = field(default=False, init=False)  # the source
    _failure: Exception | None = field(default=None, init=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._turns = Budget(self._most)
        self._room = Budget(self._most + self._ahead)

    async def results(self) -> AsyncGenerator[list[R], None]:
        """
        Give the results that are there, at least one at a time, in the order of the source.

        The first failure, of the source or of the work, ends it at once.
        """
        try:
            self._start(self._feed)
            while True:
                if self._failure is not None:
                    raise self._failure
                ready = []
                while self._results and self._results[0]:
                    ready.append(self._results.popleft()[0])
                if ready:
                    yield ready
                    for _ in ready:
                        self._room.give(1)
                    continue
                if self._ended and not self._results:
                    return
                await self._changes.once()
        finally:
            await self._group.stop()

    def _start(self, work: Callable[[], Work[None]]) -> None:
        async def run() -> None:
            try:
                await work()
            except Exception as error:
                self._failure = self._failure or error
                raise
            finally:
                self._changes.wake()

        self._group.start(run())

    async def _feed(self) -> None:
        async for each in self._source:
            await self._room.take(1)
            result: list[R] = []
            self._results.append(result)
            self._start(partial(self._do, each, result))
        self._ended = True

    async def _do(self, each: T, result: list[R]) -> None:
        async with self._turns.hold(1):
            result.append(await self._work(each))
