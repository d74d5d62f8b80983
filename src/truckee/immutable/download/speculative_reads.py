"""Reads that are under way before anybody asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.storage.interfaces import IShareReader


@define(eq=False)
class _Early:
    """One read, and those who wait for it."""

    start: int
    end: int
    waiting: list[Deferred[bytes]] = field(factory=list)
    answer: Deferred[None] | None = None
    outcome: bytes | Failure | None = None

    def take(self, outcome: bytes | Failure) -> None:
        self.outcome = outcome
        while self.waiting:
            self.waiting.pop(0).callback(outcome)  # a failure becomes an error there

    async def get(self) -> bytes:
        if self.outcome is None:
            turn: Deferred[bytes] = Deferred(self.waiting.remove)
            self.waiting.append(turn)
            return await turn
        if isinstance(self.outcome, Failure):
            self.outcome.raiseException()
        return self.outcome


@implementer(IShareReader)
@define(eq=False)
class HeadStart:
    """A finished share, of which parts are read early; what is in them costs no wait."""

    _reader: IShareReader
    _early: list[_Early] = field(factory=list, init=False, repr=False)

    @property
    def begun(self) -> bool:
        """Whether something is read early now."""
        return bool(self._early)

    def begin(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Read these, given as offset and length, until ``settle`` is called."""
        for offset, length in ranges:
            early = _Early(offset, offset + length)
            self._early.append(early)
            reading = Deferred.fromCoroutine(self._reader.read(offset, length))
            early.answer = reading.addBoth(early.take)

    def settle(self) -> None:
        """Forget what was read early; what nobody waits for is not read any more."""
        early, self._early = self._early, []
        for each in early:
            if not each.waiting and each.answer is not None:
                each.answer.cancel()

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        for early in self._early:
            if early.start <= offset and offset + length <= early.end:
                at = offset - early.start
                return (await early.get())[at : at + length]
        return await self._reader.read(offset, length)
