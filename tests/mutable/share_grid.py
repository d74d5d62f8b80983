"""Storage servers with slots on real directories, and mutable files made by the codec."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from attrs import define, evolve, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import signing_key, write_cap
from tests.grids import (
    NOW,
    REACTOR,
    SECRETS,
    Mood,
    MoodyServer,
    calm,
    new_directory,
    new_server,
    new_workers,
)
from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import ShareHeader
from truckee.codec.mutable_secrets import write_enabler
from truckee.codec.mutable_segment import encode_segment
from truckee.codec.mutable_version import UnsignedVersion, VersionEncoder
from truckee.codec.rsa_keys import SigningKey
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.grid.permute import permuted
from truckee.immutable.download.memory_budget import Holdings
from truckee.mutable.opened import OpenVersion
from truckee.mutable.servermap import Mapper, Purpose
from truckee.storage.interfaces import (
    MAX_SLOT_ANSWER,
    SlotChange,
    SlotRead,
    SlotSecrets,
    SlotWrite,
)
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots


@define(eq=False, kw_only=True)
class MoodySlots(DiskSlots):
    """Slots that count what they are asked, and can fail, hang and lie."""

    mood: Mood = calm
    lie: Mapping[int, Sequence[bytes]] | None = None  # what it answers to any read
    asked: list[tuple[Set[int], Sequence[SlotRead]]] = field(factory=list)
    advice: list[tuple[int, str]] = field(factory=list)

    async def read(
        self,
        storage_index: bytes,
        shares: Set[int],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> Mapping[int, Sequence[bytes]]:
        self.asked.append((shares, reads))
        await self.mood("read", min(shares, default=-1))
        if self.lie is not None:
            return self.lie
        return await DiskSlots.read(self, storage_index, shares, reads, most)

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self.mood("add_lease", -1)
        await DiskSlots.add_lease(self, storage_index, secrets)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        self.advice.append((share, reason))
        await self.mood("advise_corrupt", share)
        await DiskSlots.advise_corrupt(self, storage_index, share, reason)


@define(eq=False)
class SlotGrid:
    """Servers, in the order in which they are asked for the example's file."""

    cpu: Workers
    servers: list[MoodyServer]
    cap: MutableWriteCap

    @classmethod
    def new(
        cls,
        case: SynchronousTestCase,
        servers: int = 10,
        cap: MutableWriteCap | None = None,
    ) -> SlotGrid:
        """Return a grid that lives as long as the test."""
        root = new_directory(case)
        cpu, disk = new_workers(case, 2), new_workers(case, 2)
        made = [new_server(root / f"s{number}", disk, number) for number in range(servers)]
        for server in made:
            room = server.available_space
            directory = SlotDirectory(server.directory)
            server.slots = MoodySlots(
                server.name, server.lease_seed, directory, disk, lambda: NOW, room
            )
        cap = cap or write_cap()
        order: Any = permuted(made, cap.verify_cap().storage_index)
        return cls(cpu, order, cap)

    def slots(self, number: int) -> MoodySlots:
        """Return those of a server."""
        slots = self.servers[number].slots
        assert isinstance(slots, MoodySlots)
        return slots

    def mapper(self, clock: Any = None) -> Mapper:
        """Return what finds files on the servers; without a *clock*, none is ever slow."""
        return Mapper(lambda: self.servers, 3, 10, self.cpu, clock or Clock())

    async def opened(
        self, purpose: Purpose = Purpose.READ, clock: Any = None, budget: int = 64 << 20
    ) -> OpenVersion:
        """Return the best version, as a reader finds it."""
        read_cap = self.cap.read_cap()
        found = await self.mapper(clock).map(read_cap, purpose)
        holdings = Holdings(Budget(budget), REACTOR)
        return OpenVersion.best_of(read_cap, found, self.cpu, clock or Clock(), holdings)

    async def put(self, server: int, number: int, share: bytes) -> None:
        """Store a share, in the place of another one of this number if there is one."""
        await self.put_all(server, {number: share})

    async def put_all(self, server: int, shares: Mapping[int, bytes]) -> None:
        """Store shares on one server."""
        await self._write(
            server,
            {
                number: SlotChange(writes=[SlotWrite(0, share)], new_length=len(share))
                for number, share in shares.items()
            },
        )

    async def remove(self, server: int, number: int) -> None:
        """Delete a share."""
        await self._write(server, {number: SlotChange(new_length=0)})

    async def _write(self, server: int, changes: Mapping[int, SlotChange]) -> None:
        enabler = write_enabler(self.cap.write_key, self.servers[server].lease_seed)
        index = self.cap.verify_cap().storage_index
        secrets = SlotSecrets(enabler, SECRETS)
        answer = await self.slots(server).test_and_write(index, secrets, changes, [])
        assert answer.success

    async def store(self, shares: Sequence[bytes], numbers: Iterable[int]) -> None:
        """Store share n on server n, for *numbers*."""
        places: dict[int, dict[int, bytes]] = {}
        for number in numbers:
            places.setdefault(number % len(self.servers), {})[number] = shares[number]
        for server, found in places.items():
            await self.put_all(server, found)

    def count(self) -> int:
        """Return how many requests to read there were."""
        return sum(len(self.slots(number).asked) for number in range(len(self.servers)))


