"""
The contents of one version of a mutable file, segment by segment.

Source: ``docs/formats/mutable.md``, "Retrieving".  All that leaves here is verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import MutableReadCap
from truckee.codec.hashes import Buffer
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import Part
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_segment import (
    LONG,
    EncodedSegment,
    StoredBlock,
    decode_segment,
    encode_segment,
)
from truckee.codec.mutable_share import VerifiedShare
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.flow.memory import give_back
from truckee.immutable.download.fetch import MOST_AT_ONCE, MOST_TINY_AT_ONCE, TINY
from truckee.immutable.download.hedged_reads import Pace, Race
from truckee.mutable.advisories import Advisories
from truckee.mutable.errors import BrokenVersion, NotEnoughMutableShares, VersionGone
from truckee.mutable.sources import BlockSource, BlockSources
from truckee.mutable.versions import Place
from truckee.storage.interfaces import ISlotServer, ReadError, SlotRead

log = Logger()

# Reads of one share, when pages of its block tree were forgotten while it was read.
_TRIES = 2

# The longest read of one request: SDMF has blocks of any length, and a request has to end
# in time over a thin line too.
_PIECE = 1 << 20  # bytes
# A read is called slow after a second for so many bytes, until it is known how fast
# others are.
_A_SECOND = 256 << 10

# A part of a share, and what was read there.
Rows = Mapping[Part, bytes]


@define(eq=False)
class Retriever:
    """
    Reads one version from its *shares*; several calls may be under way at once.

    It holds at most half a megabyte of the block tree of each share that it reads, and the
    blocks of the segments under way.
    """

    _read_cap: MutableReadCap = field(repr=False)
    _prefix: Prefix
    _shares: Mapping[Place, VerifiedShare]
    _cpu: Workers
    _clock: IReactorTime
    _advisories: Advisories = field(factory=Advisories)
    # What the map read of the only segment, not verified.
    _read_before: Mapping[Place, bytes] = field(factory=dict, repr=False)
    _index: bytes = field(init=False)
    _sources: BlockSources = field(init=False)
    _pace: Pace = field(factory=Pace, init=False)
    _adding: Exclusive = field(factory=Exclusive, init=False)  # one writer a tree

    def __attrs_post_init__(self) -> None:
        self._index = self._read_cap.verify_cap().storage_index
        self._sources = BlockSources.of(self.geometry.needed, self._shares)

    @property
    def geometry(self) -> MutableGeometry:
        """How the version is cut."""
        return self._prefix.geometry

    async def segments(self, numbers: range) -> list[bytes]:
        """
        Return the plaintext of adjacent segments.

        All of them are in memory; those that are read together cost little more than one.

        :raises NotEnoughMutableShares: when fewer than k shares are good for one of them.
        :raises VersionGone: when that is so because they were overwritten.
        :raises BrokenVersion: when good shares do not make a segment.
        :raises SegmentTooLarge: when a segment takes too much memory.
        """
        self.geometry.check_readable()
        tiny = self.geometry.segment_size < TINY
        most = MOST_TINY_AT_ONCE if tiny else MOST_AT_ONCE
        found: list[bytes] = []
        for start in range(numbers.start, numbers.stop, most):
            found += await self._adjacent(range(start, min(start + most, numbers.stop)))
        return found

    async def _adjacent(self, numbers: range) -> list[bytes]:
        if len(numbers) > 1:
            with suppress(NotEnoughMutableShares, VersionGone):
                return await self._together(numbers)
        # A bad block costs no more than its segment.
        return [(await self._together(range(number, number + 1)))[0] for number in numbers]

    async def encoded(self, number: int) -> EncodedSegment:
        """
        Return all N blocks of a segment, as they were when it was written.

        :raises NotEnoughMutableShares: and so on, as ``segments``
        """
        self.geometry.check_readable()
        rows = await self._rows(range(number, number + 1))
        blocks = {share: found[0] for share, found in rows.items()}
        return await self._cpu.run(
            _encode_again, blocks, number, self.geometry, self._read_cap.read_key
        )

    async def _together(self, numbers: range) -> list[bytes]:
        rows = await self._rows(numbers)
        return await self._cpu.run(
            _decode, rows, numbers, self.geometry, self._read_cap.read_key
        )

    async def _rows(self, numbers: range) -> Mapping[int, Sequence[StoredBlock]]:
        """Return the verified blocks of adjacent segments, of k shares or more."""
        found: dict[BlockSource, list[StoredBlock]] = {}
        size = len(numbers) * self.geometry.block_length(numbers[0])
        weight = max(len(numbers), -(-size // _A_SECOND))

        async def blocks(source: BlockSource) -> list[StoredBlock] | None:
            began = self._clock.seconds()
            answer = await self._blocks(source, numbers)
            if answer is not None:
                source.speed.took((self._clock.seconds() - began) / weight)
            return answer

        race = Race(self._sources, blocks, self._pace, self._clock, weight)
        await race.run(found)
        return {source.number: answer for source, answer in found.items()}

    async def _blocks(
        self, source: BlockSource, numbers: range
    ) -> list[StoredBlock] | None:
        """Return the verified blocks of one share; None: there are none."""
        slots = source.place.server.slots
        try:
            if slots is None:
                self._sources.give_up(source, "its server went away")
                return None
            for _ in range(_TRIES):
                with suppress(KeyError):
                    return await self._read(source, slots, numbers)
        except CancelledError:
            raise
        except BadShare as error:
            await self._blame(source, slots, error.reason)
        except Unavailable as error:
            # It is gone, or takes too long for one segment, and so for the next.
            self._sources.give_up(source, str(error))
        except Exception as error:
            # A disk may have one bad spot.
            source.speed.demote()
            if not isinstance(error, ReadError):
                log.failure("{server} cannot be read", server=source.place.server.name)
        return None

    async def _read(
        self, source: BlockSource, slots: ISlotServer, numbers: range
    ) -> list[StoredBlock] | None:
        """
        Ask once for blocks, what verifies them, and whose they are.

        :raises BadShare: :raises KeyError: when their hashes were forgotten meanwhile.
        """
        share, check = source.share, self._prefix.checkstring
        block = self._read_before.get(source.place)
        if block is not None:
            return await self._cpu.run(_verify, share, numbers, {}, block)
        trees = list(dict.fromkeys(p for n in numbers for p in share.tree_parts(n)))
        data = share.block_part(numbers)
        wanted = [Part(0, len(check)), *trees, Part(data.offset, min(data.length, _PIECE))]
        reads = [SlotRead(part.offset, part.length) for part in wanted]
        answer = await slots.read(self._index, {source.number}, reads)
        parts = answer.get(source.number)
        if parts is None:
            self._sources.give_up(source, "it is not there any more")
            return None
        if parts[0] != check:
            self._sources.replaced(source)
            return None
        rows = dict(zip(trees, parts[1:-1], strict=True))
        read: Buffer = parts[-1]
        if data.length > _PIECE:
            read = await self._long(source, slots, data, read)
        async with self._adding.hold(source):
            return await self._cpu.run(_verify, share, numbers, rows, read)

    async def _long(
        self, source: BlockSource, slots: ISlotServer, block: Part, first: Buffer
    ) -> Buffer:
        """Return a long block whose *first* piece was read; less if the share ends."""
        # Of its full size from the beginning: one that grows is moved again and again.
        found, end = bytearray(block.length), len(first)
        found[:end] = first
        for at in range(block.offset + _PIECE, block.end, _PIECE):
            piece = SlotRead(at, min(_PIECE, block.end - at))
            answer = await slots.read(self._index, {source.number}, [piece])
            for part in answer.get(source.number, ()):
                found[end : end + len(part)] = part
                end += len(part)
        return memoryview(found)[:end]

    async def _blame(
        self, source: BlockSource, slots: ISlotServer | None, reason: str
    ) -> None:
        """Report a bad block, unless it is one of another version."""
        source.bad_blocks += 1
        if slots is None:
            return
        check = self._prefix.checkstring
        # Parts of a long answer, or of one over HTTPS, are read one after the other.
        try:
            reads = [SlotRead(0, len(check))]
            now = (await slots.read(self._index, {source.number}, reads)).get(source.number)
        except CancelledError:
            raise
        except Exception as error:
            self._sources.give_up(source, str(error))
        else:
            if now is None or now[0] != check:
                self._sources.replaced(source)
                return
        self._advisories.send(self._index, source.place, reason)


def _verify(
    share: VerifiedShare, numbers: range, rows: Rows, data: Buffer
) -> list[StoredBlock]:
    """Return what *data* has of the blocks of *numbers*, all of it verified."""
    for number in numbers:
        missing = share.tree_parts(number)
        if missing:
            share.add_tree_parts(number, [rows[part] for part in missing])
    view, found = memoryview(data), []
    base = share.block_part(numbers).offset
    for number in numbers:
        block = share.block_part(range(number, number + 1))
        found.append(
            share.check_block(number, view[block.offset - base : block.end - base])
        )
    return found


def _decode(
    rows: Mapping[int, Sequence[StoredBlock]],
    numbers: range,
    geometry: MutableGeometry,
    read_key: bytes,
) -> list[bytes]:
    """Return the plaintext of *numbers* from the blocks of at least k shares."""
    if geometry.segment_size >= LONG:
        give_back()
    chosen = sorted(rows)[: geometry.needed]
    plaintexts = []
    for at, number in enumerate(numbers):
        blocks = {share: rows[share][at] for share in chosen}
        try:
            plaintexts.append(decode_segment(blocks, read_key, number, geometry))
        except BadShare:
            raise BrokenVersion(number) from None
    return plaintexts


def _encode_again(
    blocks: Mapping[int, StoredBlock],
    number: int,
    geometry: MutableGeometry,
    read_key: bytes,
) -> EncodedSegment:
    chosen = {share: blocks[share] for share in sorted(blocks)[: geometry.needed]}
    salt = next(iter(chosen.values())).salt
    try:
        plaintext = decode_segment(chosen, read_key, number, geometry)
    except BadShare:
        raise BrokenVersion(number) from None
    return encode_segment(plaintext, read_key, salt, geometry)
