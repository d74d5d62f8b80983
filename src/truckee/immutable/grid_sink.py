"""
Ciphertext to shares on servers, from here.

Each segment is coded in the workers as soon as it is whole, and its blocks go to their
servers at once; a few segments are under way at the same time.  The hash trees, the UEB
and the header follow when the last byte has come.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.encoder import EncodedFile, EncodedSegment, FileEncoder, encode_segment
from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.hashes import Buffer
from truckee.codec.segments import Segmenter
from truckee.codec.share import ShareLayout
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import Group, Turns, together
from truckee.grid.placement import happiness
from truckee.grid.selection import NotEnoughServers, Placement, Selector
from truckee.immutable.existing import ExistingShares
from truckee.immutable.laggards import laggards
from truckee.immutable.share_stream import ShareStream
from truckee.immutable.sinks import ICiphertextSink, WrongSize
from truckee.storage.interfaces import NoSpace
from truckee.storage.journal import Journal

log = Logger()

# Segments of one file under way: one is coded by each core, one is written, one waits.
WINDOW = 4
# How often it is looked whether one server keeps the others waiting.
LOOK = 0.1  # seconds


@define
class DamagedShares(Unavailable):
    """
    Servers hold broken shares of this file, and only {found} servers hold good ones,
    where {needed} are demanded (shares.happy). Upload it with key=random, or repair it.
    """

    found: int
    needed: int


@define
class LeftBehind(Unavailable):
    """{server} took {seconds:.1f} seconds for a write while all others waited."""

    server: str
    seconds: float


@define(eq=False)
class GridSinks:
    """Opens sinks that store files on a grid."""

    encoding: Encoding
    _selector: Selector
    _journal: Journal
    _cpu: Workers
    _budget: Budget  # bytes of file data in memory
    max_unknown_size: int  # bytes a file may grow to whose size is not known
    _clock: IReactorTime

    async def open(
        self, storage_index: bytes, size: int | None, guarded: bool = False
    ) -> GridSink:
        """
        Find servers for a file of *size* bytes, more than a literal cap holds.

        With *guarded*, no segment that differs from what is already stored under
        *storage_index* leaves here.  The caller sees to it that nobody else is writing
        the same file.

        :raises NoSpace: :raises NotEnoughServers: when it cannot be placed.
        """
        encoding = self.encoding
        if size is None:
            segment_size = encoding.streaming_segment_size
            largest = Geometry(
                self.max_unknown_size, encoding.needed, encoding.total, segment_size
            )
            share_size = ShareLayout.streamed(largest).size
        else:
            geometry = encoding.geometry(size)
            segment_size = geometry.segment_size
            share_size = ShareLayout.stock(geometry).size
        placement = await self._selector.place(
            storage_index, encoding.total, share_size, open_ended=size is None
        )
        sink = GridSink(
            storage_index,
            size,
            segment_size,
            encoding,
            placement,
            self._selector,
            self._journal,
            self._cpu,
            self._budget,
            self._clock,
            guarded,
        )
        try:
            await sink.look_at_existing()
        except Exception:
            await sink.abort()
            raise
        return sink


@implementer(ICiphertextSink)
@define(eq=False)
class GridSink:
    """One file on its way to the grid."""

    _storage_index: bytes
    _size: int | None
    chunk_size: int  # bytes, of a segment
    _encoding: Encoding
    _placement: Placement
    _selector: Selector
    _journal: Journal
    _cpu: Workers
    _budget: Budget
    _clock: IReactorTime
    _guarded: bool

    _data: int = field(init=False)  # where the blocks start in a share
    _encoder: FileEncoder = field(init=False)
    _segmenter: Segmenter = field(init=False)
    _existing: ExistingShares = field(init=False)
    _streams: list[ShareStream] = field(factory=list, init=False)
    _group: Group = field(factory=Group, init=False)
    _turns: Turns = field(factory=Turns, init=False)
    _window: Budget = field(factory=lambda: Budget(WINDOW), init=False)
    _received: int = field(default=0, init=False)  # bytes
    _segments: int = field(default=0, init=False)  # begun so far
    _look: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        k, n = self._encoding.needed, self._encoding.total
        self._data = (
            ShareLayout.streamed_data_offset()
            if self._size is None
            else self._layout(self._encoding.geometry(self._size)).data
        )
        self._encoder = FileEncoder(self._storage_index, k, n)
        self._segmenter = Segmenter(self.chunk_size)
        self._existing = ExistingShares(self._storage_index, k, n)
        self._streams = [
            ShareStream(
                share,
                self._placement.servers[share],
                writer,
                self._group,
                self._clock.seconds,
                self._on_lost,
            )
            for share, writer in self._placement.writers.items()
        ]

    async def look_at_existing(self) -> None:
        """Read what finished shares say about themselves, before the first write."""
        await self._existing.read(self._placement.existing)
        self._watch()

    async def write(self, chunk: Buffer) -> None:
        """See ``ICiphertextSink``."""
        self._received += len(chunk)
        if self._size is not None and self._received > self._size:
            raise WrongSize(self._received, self._size)
        for segment in self._segmenter.feed(chunk):
            await self._begin(segment)

    async def close(self) -> ChkVerifyCap:
        """See ``ICiphertextSink``."""
        rest = self._segmenter.finish()
        if rest:
            await self._begin(rest)
        await self._group.join()
        if self._size not in (None, self._encoder.size):
            raise WrongSize(self._encoder.size, self._size or 0)
        self._existing.check_size(self._encoder.size)
        file = await self._cpu.run(self._encoder.finish, self.chunk_size)
        layout = self._layout(file.geometry)
        await together(self._finish(stream, file, layout) for stream in self._streams)
        self._group.check()
        new = {stream.share: stream.server for stream in self._streams}
        async with self._journal.showing(self._storage_index, new):
            await together(stream.close(layout.size) for stream in self._streams)
            self._check_happiness(file.ueb)
            lost = [stream for stream in self._streams if stream.error]
            await together(self._remove(stream) for stream in lost)
        self._stop_watching()
        await self._selector.renew(self._storage_index, self._placement)
        return file.verify_cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``."""
        self._stop_watching()
        await self._group.stop()
        await together(stream.writer.abort() for stream in self._streams)

    def _layout(self, geometry: Geometry) -> ShareLayout:
        known = self._size is not None
        return ShareLayout.stock(geometry) if known else ShareLayout.streamed(geometry)

    async def _begin(self, segment: Buffer) -> None:
        """Start on the next segment when there is room for it in memory."""
        cost = self._encoding.coded_size(len(segment))
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
        k, n = self._encoding.needed, self._encoding.total
        try:
            encoded = await self._cpu.run(encode_segment, ciphertext, k, n)
            if self._guarded:
                await self._existing.check_segment(number, encoded.segment_hash)
            offset = self._data + number * (self.chunk_size // k)
            await together(
                [
                    self._absorb(number, ciphertext, encoded),
                    *(
                        each.put(offset, encoded.blocks[each.share])
                        for each in self._streams
                    ),
                ]
            )
        finally:
            self._budget.give(cost)
            self._window.give(1)

    async def _absorb(
        self, number: int, ciphertext: Buffer, encoded: EncodedSegment
    ) -> None:
        await self._turns.wait(number)
        await self._cpu.run(self._encoder.absorb, ciphertext, encoded)
        self._turns.done()

    async def _finish(
        self, stream: ShareStream, file: EncodedFile, layout: ShareLayout
    ) -> None:
        """Write what follows the blocks, and the header last."""
        end = layout.data + file.geometry.share_data_size
        # One piece, which is one call: over a network each costs a round trip.
        unread = bytes(layout.plaintext_tree_size)
        await stream.put(end, b"".join([unread, *file.trailer(stream.share, layout)]))
        await stream.put(0, layout.pack_header())

    def _on_lost(self, lost: ShareStream) -> None:
        """Go on without a share while there is happiness enough."""
        log.warn(
            "Share {share} on {server} was given up: {error}",
            share=lost.share,
            server=lost.server.name,
            error=repr(lost.error),
        )
        found = self._happiness_without()
        if found < self._selector.happy:
            if isinstance(lost.error, NoSpace):
                raise lost.error
            raise NotEnoughServers(found, self._selector.happy) from lost.error

    def _happiness_without(self, *more: ShareStream) -> int:
        """Return the happiness if *more* were given up too."""
        lost = [*more, *(stream for stream in self._streams if stream.error)]
        return self._placement.happiness(frozenset(stream.share for stream in lost))

    def _watch(self) -> None:
        """Go on without a server that all the others wait for, now and then."""
        self._look = self._clock.callLater(LOOK, self._watch)
        live = [stream for stream in self._streams if stream.error is None]
        for stream in laggards(live):
            if self._happiness_without(stream) >= self._selector.happy:
                stream.leave_behind(LeftBehind(stream.server.name, stream.waited or 0.0))

    def _stop_watching(self) -> None:
        look, self._look = self._look, None
        if look is not None and look.active():
            look.cancel()

    async def _remove(self, lost: ShareStream) -> None:
        """Remove a share that was given up; who was left behind may take its time."""
        if not isinstance(lost.error, LeftBehind):
            await lost.writer.abort()
            return
        removing = Deferred.fromCoroutine(lost.writer.abort())
        removing.addErrback(lambda failure: log.failure("A share was not removed", failure))

    def _check_happiness(self, ueb: bytes) -> None:
        """Count what is really there: new shares, and old ones of this very file."""
        holders = self._existing.holders(ueb)
        for stream in self._streams:
            if stream.error is None:
                holders.setdefault(stream.share, set()).add(stream.server)
        found = happiness(holders)
        if found < self._selector.happy:
            raise DamagedShares(found, self._selector.happy)
