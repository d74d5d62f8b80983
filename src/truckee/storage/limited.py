"""Any storage server, with an end to every wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Unavailable
from truckee.flow.limits import Budget
from truckee.flow.together import Work
from truckee.storage.interfaces import (
    Allocation,
    CallFailed,
    IDirectShares,
    IKeptShares,
    IKeptWriter,
    IShareReader,
    IShareWriter,
    ISlotServer,
    IStorageServer,
    Opened,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)

T = TypeVar("T")


@define
class TooSlow(Unavailable):
    """{server} did not answer within {seconds:.0f} seconds."""

    server: str
    seconds: float


@frozen
class Patience:
    """Seconds until a call counts as failed."""

    question: float = 15.0  # small answers; what stock clients grant
    read: float = 30.0  # up to a block; another server may have the share
    # A batch of 1 MiB may share a thin line with nine others: 10 MiB take 90 s at 1 Mbit/s.
    write: float = 300.0


async def in_time(work: Work[T], seconds: float, clock: IReactorTime, server: str) -> T:
    """
    Return what *work* returns; after *seconds* it is cancelled.

    :raises TooSlow: then, whatever became of *work*.
    """
    late: list[bool] = []

    def too_late(outcome: T | Failure, _: float) -> T | Failure:
        late.append(True)
        return outcome

    answer = Deferred.fromCoroutine(work)
    answer.addTimeout(seconds, clock, too_late)
    try:
        return await answer
    except Exception:
        if late:
            raise TooSlow(server, seconds) from None
        raise


# Bytes of each share up to which reading it is a question: all that a map asks for.
_SMALL = 8 << 10
# After a share was refused that was sent in one call, servers are asked for room first.
_REFUSED = 60.0  # seconds; for so long
# Calls under way at one server; more wait here.  What a window of segments needs is less.
_CALLS = 64


@implementer(IStorageServer)
@define(eq=False)
class LimitedServer:
    """Wraps *inner*: bounded waits, a bounded number of calls at a time."""

    inner: IStorageServer
    _clock: IReactorTime
    _patience: Patience = field(factory=Patience)
    _calls: Budget = field(factory=lambda: Budget(_CALLS), init=False)
    # When it refused a share that was sent in one call.
    _refused: float | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """See ``IStorageServer``."""
        return self.inner.name

    @property
    def permutation_seed(self) -> bytes:
        """See ``IStorageServer``."""
        return self.inner.permutation_seed

    @property
    def lease_seed(self) -> bytes:
        """See ``IStorageServer``."""
        return self.inner.lease_seed

    @property
    def durable(self) -> bool:
        """See ``IStorageServer``."""
        return self.inner.durable

    @property
    def takes_open_ends(self) -> bool:
        """See ``IStorageServer``."""
        return self.inner.takes_open_ends

    @property
    def slots(self) -> LimitedSlots | None:
        """See ``IStorageServer``; their calls count with the others."""
        inner = self.inner.slots
        return None if inner is None else LimitedSlots(inner, self, self._patience)

    @property
    def kept(self) -> LimitedKept | None:
        """See ``IStorageServer``; their calls count with the others."""
        inner = self.inner.kept
        return None if inner is None else LimitedKept(inner, self, self._patience)

    @property
    def direct(self) -> LimitedDirect | None:
        """See ``IStorageServer``; None too for a while after one was refused."""
        inner, refused = self.inner.direct, self._refused
        if refused is not None and self._clock.seconds() < refused + _REFUSED:
            return None
        return None if inner is None else LimitedDirect(inner, self, self._patience)

    def refuse_direct(self) -> None:
        """The server did not take a share that was sent in one call."""
        self._refused = self._clock.seconds()

    async def available_space(self) -> int:
        """See ``IStorageServer``."""
        return await self.bounded(self.inner.available_space(), self._patience.question)

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """See ``IStorageServer``."""
        answer = await self.bounded(
            self.inner.allocate(storage_index, secrets, shares, size, open_ended),
            self._patience.question,
        )
        writers = {
            share: LimitedWriter(writer, self, self._patience)
            for share, writer in answer.writers.items()
        }
        return Allocation(answer.already, writers)

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        """See ``IStorageServer``."""
        found = await self.bounded(
            self.inner.buckets(storage_index), self._patience.question
        )
        return {
            share: LimitedReader(reader, self, self._patience)
            for share, reader in found.items()
        }

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``IStorageServer``."""
        await self.bounded(
            self.inner.add_lease(storage_index, secrets), self._patience.question
        )

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``IStorageServer``."""
        await self.bounded(
            self.inner.advise_corrupt(storage_index, share, reason), self._patience.question
        )

    async def bounded(self, work: Work[T], seconds: float) -> T:
        """
        Return what *work* returns, when it is its turn.

        :raises TooSlow: when that takes more than *seconds*; *work* is cancelled then.
        """
        try:
            await self._calls.take(1)
        except BaseException:
            work.close()
            raise
        try:
            return await in_time(work, seconds, self._clock, self.name)
        finally:
            self._calls.give(1)


@implementer(IShareWriter)
@define(eq=False)
class LimitedWriter:
    """A share in progress, with an end to every wait."""

    _inner: IShareWriter
    _server: LimitedServer
    _patience: Patience

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        await self._server.bounded(self._inner.write(offset, parts), self._patience.write)

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        await self._server.bounded(self._inner.close(size), self._patience.write)

    async def abort(self) -> None:
        """See ``IShareWriter``; a server that does not answer will forget it by itself."""
        try:
            await self._server.bounded(self._inner.abort(), self._patience.question)
        except TooSlow:
            return


@implementer(IKeptShares)
@define(eq=False)
class LimitedKept:
    """The shares of a server that outlive their writers, with an end to every wait."""

    _inner: IKeptShares
    _server: LimitedServer
    _patience: Patience

    @property
    def far(self) -> bool:
        """See ``IKeptShares``."""
        return self._inner.far

    async def unfinished(
        self, storage_index: bytes, upload_secret: bytes
    ) -> Mapping[int, int]:
        """See ``IKeptShares``."""
        return await self._server.bounded(
            self._inner.unfinished(storage_index, upload_secret), self._patience.question
        )

    async def open(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        """See ``IKeptShares``."""
        answer = await self._server.bounded(
            self._inner.open(
                storage_index, secrets, upload_secret, shares, size, open_ended, brief
            ),
            self._patience.question,
        )
        writers = {
            share: LimitedKeptWriter(self._server, self._patience, writer)
            for share, writer in answer.writers.items()
        }
        return Opened(answer.already, writers)


@implementer(IDirectShares)
@define(eq=False)
class LimitedDirect:
    """Shares in one call each, with an end to every wait."""

    _inner: IDirectShares
    _server: LimitedServer
    _patience: Patience

    @property
    def far(self) -> bool:
        """See ``IDirectShares``."""
        return self._inner.far

    async def store(
        self, storage_index: bytes, secrets: LeaseSecrets, share: int, data: bytes
    ) -> bool:
        """See ``IDirectShares``; after ``TooSlow`` it is not known whether it was done."""
        storing = self._inner.store(storage_index, secrets, share, data)
        try:
            stored = await self._server.bounded(storing, self._patience.write)
        except CallFailed:
            self._server.refuse_direct()
            raise
        if not stored:
            self._server.refuse_direct()
        return stored

    async def read(
        self, storage_index: bytes, share: int, offset: int, length: int
    ) -> bytes:
        """See ``IDirectShares``."""
        return await self._server.bounded(
            self._inner.read(storage_index, share, offset, length), self._patience.question
        )


@implementer(IKeptWriter)
@define(eq=False)
class LimitedKeptWriter(LimitedWriter):
    """A share in progress that outlives its writer, with an end to every wait."""

    _inner: IKeptWriter

    @property
    def length(self) -> int:
        """See ``IKeptWriter``."""
        return self._inner.length

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        """See ``IKeptWriter``."""
        return await self._server.bounded(
            self._inner.hashes(offset, piece, count), self._patience.read
        )

    async def leave(self) -> None:
        """See ``IKeptWriter``; a server that does not answer keeps it by itself."""
        try:
            await self._server.bounded(self._inner.leave(), self._patience.question)
        except TooSlow:
            return


@implementer(IShareReader)
@define(eq=False)
class LimitedReader:
    """A finished share, with an end to every wait."""

    _inner: IShareReader
    _server: LimitedServer
    _patience: Patience

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        return await self._server.bounded(
            self._inner.read(offset, length), self._patience.read
        )


@implementer(ISlotServer)
@define(eq=False)
class LimitedSlots:
    """The shares of mutable files of a server, with an end to every wait."""

    _inner: ISlotServer
    _server: LimitedServer
    _patience: Patience

    @property
    def max_share_size(self) -> int:
        """See ``ISlotServer``."""
        return self._inner.max_share_size

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        return await self._server.bounded(
            self._inner.shares(storage_index), self._patience.question
        )

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``."""
        size = sum(each.length for each in reads)
        patience = self._patience
        return await self._server.bounded(
            self._inner.read(storage_index, shares, reads),
            patience.question if size <= _SMALL else patience.read,
        )

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """See ``ISlotServer``; after ``TooSlow`` it is not known what was written."""
        return await self._server.bounded(
            self._inner.test_and_write(storage_index, secrets, changes, reads),
            self._patience.write,
        )

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        await self._server.bounded(
            self._inner.add_lease(storage_index, secrets), self._patience.question
        )

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``."""
        await self._server.bounded(
            self._inner.advise_corrupt(storage_index, share, reason),
            self._patience.question,
        )
