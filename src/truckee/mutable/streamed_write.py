"""
An MDMF version that is written while its content arrives, in bounded memory.

Source: ``docs/mutable-files.md``, "Long files".  Its shares go to places where there is
none of the version that readers get, so that this one stays whole until the new one is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.codec.merkle import tree_size
from truckee.codec.mutable_geometry import MAX_TREES_SIZE, SALT_SIZE, MutableGeometry
from truckee.codec.mutable_layout import MDMF_DATA_OFFSET
from truckee.codec.mutable_segment import EncodedSegment, encode_segment
from truckee.codec.mutable_version import SignedVersion, VersionEncoder
from truckee.flow.cpu import Workers
from truckee.flow.together import Group, together
from truckee.immutable.upload.body import Body, Pieces
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.new_version import VersionSpec, blocks_of
from truckee.mutable.placement import Plan, another
from truckee.mutable.share_writes import ShareWrites
from truckee.mutable.versions import Place, numbers_of
from truckee.mutable.write_errors import TooFewPlaced, TooLargeForMdmf
from truckee.storage.interfaces import IStorageServer, SlotTest, SlotWrite

# Bytes that are sent to all shares side by side.  The next ones are made meanwhile, and
# foolscap and TLS copy what they send, so that in memory are four or five times as many.
BATCH = 6 << 20
_MOST_OF_SHARE = 1 << 20  # of them, for one share
_LEAST_OF_SHARE = 1 << 16


def _marker(random: Callable[[int], bytes]) -> bytes:
    """
    Return what a share begins with until it is complete, which no other writer has.

    It is a checkstring of a version 0, which there is not.
    """
    return b"\x01" + bytes(8) + random(32)


@define(eq=False)
class StreamedWrite:
    """
    Write one version where *plan* says, piece by piece, and the heads of its shares last.
    """

    _spec: VersionSpec
    _writes: ShareWrites
    _plan: Plan
    _takers: Sequence[IStorageServer]
    _cpu: Workers
    _random: Callable[[int], bytes]
    _batch: int = BATCH
    _places: list[Place] = field(init=False)  # where it is being written
    _cut: MutableGeometry = field(init=False)  # of an empty file: all but the size
    _encoder: VersionEncoder = field(init=False, repr=False)
    _marker: bytes = field(init=False, repr=False)
    _end: int = field(default=MDMF_DATA_OFFSET, init=False)  # of the shares, by now
    _begun: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._places = list(self._plan.places)
        self._cut = self._spec.geometry(0)
        self._encoder = VersionEncoder(self._spec.total)
        self._marker = _marker(self._random)

    async def run(self, body: Body) -> SignedVersion:
        """
        Write all of *body*; return the version, which has k different shares at least.

        When it fails, or is cancelled, nothing of it is left on servers that answer.

        :raises UncoordinatedWrite: :raises TooFewPlaced: :raises TooLargeForMdmf:
        """
        signed: SignedVersion | None = None
        try:
            await self._cpu.run(self._spec.check_key)
            await self._write_blocks(body)
            signed = await self._sign(body.size)
            await self._write_trees(signed)
            await self._write_heads(signed)
        except Exception:
            beginnings = [self._marker]
            if signed is not None:
                beginnings.append(signed.header.prefix.checkstring)
            await self._writes.withdraw(*beginnings)
            raise
        return signed

    async def _write_blocks(self, body: Body) -> None:
        """Encrypt and code what comes, and send it while the next is made."""
        pieces = Pieces(body, lambda: self._cut.segment_size)
        stored = self._cut.block_size + self._cut.salt_size
        count = max(1, self._piece_size() // stored)
        most = self._most_segments() * self._cut.segment_size
        sending = Group()
        try:
            while batch := await _take(pieces, count):
                if body.size > most:
                    raise TooLargeForMdmf(most)
                blocks = await self._encode(batch)
                await sending.join()
                sending.start(self._append(blocks))
            await sending.join()
        except Exception:
            await sending.stop()
            raise

    def _piece_size(self) -> int:
        """Return about how many bytes of each share are sent at once."""
        size = self._batch // self._spec.total
        return min(max(size, _LEAST_OF_SHARE), _MOST_OF_SHARE)

    def _most_segments(self) -> int:
        """Return how many segments have block trees that fit in memory."""
        segments = 1
        while tree_size(2 * segments) * self._spec.total <= MAX_TREES_SIZE:
            segments *= 2
        return segments

    async def _encode(self, batch: Sequence[Buffer]) -> list[Buffer]:
        """Return the blocks of some segments, with their salts, as each share has them."""
        salts = self._random(SALT_SIZE * len(batch))
        read_key = self._spec.cap.read_cap().read_key
        segments = await together(
            self._cpu.run(
                encode_segment,
                piece,
                read_key,
                salts[number * SALT_SIZE :][:SALT_SIZE],
                self._cut,
            )
            for number, piece in enumerate(batch)
        )
        return await self._cpu.run(self._absorb, segments)

    def _absorb(self, segments: Sequence[EncodedSegment]) -> list[Buffer]:
        for each in segments:
            self._encoder.absorb(each)
        return [blocks_of(segments, n, salted=True) for n in range(self._spec.total)]

    async def _sign(self, size: int) -> SignedVersion:
        def sign() -> SignedVersion:
            spec = self._spec
            version = self._encoder.finish(spec.geometry(size), spec.sequence)
            return version.sign(spec.key, spec.cap.write_key)

        return await self._cpu.run(sign)

    async def _write_trees(self, signed: SignedVersion) -> None:
        """Send the block trees, behind the blocks."""
        trees = signed.version.block_trees
        size = self._piece_size()
        for start in range(0, len(trees[0]), size):
            await self._append([tree[start : start + size] for tree in trees])

    async def _append(self, pieces: Sequence[Buffer]) -> None:
        """Add a piece to the end of each share."""
        start, self._end = self._end, self._end + len(pieces[0])

        async def send(place: Place) -> None:
            await self._send(
                place, [SlotWrite(start, pieces[place.number])], len(pieces[0])
            )

        await together(send(place) for place in self._places)
        if not self._begun:
            # What is sent first is still here for others, in the place of those who failed.
            self._begun = True
            others = self._others()
            self._places += others
            await together(send(place) for place in others)
        self._check(self._places)

    async def _send(self, place: Place, writes: list[SlotWrite], size: int) -> None:
        beside = size * len(self._places)
        if place in self._writes.planned:
            test = SlotTest(0, len(self._marker), self._marker)
            await self._writes.send(place, test, writes, b"", beside)
            return
        # What a share that is replaced has of an older version is cut off.
        head = self._marker.ljust(MDMF_DATA_OFFSET, b"\0")
        await self._writes.send(
            place,
            self._writes.before(place),
            [SlotWrite(0, head), *writes],
            self._marker,
            beside,
            self._end if self._writes.is_known(place) else None,
        )

    def _others(self) -> list[Place]:
        """Return other places for shares that servers did not take."""
        failed = {place.server for place in self._writes.failed}
        able = [server for server in self._takers if server not in failed]
        used = self._plan.kept | self._writes.planned
        found: list[Place] = []
        for number in sorted(numbers_of(self._writes.failed)):
            place = another(number, able, used | {*found})
            found += [] if place is None else [place]
        return found

    def _check(self, good: Sequence[Place]) -> None:
        """Continue with those of *good* that have stored all so far, if they are enough."""
        if self._writes.surprised:
            raise UncoordinatedWrite
        self._places = [place for place in good if place not in self._writes.failed]
        numbers = numbers_of(self._places)
        if len(numbers) < self._spec.needed:
            raise TooFewPlaced(len(numbers), self._spec.needed)

    async def _write_heads(self, signed: SignedVersion) -> None:
        """Make shares of what was sent: with this they are complete."""
        new = signed.header.prefix.checkstring
        test = SlotTest(0, len(self._marker), self._marker)

        async def write(place: Place) -> None:
            head = [
                SlotWrite(offset, data)
                for offset, data in signed.writes(place.number)
                if offset < MDMF_DATA_OFFSET
            ]
            # A server may have to copy the share for this.
            if await self._writes.send(place, test, head, new, signed.header.layout.end):
                self._writes.placed.add(place)

        await together(write(place) for place in self._places)
        self._check(self._places)


async def _take(pieces: Pieces, count: int) -> list[Buffer]:
    """Return the next *count* pieces, fewer at the end."""
    batch: list[Buffer] = []
    async for piece in pieces:
        batch.append(piece)
        if len(batch) == count:
            break
    return batch
