"""
Whether a mutable file is all there: its versions, and every byte of their shares.

Source: ``docs/formats/mutable.md``, "What a reader checks" and "Versions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError

from truckee.codec.caps import MutableCap, MutableVerifyCap, MutableWriteCap
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry, SegmentTooLarge
from truckee.codec.mutable_layout import Part
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import decrypt_private_key
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.secrets import lease_secrets
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import together
from truckee.grid.placement import happiness
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.storage.interfaces import IStorageServer, SlotRead

# Blocks of one share that are read at once, and of all shares together.
_READ = 1 << 20  # bytes
_IN_FLIGHT = 16 << 20
_LEAVES = 64  # of one page of a block tree: their hashes are read together


@frozen(eq=False)
class MutableReport:
    """What was found of one file."""

    cap: MutableVerifyCap
    versions: Versions
    corrupt: Mapping[Place, str]  # why; blocks of such a share may be good
    unread: Mapping[Place, str]  # could not be read to its end
    verified: bool  # whether every byte of the good shares was read
    needed: int  # k and N of the version that counts, or what new files have
    total: int
    # That have shares and did not renew their leases, if that was wanted.
    unrenewed: Sequence[IStorageServer] = ()

    @property
    def best(self) -> Prefix | None:
        """The version that readers get."""
        return self.versions.best

    @property
    def good(self) -> Mapping[Place, VerifiedShare]:
        """The shares of the version that counts of which nothing is known to be wrong."""
        counts = _that_counts(self.versions)
        found = {} if counts is None else self.versions.of(counts)
        return {place: each for place, each in found.items() if place not in self.corrupt}

    @property
    def recoverable(self) -> bool:
        """Whether enough good shares of one version are there."""
        return self.best is not None and len(numbers_of(self.good)) >= self.needed

    @property
    def servers(self) -> list[IStorageServer]:
        """Those that answered."""
        found = [place.server for place in (*self.versions.shares, *self.corrupt)]
        return list(dict.fromkeys([*found, *self.versions.empty]))

    @property
    def happiness(self) -> int:
        """On how many distinct servers distinct shares of the version that counts are."""
        holders: dict[int, set[IStorageServer]] = {}
        for place in self.good:
            holders.setdefault(place.number, set()).add(place.server)
        return happiness(holders)

    @property
    def healthy(self) -> bool:
        """Whether nothing is to be repaired."""
        return self.versions.is_healthy and not self.corrupt


def _that_counts(versions: Versions) -> Prefix | None:
    """Return the version whose shares are counted: the best, or the newest there is."""
    return next(iter([*versions.recoverable, *versions.unrecoverable]), None)


@define(eq=False)
class MutableChecker:
    """Looks at mutable files and changes nothing but leases."""

    _mapper: Mapper
    _needed: int  # k and N of new files
    _total: int
    _lease_secret: bytes = field(repr=False)  # 32 bytes, of this client
    _cpu: Workers
    _reads: Budget = field(factory=lambda: Budget(_IN_FLIGHT), init=False)

    async def check(
        self, cap: MutableCap, verify: bool = False, *, add_lease: bool = False
    ) -> MutableReport:
        """
        Ask every server, and with *verify* read every byte of every good share.

        A private key is looked at by who has a write cap.  *add_lease* renews the leases of
        all shares; a server that does not is no fault of the file.
        """
        write_cap = cap if isinstance(cap, MutableWriteCap) else None
        versions = await self._mapper.map(cap, Purpose.CHECK)
        corrupt = {place: bad.reason for place, bad in versions.damaged.items()}
        unread: dict[Place, str] = {}
        best = versions.best
        verify_cap = cap.verify_cap()
        if verify and best is not None:
            index, reads = verify_cap.storage_index, self._reads

            async def look(place: Place, share: VerifiedShare) -> None:
                reader = _ShareReader(place, share, index, self._cpu, reads)
                try:
                    await reader.verify(write_cap)
                except BadShare as error:
                    corrupt[place] = error.reason
                except CancelledError:
                    raise
                except (OSError, TruckeeError) as error:
                    unread[place] = str(error)

            shares = versions.of(best)
            await together(look(place, share) for place, share in shares.items())
        unrenewed: list[IStorageServer] = []
        if add_lease:
            unrenewed = await self._add_leases(verify_cap.storage_index, versions)
        shape = (self._needed, self._total)
        counts = _that_counts(versions)
        if counts is not None:
            shape = counts.geometry.needed, counts.geometry.total
        return MutableReport(
            verify_cap, versions, corrupt, unread, verify, *shape, unrenewed
        )

    async def _add_leases(self, index: bytes, versions: Versions) -> list[IStorageServer]:
        """Return the servers that renewed none."""
        failed: list[IStorageServer] = []

        async def add(server: IStorageServer) -> None:
            secrets = lease_secrets(self._lease_secret, index, server.lease_seed)
            try:
                if server.slots is not None:
                    await server.slots.add_lease(index, secrets)
            except CancelledError:
                raise
            except (OSError, TruckeeError):
                failed.append(server)

        places = (*versions.shares, *versions.damaged)
        servers = dict.fromkeys(place.server for place in places)
        await together(add(server) for server in servers)
        return failed


@define(eq=False)
class _ShareReader:
    """One share, every byte of which is read and checked."""

    _place: Place
    _share: VerifiedShare
    _index: bytes
    _cpu: Workers
    _reads: Budget

    async def verify(self, write_cap: MutableWriteCap | None) -> None:
        """
        Return when all of it is right.

        :raises BadShare: :raises TruckeeError: when the server does not give it.
        """
        share = self._share
        tree, packed = share.header.layout.block_tree, b""
        if tree.length <= _READ:
            [packed] = await self._read([share.whole_tree()])
            await self._cpu.run(share.check_tree, packed)
        for run in runs(share.header.prefix.geometry):
            rows = share.tree_parts(run.start)
            if packed:
                data = await self._read([share.block_part(run)])
                known = [packed[r.offset - tree.offset : r.end - tree.offset] for r in rows]
                answers = [*known, *data]
            else:
                answers = await self._read([*rows, share.block_part(run)])
            await self._cpu.run(_check_run, share, run, answers)
        if write_cap is not None:
            [key] = await self._read([share.header.layout.private_key])
            await self._cpu.run(decrypt_private_key, write_cap, key)

    async def _read(self, parts: Sequence[Part]) -> list[bytes]:
        """Return *parts* of the share, if it still is the same."""
        slots = self._place.server.slots
        if slots is None:
            raise BadShare("its server has no mutable files any more")
        header = self._share.header.pack()
        wanted = [SlotRead(0, len(header)), *(SlotRead(p.offset, p.length) for p in parts)]
        size = sum(each.length for each in wanted)
        async with self._reads.hold(size):
            found = await slots.read(self._index, {self._place.number}, wanted)
        if self._place.number not in found:
            raise BadShare("it is not there any more")
        head, *rest = found[self._place.number]
        if head != header:
            raise BadShare("it was replaced while it was read")
        return rest


def runs(geometry: MutableGeometry) -> Iterator[range]:
    """Give the segments in runs whose blocks are read at once."""
    try:
        geometry.check_readable()
    except SegmentTooLarge as error:
        raise BadShare(str(error)) from None
    size = geometry.block_size + geometry.salt_size
    most = max(1, min(_LEAVES, _READ // max(size, 1)))
    start = 0
    while start < geometry.segments:
        # A run does not cross a page of the tree.
        page = (start // _LEAVES + 1) * _LEAVES
        end = min(start + most, page, geometry.segments)
        yield range(start, end)
        start = end


def _check_run(share: VerifiedShare, run: range, answers: Sequence[bytes]) -> None:
    *rows, data = answers
    share.add_tree_parts(run.start, rows)
    cut, view = share.header.prefix.geometry, memoryview(data)
    begin = cut.block_offset(run.start)
    for segment in run:
        start, end = (
            cut.block_offset(segment) - begin,
            cut.block_offset(segment + 1) - begin,
        )
        share.check_block(segment, view[start:end])
