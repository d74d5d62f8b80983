"""
Making the shares of a mutable file again that are missing, damaged or of another version.

The shares are those of the version that is there, byte for byte and under its sequence
number: whoever has seen it sees no other one.  Only a fork is settled by a new version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import MutableCap, MutableWriteCap
from truckee.codec.mutable_secrets import encrypt_private_key
from truckee.codec.mutable_segment import EncodedSegment
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.mutable_version import SignedVersion, VersionEncoder
from truckee.codec.rsa_keys import SigningKey
from truckee.errors import Corrupt, TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.grid.permute import permuted
from truckee.mutable.check import MutableChecker, MutableReport
from truckee.mutable.files import MutableFiles
from truckee.mutable.new_version import NewVersion
from truckee.mutable.placement import plan
from truckee.mutable.publish import delete_others, write_all
from truckee.mutable.reader import MAX_WHOLE
from truckee.mutable.retrieve import Retriever
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.share_writes import ShareWrites
from truckee.mutable.versions import DamagedShare, Place, Versions, numbers_of
from truckee.storage.interfaces import IStorageServer

log = Logger()


@define
class OtherShares(Corrupt):
    """
    Shares made anew of this version would not be its own: another program made them in
    another way. Write the file again to make all of them new.
    """


@frozen(eq=False)
class MutableRepairReport:
    """A file before and after; both are the same when nothing was attempted."""

    before: MutableReport
    attempted: bool
    after: MutableReport

    @property
    def successful(self) -> bool:
        """Whether it was attempted, and nothing is missing now."""
        return self.attempted and self.after.healthy


@define(eq=False)
class MutableRepairer:
    """Repairs mutable files on the servers that have them, and on *takers*."""

    checker: MutableChecker
    _mapper: Mapper
    _files: MutableFiles
    _takers: Callable[[], Iterable[IStorageServer]]
    _lease_secret: bytes = field(repr=False)  # 32 bytes, of this client
    _cpu: Workers
    _clock: IReactorTime
    _memory: Budget = field(factory=lambda: Budget(2 * MAX_WHOLE), init=False)

    async def check_and_repair(
        self, cap: MutableCap, verify: bool = False, *, add_lease: bool = False
    ) -> MutableRepairReport:
        """
        Check a file, repair it if it is not healthy and can be, and check it once more.

        That takes a write cap.  A version that is newer than the best one and cannot be
        read now is left alone: its other shares may come back.

        :raises BrokenVersion: :raises OtherShares: when whoever wrote it made a mistake.
        """
        before = await self.checker.check(cap, verify, add_lease=add_lease)
        if before.healthy or not isinstance(cap, MutableWriteCap):
            return MutableRepairReport(before, False, before)
        if before.best is None or before.versions.hidden:
            log.warn("A mutable file cannot be repaired: {why}", why=_why_not(before))
            return MutableRepairReport(before, True, before)
        try:
            if before.versions.is_forked:
                await self._files.modify(cap, lambda content: content)
            else:
                await self._rebuild(cap, before)
        except Corrupt:
            raise
        except TruckeeError as error:
            log.warn("A mutable file was not repaired: {error}", error=str(error))
        after = await self.checker.check(cap, verify)
        return MutableRepairReport(before, True, after)

    async def _rebuild(self, cap: MutableWriteCap, report: MutableReport) -> None:
        """Make what is missing of the best version, and write it."""
        index = cap.verify_cap().storage_index
        async with self._files.writing.hold(index):
            known = await self._mapper.map(cap, Purpose.REPAIR, write_cap=cap)
            best = known.best
            if best is None or best != report.best or known.private_key is None:
                return  # somebody else wrote meanwhile
            readable = known.of(best)
            _set_aside(known, report)
            good = known.of(best)
            existing = [*known.shares, *known.damaged]
            takers = [each for each in self._takers() if each.slots is not None]
            where = plan(existing, best.geometry.total, permuted(takers, index))
            places = [place for place in where.places if place not in good]
            numbers = numbers_of(places)
            cost = best.geometry.size * (2 + len(numbers) // best.geometry.needed)
            async with self._memory.hold(cost):
                version = await self._make(cap, known.private_key, readable, numbers)
                await self._write(cap, known, version, places)

    async def _make(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        readable: Mapping[Place, VerifiedShare],
        numbers: set[int],
    ) -> NewVersion:
        """Return the version with the blocks of the shares that *numbers* name."""
        share = next(iter(readable.values()))
        best = share.header.prefix
        geometry = best.geometry
        retriever = Retriever(cap.read_cap(), best, readable, self._cpu, self._clock)
        encoder, segments = VersionEncoder(geometry.total), []
        for number in range(geometry.segments):
            encoded = await retriever.encoded(number)
            await self._cpu.run(encoder.absorb, encoded)
            segments.append(await self._cpu.run(_only, encoded, numbers))
        version = await self._cpu.run(encoder.finish, geometry, best.sequence, best.iv)
        private = encrypt_private_key(cap.write_key, key)
        if version.prefix != best:
            raise OtherShares
        signed = SignedVersion(version, share.signature, share.public_key, private)
        _check_header(signed, share)
        return NewVersion(signed, segments)

    async def _write(
        self,
        cap: MutableWriteCap,
        known: Versions,
        version: NewVersion,
        places: list[Place],
    ) -> None:
        prefix = version.signed.header.prefix
        writes = ShareWrites(
            cap, known, self._lease_secret, len(prefix.checkstring), self._clock
        )
        # What a version before had more, and what servers claim beside the file's shares.
        surplus = [
            place
            for place in (*known.shares, *known.damaged)
            if place.number >= prefix.geometry.total
        ]
        await write_all(writes, places, version, self._cpu)
        if not writes.surprised:
            await delete_others(writes, surplus, version.signed)


def _only(encoded: EncodedSegment, numbers: Set[int]) -> EncodedSegment:
    """Return a segment with the blocks of the shares that *numbers* name."""
    count = len(encoded.blocks)
    kept = [encoded.blocks[n] if n in numbers else b"" for n in range(count)]
    return evolve(encoded, blocks=kept)


def _set_aside(known: Versions, report: MutableReport) -> None:
    """Let the shares that a verification found corrupt count as damaged."""
    for place, reason in report.corrupt.items():
        share = known.shares.pop(place, None)
        if share is not None:
            head = share.header.prefix.pack()
            known.damaged[place] = DamagedShare(place, head, reason)


def _check_header(signed: SignedVersion, share: VerifiedShare) -> None:
    """:raises OtherShares: when the parts of the shares stand elsewhere than here"""
    if signed.header != share.header:
        raise OtherShares


def _why_not(report: MutableReport) -> str:
    if report.best is None:
        return "too few shares are left"
    return "a newer version was found, of which too few shares are there"
