"""
From a body to a cap.

A file with a random or given key streams: it is encrypted piece by piece as it arrives and
handed to a sink.  A convergent one is hashed first, while its ciphertext under a throw-away
key waits in a spool.  So does one of unknown size where servers must know it beforehand.  A
short one becomes its own cap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.cipher import crypt_in_place
from truckee.codec.geometry import LITERAL_LIMIT, Encoding
from truckee.codec.hashes import Buffer, storage_index_of
from truckee.codec.secrets import KEY_SIZE, convergence_hasher
from truckee.flow.cpu import Workers
from truckee.flow.inbound import HIGH_WATER
from truckee.flow.limits import Budget, Exclusive
from truckee.flow.spool import Spool
from truckee.immutable.upload.admission import SMALL, Admission
from truckee.immutable.upload.body import Body, FileTooLarge, Pieces, UnknownTooLarge
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.sinks import (
    FalseClaims,
    ICiphertextSinks,
    NewFile,
    NotThroughHelper,
)
from truckee.immutable.upload.status import UploadStatus
from truckee.status.metered import Metered

log = Logger()

Cap = ChkReadCap | LiteralCap

# How often a file is stored from its spool anew after servers claimed shares falsely; those
# who did are not believed the next time.
_RETRIES = 2


class KeptBody(Protocol):
    """What has all bytes of a body that comes, as a spool has them."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def given_up(self) -> bool:
        """Tell whether nobody will bring them again."""

    async def append(self, data: Buffer) -> None:
        """Take the next bytes, which it may have."""

    def read(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes, *piece* at a time."""

    def close(self) -> None:
        """They are not needed any more."""


@frozen
class UploadLimits:
    """Bounds of one gateway, all in bytes."""

    max_size: int = 1 << 50  # of one file; no disk is larger
    # of one whose length was not announced, on servers that must be asked for room first
    max_unknown_size: int = 4 << 30
    spool: int = 64 << 30  # of one file that waits on our disk


@define(eq=False)
class Uploader:
    """Stores files on the grid that *sinks* open."""

    _encoding: Encoding
    _sinks: ICiphertextSinks
    _convergence: bytes = field(repr=False)  # the node's secret
    cpu: Workers
    _disk: Workers
    _spool_directory: str
    _budget: Budget
    _random: Callable[[int], bytes]
    _clock: IReactorTime
    limits: UploadLimits
    _admission: Admission = field(init=False, repr=False)
    _by_storage_index: Exclusive = field(factory=Exclusive, init=False)

    def check_size(self, size: int | None) -> None:
        """:raises FileTooLarge: when a body of *size* bytes would not be taken."""
        if size is not None and size > self.limits.max_size:
            raise FileTooLarge(self.limits.max_size)

    def __attrs_post_init__(self) -> None:
        # Room for one segment's worth of what is under way to servers is always left.
        working = self._encoding.coded_size(self._encoding.streaming_segment_size)
        size = self._waiting_size
        most = max(1, (self._budget.limit - working) // size)
        self._admission = Admission(self._budget, size, most, self._clock.seconds)

    @property
    def active(self) -> int:
        """How many uploads are under way."""
        return self._admission.count

    @property
    def most_active(self) -> int:
        """For how many uploads there is memory at once, beside small ones; at least one."""
        return self._admission.most

    @property
    def is_full(self) -> bool:
        """Whether there is memory for no other one."""
        return self._admission.is_full

    @property
    def _waiting_size(self) -> int:
        """
        Bytes in memory of an upload that waits for its client.

        That is a segment, the chunk that did not fit into it, what piles up behind it, and
        a read of the transport.
        """
        return self._encoding.streaming_segment_size + 6 * HIGH_WATER

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        options: UploadOptions,
        status: UploadStatus | None = None,
        *,
        kept: KeptBody | None = None,
        client: str = "",
        asks_first: bool = False,
    ) -> Cap:
        """
        Store *chunks* and return the cap, once the file is stored for good.

        *status* tells what happens and, in the end, where the shares are; *kept* is where
        the same bytes are stored already, so that no spool is needed; *client* is who
        brings them, and gives way when all memory is in use and it is the slowest; nobody
        does without a name; one that *asks_first* sends nothing before there is room for
        its file on servers.
        If this raises or is cancelled, nothing is left of the file, but ciphertext on a
        helper that may be wanted again.

        :raises TooManyUploads: before anything is asked of servers.
        :raises GaveWay: when it was the slowest.
        """
        size, choice = options.size, options.key
        self.check_size(size)
        status = status or UploadStatus()
        status.size, chunks = size, Metered(chunks, status)
        with self._admission.admit(chunks, client) as place:
            most = self._most(options)
            body = self._body(place, size, most)
            if client and not asks_first:
                await body.peek(SMALL if size is None else min(SMALL, size))
            whole = body.ended or body.size == size
            if body.size > SMALL or not (client and whole):
                place.grow()
            if size is None:
                # A short file is over before its first segment is full.
                await body.peek(self._encoding.streaming_segment_size)
            elif size <= LITERAL_LIMIT:
                await body.peek(LITERAL_LIMIT + 1)
            if body.ended:
                status.size = size = body.size
                if size <= LITERAL_LIMIT:
                    status.route = "cap"
                    return LiteralCap(body.take_all())
            if isinstance(choice, ConvergentKey):
                return await self._upload_convergent(
                    body, evolve(options, size=size), status, kept
                )
            key = self._random(KEY_SIZE) if choice.key is None else choice.key
            file = NewFile(
                storage_index_of(key),
                size,
                most,
                fresh=choice.key is None,
                guarded=isinstance(choice, GivenKey),
                resumable=choice.key is not None,
                given_up=_never if kept is None else kept.given_up,
                direct=not options.use_helper,
                status=status,
            )
            if size is None and self._sinks.needs_known_size:
                return await self._upload_spooled(body, key, file, kept)
            return await self._stream(body, key, file)

    async def forget(self, options: UploadOptions) -> None:
        """
        Free what ``upload`` left on a helper, of a file that nobody will bring again.

        The options are those that it had; nothing is freed unless they have a random key.
        """
        choice, size = options.key, options.size
        if isinstance(choice, RandomKey) and choice.key is not None:
            index = storage_index_of(choice.key)
            most = self.limits.max_unknown_size if size is None else size
            direct = not options.use_helper
            await self._sinks.forget(NewFile(index, size, most, direct=direct))

    def _most(self, options: UploadOptions) -> int:
        """Return how many bytes a file of unknown size may have."""
        convergent, limits = isinstance(options.key, ConvergentKey), self.limits
        usual = limits.max_size if convergent else limits.max_unknown_size
        bound = options.max_size
        return min(usual if bound is None else bound, limits.max_size)

    def _body(self, chunks: AsyncIterator[bytes], size: int | None, bound: int) -> Body:
        """Return *chunks* with an end: *bound* counts where no *size* is known."""
        if size is not None or bound >= self.limits.max_size:
            return Body(chunks, self.limits.max_size, size)
        return Body(chunks, bound, size, UnknownTooLarge)

    async def _stream(
        self, chunks: AsyncIterator[bytes], key: bytes, file: NewFile
    ) -> ChkReadCap:
        """Encrypt *chunks* as they arrive and hand them to a sink."""
        status = file.status
        status.phase, status.size = "waiting", file.size
        async with self._by_storage_index.hold(file.storage_index):
            sink = await self._sinks.open(file)
            status.phase = "storing"
            try:
                offset = 0
                async for piece in Pieces(chunks, lambda: sink.chunk_size):
                    await self.cpu.run(crypt_in_place, key, offset, piece)
                    status.encrypted = offset = offset + len(piece)
                    await sink.write(piece)
                    del piece  # nobody holds it while the client is slow
                status.phase, status.size = "finishing", offset
                verify_cap = await sink.close()
            except Exception:
                await sink.abort()
                raise
        return verify_cap.read_cap(key)

    async def _upload_convergent(
        self,
        body: Body,
        options: UploadOptions,
        status: UploadStatus,
        kept: KeptBody | None,
    ) -> ChkReadCap:
        """Hash the file on its way into a spool, then stream it from there."""
        # Without an announced size there is at least a whole segment, and then the
        # size is not part of the key.
        geometry = self._encoding.geometry(options.size or self._encoding.max_segment_size)
        hasher = convergence_hasher(self._convergence, geometry)
        status.phase = "spooling"
        with self._spool(kept) as spool:
            async for piece in Pieces(body, lambda: geometry.segment_size):
                await self.cpu.run(hasher.update, piece)
                await spool.append(piece)
                status.spooled = spool.size
            key = hasher.digest()[:KEY_SIZE]
            file = NewFile(
                storage_index_of(key),
                spool.size,
                spool.size,
                resumable=True,
                given_up=_never if kept is None else kept.given_up,
                direct=not options.use_helper,
                status=status,
            )
            return await self._stream_spooled(spool, geometry.segment_size, key, file)

    async def _stream_spooled(
        self, spool: Spool | KeptBody, piece: int, key: bytes, file: NewFile
    ) -> ChkReadCap:
        """
        Stream what is in *spool*.

        It is streamed once more where a helper did not store it, and where servers claimed
        shares falsely.
        """
        for _ in range(_RETRIES):
            try:
                return await self._stream(spool.read(piece), key, file)
            except NotThroughHelper as error:
                if file.direct:
                    raise
                log.warn("A file goes to the servers: {why}", why=str(error))
                file = evolve(file, direct=True)
            except FalseClaims as error:
                log.warn("A file is stored again: {why}", why=str(error))
        return await self._stream(spool.read(piece), key, file)

    async def _upload_spooled(
        self, body: Body, key: bytes, file: NewFile, kept: KeptBody | None
    ) -> ChkReadCap:
        """Find out how long the file is on its way into a spool, then stream it."""
        file.status.phase = "spooling"
        with self._spool(kept) as spool:
            segment_size = self._encoding.streaming_segment_size
            async for piece in Pieces(body, lambda: segment_size):
                await spool.append(piece)
                file.status.spooled = spool.size
            sized = evolve(file, size=spool.size)
            return await self._stream_spooled(spool, segment_size, key, sized)

    def _spool(self, kept: KeptBody | None) -> closing[Spool | KeptBody]:
        if kept is not None:
            return closing(kept)
        return closing(Spool(self._disk, self._spool_directory, self.limits.spool))


def _never() -> bool:
    return False
