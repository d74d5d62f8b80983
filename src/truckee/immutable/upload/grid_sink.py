"""
Ciphertext to shares on servers, from here.

Each segment is coded in the workers as soon as it is whole, and its blocks go to their
servers at once; a few segments are under way at the same time.  The hash trees, the UEB
and the header follow when the last byte has come.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.encoder import (
    EncodedFile,
    EncodedSegment,
    FileEncoder,
    encode_segment,
)
from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.hashes import Buffer
from truckee.codec.segments import Segmenter
from truckee.codec.share import ShareLayout
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import Group, Turns, together
from truckee.grid.selection import Placement, Selector
from truckee.grid.share_request import Keep, ShareRequest
from truckee.immutable.samples import Samples
from truckee.immutable.upload.acceptance import Acceptance
from truckee.immutable.upload.block_hashes import BlockHashes
from truckee.immutable.upload.existing_shares import ExistingShares, FalselyClaimed, Holders
from truckee.immutable.upload.lasting_shares import LastingShares
from truckee.immutable.upload.share_set import OutgoingShares, whole_shares
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    NewFile,
    WrongSize,
)
from truckee.storage.journal import Journal

log = Logger()

# Segments of one file under way: one is coded by each core, one is written, one waits.
WINDOW = 4
# The shares of a file of so many bytes are written whole, with one call each.
_SHORT = 256 << 10


@implementer(ICiphertextSinks)
@define(eq=False)
class GridSinks:
    """Opens sinks that store files on a grid."""

    encoding: Encoding
    _selector: Selector
    _journal: Journal
    _cpu: Workers
    _budget: Budget  # bytes of file data in memory
    _clock: IReactorTime
    _false: FalselyClaimed = field(factory=FalselyClaimed)

    @property
    def needs_known_size(self) -> bool:
        """See ``ICiphertextSinks``."""
        return self._selector.needs_known_size

    async def open(self, file: NewFile) -> GridSink:
        """
        Find servers for a file.

        :raises NoSpace: :raises NotEnoughServers: when it cannot be placed.
        """
        index = file.storage_index
        known = file.size is not None
        geometry = self._geometry(file)
        layout = ShareLayout.stock(geometry) if known else ShareLayout.streamed(geometry)
        existing = ExistingShares(index, self._cpu, self.encoding, file.size)

        async def prove(claims: Holders) -> Holders:
            if file.fresh:
                return {}
            # Where a key may stand for another file, a share not read might be of it.
            clock = None if file.guarded else self._clock
            return await existing.prove(self._false.without(index, claims), clock)

        if file.guarded:
            await existing.watch(
                await self._selector.not_taking(index, self.encoding.total)
            )
        request = self._request(file, layout)
        placement = await self._selector.place(
            request,
            self.encoding.total,
            needed=self.encoding.needed,
            prove=prove,
            fresh=file.fresh,
        )
        file.status.route = "servers"
        file.status.found = len(placement.existing)
        encoder = FileEncoder(index, self.encoding.needed, self.encoding.total)
        hashes = BlockHashes(encoder, layout.data, geometry.block_size)
        lasting, group = LastingShares(request, hashes, self._clock), Group()
        shares = self._outgoing(file, layout, lasting, placement, group)
        return GridSink(
            file,
            geometry.segment_size,
            layout.data,
            self.encoding,
            encoder,
            hashes,
            placement,
            shares,
            group,
            self._selector,
            self._journal,
            self._cpu,
            self._budget,
            existing,
            self._false,
            self._clock,
        )

    def _outgoing(
        self,
        file: NewFile,
        layout: ShareLayout,
        lasting: LastingShares,
        placement: Placement,
        group: Group,
    ) -> OutgoingShares:
        shares = OutgoingShares(
            lasting.of(placement),
            self._selector.happy,
            lasting.take,
            group,
            self._clock,
            file.status,
            # Of a sized file the header is known, and may be written before its turn.
            None if file.size is None else (0, layout.pack_header()),
        )
        shares.watch()
        return shares

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``: of servers, those that keep shares are asked."""
        geometry = self._geometry(file)
        request = self._request(file, ShareLayout.streamed(geometry))
        await self._selector.forget(request, self.encoding.total)

    def _request(self, file: NewFile, layout: ShareLayout) -> ShareRequest:
        open_ended = file.size is None
        return self._selector.request(
            file.storage_index, layout.size, open_ended, _keep(file)
        )

    def _geometry(self, file: NewFile) -> Geometry:
        if file.size is not None:
            return self.encoding.geometry(file.size)
        needed, total = self.encoding.needed, self.encoding.total
        return Geometry(file.most, needed, total, self.encoding.streaming_segment_size)


def _keep(file: NewFile) -> Keep:
    """Return for how long servers are to keep what they were sent of a file."""
    if file.guarded:
        # Shares begun for another file under a given key must not be continued.
        return Keep.NOT
    if file.resumable:
        return Keep.LONG
    short = file.size is not None and file.size <= _SHORT
    return Keep.NOT if short else Keep.BRIEFLY


