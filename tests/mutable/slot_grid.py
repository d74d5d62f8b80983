"""
Servers of mutable shares for tests: real directories, with requests that can be watched.

What they have is read here by a reader as simple as it can be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from functools import cache
from typing import Any

from attrs import define, evolve, field
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.codec.mutable_example import signing_key, write_cap
from tests.codec.mutable_reader import contents, verify
from tests.contracts.slot_server import other_lease
from tests.grids import LEASE_SECRET, REACTOR, new_directory, new_workers
from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_secrets import write_enabler
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.cpu import Workers
from truckee.mutable.publish import Publisher
from truckee.mutable.share_writes import Published
from truckee.mutable.versions import DamagedShare, Place, Versions
from truckee.storage.interfaces import (
    ISlotServer,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots

LONG = 1 << 24  # bytes; the shares of these tests are shorter

# What happens before or after a server changes shares: it gets their numbers.
Hook = Callable[[Set[int]], Awaitable[None]]


async def nothing(_numbers: Set[int]) -> None:
    """Do as any server would."""


@implementer(ISlotServer)
@define(eq=False)
class WatchedSlots:
    """The slots of a directory; what writes them is counted and can be broken."""

    inner: DiskSlots
    before: Hook = nothing
    after: Hook = nothing
    requests: list[Mapping[int, SlotChange]] = field(factory=list)
    answers: int = 0

    @property
    def max_share_size(self) -> int:
        return self.inner.max_share_size

    async def shares(self, storage_index: bytes) -> Set[int]:
        return await self.inner.shares(storage_index)

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        return await self.inner.read(storage_index, shares, reads)

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        self.requests.append(changes)
        await self.before(changes.keys())
        answer = await self.inner.test_and_write(storage_index, secrets, changes, reads)
        await self.after(changes.keys())
        self.answers += 1
        return answer

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self.inner.add_lease(storage_index, secrets)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        await self.inner.advise_corrupt(storage_index, share, reason)


def new_server(case: TestCase, number: int, disk: Workers) -> DiskServer:
    """Return a server over a directory, whose slots are watched."""
    directory = ShareDirectory(new_directory(case))
    server = DiskServer(
        name=f"s{number}",
        permutation_seed=b"%020d" % number,
        lease_seed=b"%020d" % number,
        directory=directory,
        disk=disk,
        now=REACTOR.seconds,
    )
    server.start()
    slots = DiskSlots(
        server.name,
        server.lease_seed,
        SlotDirectory(directory),
        disk,
        REACTOR.seconds,
        server.available_space,
    )
    server.slots = WatchedSlots(slots)
    return server


@cache
def _index(cap: MutableWriteCap) -> bytes:
    return cap.read_cap().verify_cap().storage_index


@define(eq=False)
class SlotGrid:
    """Some servers, and one file on them whose key is that of the example."""

    servers: list[DiskServer]
    cpu: Workers
    disk: Workers
    cap: MutableWriteCap = field(factory=write_cap)
    takers: list[DiskServer] | None = None  # None: all servers
    publisher: Publisher = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.publisher = self.new_publisher()

    @classmethod
    def new(cls, case: TestCase, servers: int, format: str = "SSK") -> SlotGrid:
        """Return a grid that lives as long as the test."""
        cpu, disk = new_workers(case, 2), new_workers(case, 4)
        made = [new_server(case, number, disk) for number in range(servers)]
        return cls(made, cpu, disk, write_cap(format))

    def new_publisher(self, **options: Any) -> Publisher:
        """Return one with a lease secret that all have."""
        wanted: dict[str, Any] = {
            "takers": lambda: self.servers if self.takers is None else self.takers,
            "lease_secret": LEASE_SECRET,
            "cpu": self.cpu,
            "clock": REACTOR,
            "random": CountedBytes(),
        }
        return Publisher(**(wanted | options))

    def slots(self, number: int) -> WatchedSlots:
        """Return what server *number* has."""
        slots = self.servers[number].slots
        assert isinstance(slots, WatchedSlots)
        return slots

    @property
    def requests(self) -> int:
        """How many requests to write were made."""
        return sum(len(self.slots(n).requests) for n in range(len(self.servers)))

    @property
    def answers(self) -> int:
        """How many of them were answered."""
        return sum(self.slots(n).answers for n in range(len(self.servers)))

    async def meddle(self, place: Place, change: SlotChange) -> None:
        """Change a share behind everybody's back, with the right write enabler."""
        enabler = write_enabler(self.cap.write_key, place.server.lease_seed)
        secrets = evolve(other_lease(7), write_enabler=enabler)
        slots = place.server.slots
        assert isinstance(slots, WatchedSlots)
        await slots.inner.test_and_write(
            _index(self.cap), secrets, {place.number: change}, []
        )

    async def shares(self) -> dict[Place, bytes]:
        """Return all shares there are."""
        found = {}
        for server in self.servers:
            assert server.slots is not None
            data = await server.slots.read(
                _index(self.cap), frozenset(), [SlotRead(0, LONG)]
            )
            for number, parts in data.items():
                found[Place(server, number)] = parts[0]
        return found

    async def look(self) -> Versions:
        """Return what there is of the file."""
        return self._versions(await self.shares())

    def _versions(self, shares: Mapping[Place, bytes]) -> Versions:
        known = Versions(asked_all=True)
        for place, share in shares.items():
            try:
                known.shares[place] = verify(self.cap.fingerprint, place.number, share)
            except (BadShare, AssertionError) as error:
                known.damaged[place] = DamagedShare(place, share[:75], str(error))
        return known

    async def read(self) -> bytes:
        """Return the contents of the best version, from its shares with low numbers."""
        shares = await self.shares()
        known = self._versions(shares)
        assert known.best is not None
        chosen = {place.number: shares[place] for place in known.of(known.best)}
        needed = known.best.geometry.needed
        lowest = dict(sorted(chosen.items())[:needed])
        return contents(self.cap.read_cap(), lowest)

    async def write(
        self,
        content: Any,
        needed: int = 3,
        total: int = 10,
        known: Versions | None = None,
    ) -> Published:
        """Write a version above what is known, or above what is there."""
        known = await self.look() if known is None else known
        return await self.publisher.publish(
            self.cap, signing_key(), known, content, needed, total
        )

    def spread(self, places: Iterable[Place]) -> dict[str, list[int]]:
        """Return the numbers of shares on each server."""
        found: dict[str, list[int]] = {}
        for place in places:
            found.setdefault(place.server.name, []).append(place.number)
        return {name: sorted(numbers) for name, numbers in found.items()}


@define(eq=False)
class CountedBytes:
    """Bytes that no call before had, the same ones in each run."""

    given: int = field(default=0, init=False)

    def __call__(self, size: int) -> bytes:
        start, self.given = self.given, self.given + size
        return b"".join(b"%016d" % at for at in range(start, start + size, 16))[:size]


def refusing(error: Exception) -> Hook:
    """Fail instead of doing it."""

    async def hook(_numbers: Set[int]) -> None:
        raise error

    return hook
