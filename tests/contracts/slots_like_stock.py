"""
Random requests for slots, to our server and to a stock one: the same answers, and the same
bytes on the disk.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from tests.contracts.slot_server import other_lease
from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import DATA_OFFSET, HEADER_SIZE, LEASE_SIZE, SlotHeader
from truckee.errors import TruckeeError
from truckee.storage.interfaces import (
    ISlotServer,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
    SlotTest,
    SlotWrite,
)

SLOTS = 4
# Bytes of a share: few, so that writes, tests and cuts meet each other.
SIZE = 60
LENGTHS = (0, 1, 9, 40)


class Requests:
    """Random ones, which know a little of what is there."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.known: dict[bytes, Mapping[int, bytes]] = {}

    def index(self) -> bytes:
        """One of a few."""
        return bytes([self.chance.randrange(SLOTS)]) * 16

    def secrets(self) -> SlotSecrets:
        """Mostly good ones; of many gateways."""
        if self.chance.random() < 0.05:
            return SlotSecrets(b"?" * 32, LeaseSecrets(b"r" * 32, b"c" * 32))
        return other_lease(self.chance.randrange(8))

    def reads(self) -> list[SlotRead]:
        """Ranges, some of them past the end."""
        return [
            SlotRead(self.chance.randrange(SIZE), self.chance.randrange(SIZE))
            for _ in range(self.chance.randrange(3))
        ]

    def changes(self, index: bytes) -> dict[int, SlotChange]:
        """What is asked of some shares."""
        shares = self.chance.sample(
            [0, 1, 7, 100, 255], self.chance.choice([0, 1, 1, 1, 3])
        )
        return {share: self.change(index, share) for share in shares}

    def change(self, index: bytes, share: int) -> SlotChange:
        """What is asked of one share."""
        chance = self.chance
        writes = [
            SlotWrite(
                chance.randrange(SIZE), chance.randbytes(chance.choice([0, 1, 9, 40]))
            )
            for _ in range(chance.choice([0, 1, 1, 2, 3]))
        ]
        length = chance.choice([None, None, None, None, 0, chance.randrange(2 * SIZE)])
        tests = [self.test(index, share) for _ in range(chance.choice([0, 0, 1, 2]))]
        return SlotChange(tests, writes, length)

    def test(self, index: bytes, share: int) -> SlotTest:
        """A test that mostly holds."""
        data = self.known.get(index, {}).get(share, b"")
        begin, length = self.chance.randrange(SIZE), self.chance.randrange(1, SIZE)
        if self.chance.random() < 0.1:
            return SlotTest(begin, length, b"something else")
        return SlotTest(begin, length, data[begin : begin + length])


async def outcome(
    server: ISlotServer,
    index: bytes,
    secrets: SlotSecrets,
    changes: Mapping[int, SlotChange],
    reads: list[SlotRead],
) -> object:
    """Return the answer, or that there was none."""
    try:
        answer = await server.test_and_write(index, secrets, changes, reads)
    except TruckeeError as error:
        return str(error)
    data = {share: [bytes(each) for each in parts] for share, parts in answer.data.items()}
    return SlotAnswer(answer.success, data)


def content(root: Path, index: bytes) -> dict[str, bytes]:
    """Return the files of a slot, without the times in them."""
    name = base32.encode(index)
    home = root / "shares" / name[:2] / name
    if not home.exists():
        return {}
    return {path.name: timeless(path.read_bytes()) for path in home.iterdir()}


def timeless(data: bytes) -> bytes:
    """Return a container whose leases say nothing of when they expire."""
    found, header = bytearray(data), SlotHeader.parse(data)
    behind = range(header.extra_offset + 4, len(data), LEASE_SIZE)
    for place in (*range(HEADER_SIZE, DATA_OFFSET, LEASE_SIZE), *behind):
        found[place + 4 : place + 8] = bytes(4)
    return bytes(found)


async def compare(
    stock: ISlotServer, ours: ISlotServer, roots: tuple[Path, Path], count: int
) -> tuple[int, int]:
    """
    Make *count* requests to both, whose storage directories are *roots*.

    Return how many were refused, and how many wrote.  :raises AssertionError:
    """
    requests, refused, written = Requests(1), 0, 0
    for number in range(count):
        index, secrets = requests.index(), requests.secrets()
        arguments = index, secrets, requests.changes(index), requests.reads()
        if requests.chance.random() < 0.1:
            for server in (stock, ours):
                await server.add_lease(index, secrets.leases)
        expected = await outcome(stock, *arguments)
        assert await outcome(ours, *arguments) == expected, (number, arguments, expected)
        wanted, found = (content(root, index) for root in roots)
        assert found == wanted, (number, arguments, found, wanted)
        refused += isinstance(expected, str)
        written += getattr(expected, "success", False)
        shares = await ours.read(index, frozenset(), [SlotRead(0, 1000)])
        requests.known[index] = {n: bytes(parts[0]) for n, parts in shares.items()}
    return refused, written