@implementer(ICiphertextSink)
@define(eq=False)
class GridSink:
    """One file on its way to the grid."""

    _file: NewFile
    chunk_size: int  # bytes, of a segment
    _data: int  # where the blocks start in a share
    _encoding: Encoding
    _encoder: FileEncoder
    _hashes: BlockHashes
    _placement: Placement
    _shares: OutgoingShares
    _group: Group
    _selector: Selector
    _journal: Journal
    _cpu: Workers
    _budget: Budget
    _existing: ExistingShares
    _false: FalselyClaimed
    _clock: IReactorTime

    _segmenter: Segmenter = field(init=False)
    _samples: Samples = field(init=False)
    _turns: Turns = field(factory=Turns, init=False)
    _window: Budget = field(factory=lambda: Budget(WINDOW), init=False)
    _received: int = field(default=0, init=False)  # bytes
    _segments: int = field(default=0, init=False)  # begun so far
    _coding: int = field(default=0, init=False)  # segments that are being coded
    _stored: int = field(default=0, init=False)  # bytes whose blocks are on servers
    # The end of all shares, once they were written with their only block.
    _whole: EncodedFile | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._segmenter = Segmenter(self.chunk_size)
        self._samples = Samples(self._encoding.total)

    async def write(self, chunk: Buffer) -> None:
        """See ``ICiphertextSink``."""
        self._received += len(chunk)
        if self._file.size is not None and self._received > self._file.size:
            raise WrongSize(self._received, self._file.size)
        for segment in self._segmenter.feed(chunk):
            await self._begin(segment)

    async def close(self) -> ChkVerifyCap:
        """See ``ICiphertextSink``."""
        rest = self._segmenter.finish()
        if rest:
            await self._begin(rest)
        await self._group.join()
        if self._file.size not in (None, self._encoder.size):
            raise WrongSize(self._encoder.size, self._file.size or 0)
        self._existing.check_size(self._encoder.size)
        file = self._whole or await self._finish()
        layout = self._layout(file.geometry)
        if self._whole is None:
            await self._shares.finish(file, layout)
        if self._file.approve is not None:
            await self._file.approve(file.ueb)
        acceptance = self._acceptance()
        await acceptance.check_claims(file.ueb, self._data)
        async with self._journal.showing(self._file.storage_index, self._shares.servers):
            await self._shares.close(layout.size)
            await acceptance.prove(file, layout)
            await self._shares.remove_lost()
        await self._selector.renew(self._file.storage_index, self._placement)
        return file.verify_cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``."""
        self._shares.stop_watching()
        await self._group.stop()
        await self._shares.abort(keep=self._file.resumable)

    def _layout(self, geometry: Geometry) -> ShareLayout:
        known = self._file.size is not None
        return ShareLayout.stock(geometry) if known else ShareLayout.streamed(geometry)

    async def _begin(self, segment: Buffer) -> None:
        """Start on the next segment when there is room for it in memory."""
        cost = self._encoding.coded_size(len(segment))
        if self._is_whole(segment):
            cost *= 2  # its blocks are copied into the shares
        await self._window.take(1)
        try:
            await self._budget.take(cost)
        except Exception:
            self._window.give(1)
            raise
        if self._group.failure is not None:
            # Nothing is started any more that would give these back.
            self._budget.give(cost)
            self._window.give(1)
            self._group.check()
        self._group.start(self._segment(self._segments, segment, cost))
        self._segments += 1
        self._group.check()

    async def _segment(self, number: int, ciphertext: Buffer, cost: int) -> None:
        """Code one segment and store its blocks."""
        self._coding += 1
        try:
            try:
                encoded, digest = await self._cpu.run(self._code, number, ciphertext)
            finally:
                self._coding -= 1
            self._samples.take(self._offset(number), encoded.blocks)
            self._hashes.add(number, encoded)
            absorbing = self._absorb(number, ciphertext, encoded, digest)
            if self._is_whole(ciphertext):
                await absorbing
                await self._store_whole(encoded)
            elif self._file.guarded:
                # Nothing is stored before it is known that it is of this file.
                await absorbing
                await self._shares.store(self._offset(number), encoded.blocks)
            else:
                offset, more = self._offset(number), self._coding > 0
                store = self._shares.store(offset, encoded.blocks, more)
                await together([absorbing, store])
            self._stored += len(ciphertext)
            status = self._file.status
            status.stored = max(status.stored, self._stored)
        finally:
            self._budget.give(cost)
            self._window.give(1)

    def _code(self, number: int, ciphertext: Buffer) -> tuple[EncodedSegment, bytes | None]:
        """Code a segment and, if its turn has come, absorb it at once: its hash."""
        encoded = encode_segment(ciphertext, self._encoding.needed, self._encoding.total)
        # Until it has passed, nobody else does.
        due = self._turns.are_at(number)
        return encoded, self._encoder.absorb(ciphertext, encoded) if due else None

    def _is_whole(self, ciphertext: Buffer) -> bool:
        """Whether this is all of a file so short that calls cost more than bytes."""
        return len(ciphertext) == self._file.size and len(ciphertext) <= _SHORT

    async def _store_whole(self, encoded: EncodedSegment) -> None:
        """Store the only segment with all that is around it: one call for each share."""
        file = await self._finish()
        shares = whole_shares(file, self._layout(file.geometry), encoded.blocks)
        await self._shares.store(0, shares)
        self._whole = file

    async def _finish(self) -> EncodedFile:
        return await self._cpu.run(self._encoder.finish, self.chunk_size)

    async def _absorb(
        self,
        number: int,
        ciphertext: Buffer,
        encoded: EncodedSegment,
        digest: bytes | None,
    ) -> None:
        """Have a segment absorbed in its turn; *digest*: it was already."""
        if digest is None:
            await self._turns.wait(number)
            digest = await self._cpu.run(self._encoder.absorb, ciphertext, encoded)
        self._hashes.absorbed(number)
        self._turns.done()
        if self._file.guarded:
            await self._existing.check_segment(number, digest)

    def _offset(self, segment: int) -> int:
        """Return where the blocks of a segment stand in their shares."""
        return self._data + segment * (self.chunk_size // self._encoding.needed)

    def _acceptance(self) -> Acceptance:
        return Acceptance(
            self._file,
            self._encoding,
            self._selector.happy,
            self._existing,
            self._false,
            self._shares,
            self._samples,
            self._clock,
        )