def make_shares(
    text: bytes,
    sequence: int = 1,
    *,
    needed: int = 3,
    total: int = 10,
    mdmf: bool = False,
    segment_size: int | None = None,
    cap: MutableWriteCap | None = None,
    key: SigningKey | None = None,
) -> list[bytes]:
    """Return the shares of a version of the example's file, each time others."""
    cap, key = cap or write_cap(), key or signing_key()
    read_key = cap.read_cap().read_key
    make = MutableGeometry.mdmf if mdmf else MutableGeometry.sdmf
    cut = make(len(text), needed, total)
    if segment_size is not None:
        cut = evolve(cut, segment_size=segment_size)
    iv = os.urandom(16)
    encoder, segments = VersionEncoder(total), []
    for number in range(cut.segments):
        start = number * cut.segment_size
        salt = os.urandom(16) if mdmf else iv
        piece = text[start : start + cut.segment_size]
        segments.append(encode_segment(piece, read_key, salt, cut))
        encoder.absorb(segments[-1])
    version = encoder.finish(cut, sequence, None if mdmf else iv)
    signed = version.sign(key, cap.write_key)
    return [signed.share(number, segments) for number in range(total)]


def flipped(share: bytes, at: int) -> bytes:
    """Return *share* with one bit changed."""
    damaged = bytearray(share)
    damaged[at] ^= 1
    return bytes(damaged)


def sections(share: bytes) -> dict[str, tuple[int, int]]:
    """Return where the parts of a share are: start and end."""
    header = ShareHeader.parse(share)
    layout, size = header.layout, header.prefix.size
    parts = {
        name: (part.offset, part.end)
        for name in (
            "public_key",
            "signature",
            "chain",
            "block_tree",
            "data",
            "private_key",
        )
        if (part := getattr(layout, name)).length
    }
    return {"prefix": (0, size), "offsets": (size, len(header.pack())), **parts}


async def read(opened: OpenVersion, start: int = 0, end: int | None = None) -> bytes:
    """Return a range of a file, through what web clients read through."""
    return await opened.read(start, opened.geometry.size if end is None else end).rest()


def make_unfit_shares(text: bytes) -> list[bytes]:
    """Return MDMF shares, 3-of-10, with other salts in each: their owner signs nonsense."""
    cap = write_cap()
    cut = MutableGeometry.mdmf(len(text), 3, 10)
    variants = [
        encode_segment(text, cap.read_cap().read_key, os.urandom(16), cut)
        for _ in range(10)
    ]
    trees = [each.block_hashes[number] for number, each in enumerate(variants)]
    signed = UnsignedVersion.of_trees(cut, 1, trees).sign(signing_key(), cap.write_key)
    return [signed.share(number, [each]) for number, each in enumerate(variants)]
