"""A share that a client writes over foolscap, whatever becomes of it in the end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.timer import Timer
from truckee.storage.interfaces import IShareWriter
from truckee.storage.quotas import IDLE_LIMIT, Claim

log = Logger()
T = TypeVar("T")


def run(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Return what foolscap waits for."""
    return Deferred.fromCoroutine(work)


@define(eq=False)
class RemoteWriter(Referenceable):  # type: ignore[misc]  # foolscap has no types
    """
    A share that a client writes.

    Calls take effect in the order they came.  The share is given up when the client's
    connection is lost, or nothing was written for half an hour.
    """

    _writer: IShareWriter
    _reactor: IReactorTime
    _canary: Any
    _claim: Claim
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _timer: Timer = field(factory=Timer, init=False)
    _marker: Any = field(default=None, init=False)

    def begin(self) -> None:
        """Watch the client."""
        self._marker = self._canary.notifyOnDisconnect(self._gone)
        self._timer.start(self._reactor.callLater, IDLE_LIMIT, self._gone)

    def remote_write(self, offset: int, data: bytes) -> Deferred[None]:
        if offset < 0 or not data:
            raise ValueError("a write has an offset of at least 0 and some bytes")
        self._timer.extend(IDLE_LIMIT)
        return run(self.in_turn(self._write(offset, data)))

    def note(self, count: int) -> None:
        """Count bytes that a thread has written."""
        self._timer.extend(IDLE_LIMIT)
        self._claim.wrote(count)

    async def _write(self, offset: int, data: bytes) -> None:
        await self._writer.write(offset, [data])
        self._claim.wrote(len(data))

    def remote_abort(self) -> Deferred[None]:
        return run(self.end_with(self._writer.abort()))

    async def give_up(self) -> None:
        """The client is gone."""
        await self.end_with(self._writer.abort())

    async def close(self, size: int) -> None:
        """Finish the share; when that fails it goes on."""
        await self._writer.close(size)
        self._claim.end()
        self.forget()

    async def in_turn(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Return what *work* returns, after what came before."""
        async with self._turn:
            return await work

    async def end_with(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Watch the client no more, and do *work* in its turn."""
        self.forget()
        try:
            await self.in_turn(work)
        finally:
            self._claim.end()

    def forget(self) -> None:
        """Watch the client no more; may be called twice."""
        self._timer.cancel()
        marker, self._marker = self._marker, None
        if marker is not None:
            self._canary.dontNotifyOnDisconnect(marker)

    def _gone(self) -> None:
        done = run(self.give_up())
        done.addErrback(lambda failure: log.failure("A share was not given up", failure))
