"""
Bytes written into an MDMF file where they belong: only the segments that they touch.

Source: ``docs/formats/mutable.md``, "Changing some segments".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import MutableWriteCap
from truckee.codec.hashes import Buffer
from truckee.codec.mdmf import Update, is_updatable
from truckee.codec.merkle import tree_size
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import SALT_SIZE
from truckee.codec.mutable_prefix import MAX_SEQUENCE
from truckee.codec.mutable_segment import EncodedSegment, encode_segment
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.mutable_version import SignedVersion
from truckee.codec.rsa_keys import SigningKey
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.together import together
from truckee.mutable.new_version import share_of
from truckee.mutable.share_writes import Published, ShareWrites
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.mutable.write_errors import LastVersion
from truckee.storage.interfaces import NotConnected, SlotRead, SlotWrite
from truckee.storage.limited import in_time

# Returns the plaintext of some segments of the version that is changed.
ReadSegments = Callable[[range], Coroutine[Deferred[Any], Any, list[bytes]]]

# Bytes of all shares that are changed at once, trees and all; more is a whole version.
MOST_CHANGED = 16 << 20
_READ = 60.0  # seconds for a block tree


@frozen(eq=False)
class _Changed:
    """A version some of whose segments are new."""

    signed: SignedVersion
    segments: Mapping[int, EncodedSegment] = field(repr=False)

    def writes(self, number: int) -> list[SlotWrite]:
        """Return what changes in share *number*."""
        blocks = [
            self.signed.block_write(number, segment, encoded)
            for segment, encoded in sorted(self.segments.items())
        ]
        return [SlotWrite(*each) for each in self.signed.writes(number) + blocks]


@define(eq=False)
class Updater:
    """Changes some segments of MDMF files where they are."""

    _lease_secret: bytes = field(repr=False)  # 32 bytes, of this client
    _cpu: Workers
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    _most: int = MOST_CHANGED

    async def write(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        known: Versions,
        offset: int,
        data: Buffer,
        read: ReadSegments,
    ) -> Published | None:
        """
        Write *data* at *offset* into the best version that is *known*.

        *read* gives segments of that; at most two are asked for.  None: the file is to be
        written as a whole, and nothing was done.  That is so unless all servers' shares are
        of that version, in the usual layout, with every number, and little changes.

        :raises BeyondEnd: :raises LastVersion: :raises UncoordinatedWrite:
        :raises TooFewPlaced: What *read* raises is raised too.
        """
        update = self._possible(known, offset, len(data))
        if update is None:
            return None
        if known.next_sequence > MAX_SEQUENCE:
            raise LastVersion
        (prefix,) = known.by_prefix()
        shares = {place.number: (place, share) for place, share in known.shares.items()}
        writes = ShareWrites(
            cap, known, self._lease_secret, len(prefix.checkstring), self._clock
        )
        try:
            trees = await together(
                self._tree(writes, *shares[number]) for number in sorted(shares)
            )
        except (OSError, TruckeeError):
            return None
        old = {n: (await read(range(n, n + 1)))[0] for n in update.needed}
        salts = self._random(SALT_SIZE * len(update.segments))

        def make() -> _Changed:
            return _make(cap, key, known.next_sequence, update, data, old, salts, trees)

        return await self._send(writes, await self._cpu.run(make))

    def _possible(self, known: Versions, offset: int, length: int) -> Update | None:
        """Return what changes; None: the file is to be written as a whole."""
        if not _is_whole(known):
            return None
        header = next(iter(known.shares.values())).header
        geometry = header.prefix.geometry
        update = Update(geometry, offset, length)
        stored = update.after.block_size + update.after.salt_size
        trees = tree_size(geometry.leaves) + tree_size(update.after.leaves)
        changed = len(update.segments) * stored + trees
        return update if changed * geometry.total <= self._most else None

    async def _tree(self, writes: ShareWrites, place: Place, share: VerifiedShare) -> bytes:
        """Return the whole block tree of a share, checked."""
        part = share.whole_tree()
        server = place.server
        if server.slots is None:
            raise NotConnected(server.name)
        reads = [SlotRead(part.offset, part.length)]
        index = writes.cap.verify_cap().storage_index
        asked = server.slots.read(index, {place.number}, reads)
        found = await in_time(asked, _READ, self._clock, server.name)
        if place.number not in found:
            raise BadShare("it is gone")
        tree = bytes(found[place.number][0])
        await self._cpu.run(share.check_tree, tree)
        return tree

    async def _send(self, writes: ShareWrites, changed: _Changed) -> Published:
        """Change all shares, each in one request, side by side."""
        prefix = changed.signed.header.prefix
        places = list(writes.known.shares)
        size = sum(len(each.data) for each in changed.writes(0))

        async def write(place: Place) -> None:
            test, parts = writes.before(place), changed.writes(place.number)
            new, beside = prefix.checkstring, size * len(places)
            if await writes.send(place, test, parts, new, beside):
                writes.placed.add(place)

        await together(write(place) for place in places)
        writes.check(prefix.geometry.needed)
        placed = {place: share_of(changed.signed, place.number) for place in writes.placed}
        return Published(prefix, placed, dict(writes.failed))


def _is_whole(known: Versions) -> bool:
    """Tell whether all that is known are shares of one version that can be changed."""
    best = known.best
    if best is None or known.damaged or len(known.by_prefix()) > 1:
        return False
    cut, headers = best.geometry, {share.header for share in known.shares.values()}
    return (
        len(headers) == 1
        and is_updatable(headers.pop())
        and len(numbers_of(known.shares)) == cut.total
        # Else there could be too few shares of both versions on the way.
        and cut.total >= 2 * cut.needed - 1
    )


def _make(
    cap: MutableWriteCap,
    key: SigningKey,
    sequence: int,
    update: Update,
    data: Buffer,
    old: Mapping[int, bytes],
    salts: bytes,
    trees: list[bytes],
) -> _Changed:
    """Encrypt and code what changes, and sign; this is for a worker thread."""
    view, read_key = memoryview(data), cap.read_cap().read_key
    changed = {}
    for at, segment in enumerate(update.segments):
        piece = update.piece(segment)
        plaintext = update.plaintext(
            segment, view[piece.start : piece.stop], old.get(segment, b"")
        )
        salt = salts[at * SALT_SIZE :][:SALT_SIZE]
        changed[segment] = encode_segment(plaintext, read_key, salt, update.after)
    version = update.apply(sequence, trees, changed)
    return _Changed(version.sign(key, cap.write_key), changed)
