"""
Writing a new version of a mutable file to the servers.

Source: ``docs/mutable-files.md``, "How a version is written".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from sys import maxsize

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import MutableWriteCap
from truckee.codec.geometry import MAX_SEGMENT_SIZE
from truckee.codec.hashes import Buffer
from truckee.codec.mutable_prefix import CHECK_SIZES, MAX_SEQUENCE
from truckee.codec.mutable_version import SignedVersion
from truckee.codec.rsa_keys import SigningKey
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import together
from truckee.grid.permute import permuted
from truckee.immutable.upload.body import Body
from truckee.mutable import new_version
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.new_version import NewVersion, VersionSpec
from truckee.mutable.placement import Plan, another, plan, plan_beside
from truckee.mutable.share_writes import Published, ShareWrites
from truckee.mutable.streamed_write import BATCH, StreamedWrite
from truckee.mutable.update import ReadSegments, Updater
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.mutable.write_errors import (
    LastVersion,
    NoPlaceBeside,
    TooFewPlaced,
    TooLargeForSdmf,
)
from truckee.storage.interfaces import MAX_SLOT_DATA, IStorageServer

# Bytes of all shares of an MDMF version that is written with one request for each share.
MOST_AT_ONCE = 16 << 20
# Bytes of shares that are on their way at once, where all of them would be more.
_IN_FLIGHT = 16 << 20


@define(eq=False)
class Publisher:
    """
    Writes versions to the servers that a file is on and, for the shares that are nowhere,
    to those that *takers* returns at that time.
    """

    _takers: Callable[[], Iterable[IStorageServer]]
    _lease_secret: bytes = field(repr=False)  # 32 bytes, of this client
    _cpu: Workers
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    _at_once: int = MOST_AT_ONCE
    _batch: int = BATCH

    async def publish(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        known: Versions,
        content: bytes | AsyncIterator[bytes],
        needed: int,
        total: int,
    ) -> Published:
        """
        Write a version with this *content*, k-of-N, above all that are *known*.

        A file that is there stays SDMF or MDMF, a new one is what its cap says.  Beyond
        ``MOST_AT_ONCE`` MDMF is written while *content* arrives, beside the version that is
        there; when that fails, the old one stays.  Of a shorter file some shares may be of
        the new version then and others not.

        :raises UncoordinatedWrite: when somebody else has written since *known* was found;
            all requests have ended then.
        :raises TooFewPlaced: when fewer than k different shares were placed.
        :raises NoPlaceBeside: when a long file has no servers for another version.
        :raises TooLargeForSdmf: :raises TooLargeForMdmf: :raises LastVersion:
        :raises WrongKey: :raises BadPrivateKey: nothing was written then.  What *content*
            raises is raised too.
        """
        spec = _spec(cap, key, known, needed, total)
        most = _most_at_once(spec, self._at_once)
        body = _body_of(content, most)
        await body.peek(most + 1)
        writes = ShareWrites(
            cap, known, self._lease_secret, CHECK_SIZES[spec.format], self._clock
        )
        takers = self._takers_of(spec, known)
        if body.size <= most:
            signed, left = await self._write_at_once(spec, writes, takers, body)
        elif spec.format == "MDMF":
            signed, left = await self._stream(spec, writes, takers, body, most)
        else:
            raise TooLargeForSdmf(body.size, most)
        await delete_others(writes, left, signed)
        placed = {
            place: new_version.share_of(signed, place.number) for place in writes.placed
        }
        return Published(signed.header.prefix, placed, dict(writes.failed))

    async def update(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        known: Versions,
        offset: int,
        data: Buffer,
        read: ReadSegments,
    ) -> Published | None:
        """Write *data* into a file at *offset*, where it is; see ``Updater.write``."""
        updater = Updater(self._lease_secret, self._cpu, self._clock, self._random)
        return await updater.write(cap, key, known, offset, data, read)

    def _takers_of(self, spec: VersionSpec, known: Versions) -> list[IStorageServer]:
        """Return who can be given shares, the first for this file first."""
        able = [server for server in self._takers() if server.slots is not None]
        # Who did not answer a moment ago is not asked to store what another one can.
        answering = [server for server in able if server not in known.failed]
        order = permuted(answering or able, spec.cap.verify_cap().storage_index)
        # Nor one who was not asked, if there are enough others: it may have a share that
        # nobody knows of, which would look like that of another writer.
        asked = {place.server for place in (*known.shares, *known.damaged)}
        asked.update(known.empty)
        seen = [server for server in order if server in asked]
        return seen if len(seen) >= spec.total else order

    async def _write_at_once(
        self,
        spec: VersionSpec,
        writes: ShareWrites,
        takers: Sequence[IStorageServer],
        body: Body,
    ) -> tuple[SignedVersion, Iterable[Place]]:
        """Write each share in one request; return the version, and what else is there."""
        data = body.take_all()
        salts = self._random(new_version.salts_needed(spec.geometry(len(data))))
        version = await self._cpu.run(new_version.encode, data, spec, salts)
        del data
        where = _places(spec, writes.known, takers)
        try:
            await write_all(writes, where.places, version, self._cpu)
            if not writes.surprised:
                again = _homeless(writes, where, spec.total, takers)
                await write_all(writes, again, version, self._cpu)
            writes.check(spec.needed)
        except Exception:
            if where.kept:
                await writes.withdraw(version.signed.header.prefix.checkstring)
            raise
        return version.signed, where.surplus

    async def _stream(
        self,
        spec: VersionSpec,
        writes: ShareWrites,
        takers: Sequence[IStorageServer],
        body: Body,
        most: int,
    ) -> tuple[SignedVersion, Iterable[Place]]:
        """Write while it comes, beside the version that is there; return it, and that."""
        where = plan_beside(writes.known, spec.total, takers)
        missing = set(range(spec.total)) - numbers_of(where.places)
        if missing and where.kept:
            raise NoPlaceBeside(most, min(missing))
        if missing:
            raise TooFewPlaced(len(where.places), spec.needed)
        stream = StreamedWrite(
            spec, writes, where, takers, self._cpu, self._random, self._batch
        )
        return await stream.run(body), where.surplus


def _places(spec: VersionSpec, known: Versions, takers: Sequence[IStorageServer]) -> Plan:
    """
    Return where the shares go: where the old ones are, unless that could lose both.

    When the write is broken off, or another writer takes some of the places, the old
    version may have too few shares, and the new one not enough yet.
    """
    old = known.best
    if old is not None:
        least = old.geometry.needed + spec.needed - 1
        if len(numbers_of(known.of(old))) < least:
            where = plan_beside(known, spec.total, takers)
            if len(where.places) == spec.total:
                return where
    return plan([*known.shares, *known.damaged], spec.total, takers)


async def write_all(
    writes: ShareWrites, places: Sequence[Place], version: NewVersion, cpu: Workers
) -> None:
    """Write whole shares, each in one request, side by side."""
    header = version.signed.header
    new, size = header.prefix.checkstring, header.layout.end
    budget = Budget(_IN_FLIGHT)

    async def write(place: Place) -> None:
        async with budget.hold(size):
            test = writes.before(place)
            if version.is_long:
                parts = await cpu.run(version.writes, place.number)
            else:
                parts = version.writes(place.number)
            if await writes.send(place, test, parts, new, size * len(places)):
                writes.placed.add(place)

    await together(write(place) for place in places)


async def delete_others(
    writes: ShareWrites, places: Iterable[Place], signed: SignedVersion
) -> None:
    """
    Delete shares of other versions.

    Until they are gone one who has not seen the new version can still replace them, and so
    make another one with its number.  :raises UncoordinatedWrite: when somebody did
    """
    new = signed.header.prefix.checkstring
    await together(writes.delete(place, writes.before(place), new) for place in places)
    if writes.surprised:
        raise UncoordinatedWrite


def _body_of(content: bytes | AsyncIterator[bytes], most: int) -> Body:
    """Return *content* as a body; in pieces if it has more than *most* bytes."""
    if not isinstance(content, bytes):
        return Body(content, maxsize)
    return Body.whole(content) if len(content) <= most else Body.of(content)


def _most_at_once(spec: VersionSpec, at_once: int) -> int:
    """
    Return the largest size of a version that is written in single requests.

    *at_once* are the bytes of all shares of such a version of MDMF.
    """
    around = spec.share_size(0)
    if spec.format != "MDMF":
        return min(MAX_SEGMENT_SIZE, (MAX_SLOT_DATA - around) * spec.needed)
    # Salts and trees are a small part of the blocks.
    room = max(at_once - spec.total * around, 0)
    return room // spec.total * spec.needed


def _spec(
    cap: MutableWriteCap, key: SigningKey, known: Versions, needed: int, total: int
) -> VersionSpec:
    """Return which version comes next: of the kind of what is there, else of the cap's."""
    if known.next_sequence > MAX_SEQUENCE:
        raise LastVersion
    found = known.best or next(iter(known.unrecoverable), None)
    format = cap.format if found is None else found.format
    return VersionSpec(cap, key, known.next_sequence, format, needed, total)


def _homeless(
    writes: ShareWrites, where: Plan, total: int, takers: Sequence[IStorageServer]
) -> list[Place]:
    """Return a second place for each share that has none now; none if nobody takes it."""
    failed = {place.server for place in writes.failed}
    able = [server for server in takers if server not in failed]
    used = writes.planned | where.kept
    found = []
    for number in sorted(set(range(total)) - numbers_of(writes.placed)):
        place = another(number, able, used)
        if place is not None:
            found.append(place)
            used.add(place)
    return found
