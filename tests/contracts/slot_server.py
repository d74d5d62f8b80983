"""What every ``ISlotServer`` does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.storage.slot_requests import new_index
from truckee.codec import base32
from truckee.codec.container import LEASE_DURATION
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import (
    DATA_OFFSET,
    HEADER_SIZE,
    MAX_SHARE_SIZE,
    SlotHeader,
    SlotLeases,
)
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    BadSlotRequest,
    BadWriteEnabler,
    ISlotServer,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
    SlotTest,
    SlotTooLarge,
    SlotWrite,
)

WRITE_ENABLER = b"w" * 32
LEASES = LeaseSecrets(b"r" * 32, b"c" * 32)
SECRETS = SlotSecrets(WRITE_ENABLER, LEASES)
NEW = (SlotTest(0, 1, b""),)  # how a client says that a share must not be there


def other_lease(number: int) -> SlotSecrets:
    """Return the secrets of somebody else who may write."""
    return SlotSecrets(WRITE_ENABLER, LeaseSecrets(bytes([number]) * 32, b"C" * 32))


def writes(*pairs: tuple[int, bytes], new_length: int | None = None) -> SlotChange:
    """Return a change that tests nothing."""
    return SlotChange((), [SlotWrite(*pair) for pair in pairs], new_length)


class SlotServerContract(TestCase):
    """Derive from this and give ``new_server``; each test has a slot of its own."""

    timeout = 120

    root: Path  # of the storage directory
    node_id: bytes  # of the server, in its containers
    server: ISlotServer

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        self.index = new_index()
        self.server = await self.new_server()

    async def new_server(self) -> ISlotServer:
        """Return the server, and set ``root`` and ``node_id``."""
        raise NotImplementedError

    async def write(
        self,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead] = (),
        secrets: SlotSecrets = SECRETS,
    ) -> SlotAnswer:
        """Test and write."""
        return await self.server.test_and_write(self.index, secrets, changes, reads)

    async def store(self, share: int = 0, data: bytes = b"0123456789") -> None:
        """Have a share."""
        answer = await self.write({share: SlotChange(NEW, [SlotWrite(0, data)])})
        self.assertTrue(answer.success)

    async def found(self) -> dict[int, bytes]:
        """Return the contents of all shares."""
        data = await self.server.read(self.index, frozenset(), [SlotRead(0, 1 << 20)])
        return {share: bytes(parts[0]) for share, parts in data.items()}

    def path(self, share: int = 0) -> Path:
        """Return where a share is."""
        name = base32.encode(self.index)
        return self.root / "shares" / name[:2] / name / str(share)

    def container(self, share: int = 0) -> tuple[SlotHeader, SlotLeases, bytes]:
        """Return what is in the file of a share."""
        data = self.path(share).read_bytes()
        header = SlotHeader.parse(data)
        extra = data[header.extra_offset :]
        leases = SlotLeases.parse(data[HEADER_SIZE:DATA_OFFSET], extra)
        self.assertEqual(leases.extra, extra)
        return header, leases, data[DATA_OFFSET : DATA_OFFSET + header.length]

    async def test_interfaces(self) -> None:
        """The server has all the methods."""
        verifyObject(ISlotServer, self.server)
        self.assertEqual(self.server.max_share_size, MAX_SHARE_SIZE)

    async def test_nothing(self) -> None:
        """Of a file that nobody stored there is nothing, and nothing comes of asking."""
        self.assertEqual(await self.server.shares(self.index), set())
        self.assertEqual(await self.found(), {})
        await self.server.add_lease(self.index, LEASES)
        await self.server.advise_corrupt(self.index, 0, "it is not here")
        self.assertEqual(await self.write({}), SlotAnswer(True, {}))
        self.assertEqual(await self.write({3: writes(new_length=0)}), SlotAnswer(True, {}))
        self.assertFalse(self.path().parent.exists())

    async def test_new_share(self) -> None:
        """A write makes a share: a container of version 2 with its lease, as stock's."""
        before = int(time.time())
        await self.store()
        self.assertEqual(await self.found(), {0: b"0123456789"})
        self.assertEqual(await self.server.shares(self.index), {0})
        header, leases, data = self.container()
        new = SlotHeader(2, self.node_id, WRITE_ENABLER, 10, DATA_OFFSET + 10)
        self.assertEqual((header, data), (new, b"0123456789"))
        (lease,) = leases.in_use
        hashed = [
            blake2b(each, digest_size=32).digest() for each in (LEASES.renew, LEASES.cancel)
        ]
        self.assertEqual([lease.renew, lease.cancel], hashed)
        self.assertEqual((lease.owner, lease.node_id), (1, self.node_id))
        ends = range(before + LEASE_DURATION, int(time.time()) + LEASE_DURATION + 1)
        self.assertIn(lease.expires, ends)

    async def test_empty_shares(self) -> None:
        """Any entry makes a share, one that writes nothing too."""
        await self.write({0: writes(), 7: writes((0, b"")), 8: writes((5, b""))})
        self.assertEqual(await self.found(), {0: b"", 7: b"", 8: bytes(5)})

    async def test_tests(self) -> None:
        """Nothing is written unless all tests of all shares hold."""
        await self.store(0, b"old")
        good, bad = SlotTest(0, 3, b"old"), SlotTest(0, 3, b"new")
        change = writes((0, b"XXX"))
        for tests in ((bad,), (good, bad), NEW, (SlotTest(0, 2, b"old"),)):
            answer = await self.write({0: evolve(change, tests=tests), 1: change})
            self.assertFalse(answer.success)
            answer = await self.write({1: change, 0: evolve(change, tests=tests)})
            self.assertFalse(answer.success)
        absent = SlotTest(0, 1, b"x")
        answer = await self.write({0: change, 1: evolve(change, tests=(absent,))})
        self.assertFalse(answer.success)
        self.assertEqual(await self.found(), {0: b"old"})
        past = SlotTest(1, 100, b"ld")
        both = {0: evolve(change, tests=(good, past)), 1: evolve(change, tests=NEW)}
        self.assertTrue((await self.write(both)).success)
        self.assertEqual(await self.found(), {0: b"XXX", 1: b"XXX"})

    async def test_reads_come_first(self) -> None:
        """What is read is what was there before, in every share, cut at its end."""
        await self.store(0, b"0123456789")
        await self.store(4, b"abc")
        reads = [SlotRead(0, 2), SlotRead(8, 100), SlotRead(50, 1), SlotRead(1, 0)]
        expected = {0: [b"01", b"89", b"", b""], 4: [b"ab", b"", b"", b""]}
        answer = await self.write({0: writes((0, b"XXXX")), 9: writes((0, b"new"))}, reads)
        self.assertEqual(answer, SlotAnswer(True, expected))
        bad = SlotChange([SlotTest(0, 1, b"?")])
        answer = await self.write({0: bad}, reads[:1])
        self.assertEqual(answer, SlotAnswer(False, {0: [b"XX"], 4: [b"ab"], 9: [b"ne"]}))

    async def test_reading(self) -> None:
        """Some shares are read, or all; of a share that is not there nothing comes."""
        await self.store(0)
        await self.store(1, b"one")
        reads = [SlotRead(1, 3)]
        found = await self.server.read(self.index, {1, 2}, reads)
        self.assertEqual({n: list(parts) for n, parts in found.items()}, {1: [b"ne"]})
        self.assertEqual(await self.server.read(self.index, {5}, reads), {})
        found = await self.server.read(self.index, frozenset(), [])
        self.assertEqual({n: list(parts) for n, parts in found.items()}, {0: [], 1: []})

    async def test_writes(self) -> None:
        """Writes are made in their order; a gap before one is zeros."""
        await self.store()
        await self.write({0: writes((2, b"abcd"), (4, b"XY"), (12, b"end"), (11, b"!"))})
        self.assertEqual(await self.found(), {0: b"01abXY6789\0!end"})

    async def test_new_length(self) -> None:
        """A share is cut after the writes; a larger length says nothing."""
        await self.store()
        await self.write({0: writes((0, b"ABCDEFGHIJKL"), new_length=4)})
        self.assertEqual(await self.found(), {0: b"ABCD"})
        await self.write({0: writes(new_length=9)})
        self.assertEqual(await self.found(), {0: b"ABCD"})
        await self.write({0: writes((8, b"z"), new_length=50)})
        self.assertEqual(await self.found(), {0: b"ABCD\0\0\0\0z"}, "what was cut is back")
        await self.write({1: writes((0, b"new"), new_length=2)})
        self.assertEqual((await self.found())[1], b"ne")

    async def test_deletion(self) -> None:
        """A length of 0 deletes a share, and the directory with the last one."""
        await self.store(0)
        await self.store(1)
        answer = await self.write(
            {0: writes((0, b"x"), new_length=0), 2: writes(new_length=0)}, [SlotRead(0, 3)]
        )
        self.assertEqual(answer, SlotAnswer(True, {0: [b"012"], 1: [b"012"]}))
        self.assertEqual(await self.server.shares(self.index), {1})
        await self.write({1: writes(new_length=0)})
        self.assertFalse(self.path().parent.exists())
        await self.store(0, b"again")
        self.assertEqual(await self.found(), {0: b"again"})

    async def test_write_enabler(self) -> None:
        """Who does not know it writes nothing in the slot, and learns who does."""
        await self.store()
        for enabler in (b"v" * 32, bytes(32), WRITE_ENABLER[:-1] + b"x"):
            wrong = evolve(SECRETS, write_enabler=enabler)
            for changes in (
                {0: writes((0, b"XX"))},
                {5: SlotChange(NEW, [SlotWrite(0, b"XX")])},
                {0: writes(new_length=0)},
                {},
            ):
                with self.assertRaises(BadWriteEnabler) as caught:
                    await self.write(changes, secrets=wrong)
                self.check_bad_enabler(caught.exception)
        self.assertEqual(await self.found(), {0: b"0123456789"})
        self.assertEqual(len(self.container()[1].in_use), 1)

    def check_bad_enabler(self, error: Exception) -> None:
        """A refusal says who recorded the write enabler, where the transport tells."""
        nodeid = base32.encode(self.node_id)
        self.assertIn(f"The write enabler was recorded by nodeid '{nodeid}'.", str(error))

    async def test_leases(self) -> None:
        """A write renews its lease or adds one; growing moves those behind the share."""
        for number in (*range(1, 7), 1, 3):
            await self.write({0: writes((0, b"data"))}, secrets=other_lease(number))
        header, leases, _ = self.container()
        self.assertEqual(len(leases.in_use), 6)
        self.assertEqual(len(leases.places), 6)
        await self.write({0: writes((100, b"far"))}, secrets=other_lease(2))
        grown, same, data = self.container()
        self.assertEqual(
            [each.renew for each in same.in_use], [each.renew for each in leases.in_use]
        )
        self.assertEqual(grown.extra_offset, DATA_OFFSET + 103)
        self.assertEqual(data, b"data" + bytes(96) + b"far")
        self.assertEqual(header.write_enabler, grown.write_enabler)

    async def test_only_named_shares(self) -> None:
        """Shares that a write does not name keep the leases they have; a failed one adds
        none."""
        await self.store(0)
        await self.store(1)
        await self.write({1: writes((0, b"x"))}, secrets=other_lease(1))
        failing = SlotChange([SlotTest(0, 1, b"?")], [SlotWrite(0, b"y")])
        await self.write({0: failing}, secrets=other_lease(2))
        counts = [len(self.container(share)[1].in_use) for share in (0, 1)]
        self.assertEqual(counts, [1, 2])

    async def test_add_lease(self) -> None:
        """A lease is added to all shares of the slot, or renewed."""
        await self.store(0)
        await self.store(1)
        for number in (1, 2, 3, 4, 4):
            await self.server.add_lease(self.index, other_lease(number).leases)
        for share in (0, 1):
            _, leases, data = self.container(share)
            self.assertEqual((len(leases.in_use), data), (5, b"0123456789"))
        await self.write({0: writes((10, b"more"))})
        self.assertEqual((await self.found())[0], b"0123456789more")
        self.assertEqual(len(self.container()[1].in_use), 5)

    async def test_version_1(self) -> None:
        """A container of version 1 is served, and stays one."""
        await self.store()
        header, leases, data = self.container()
        old = evolve(header, version=1)
        lease = evolve(leases.places[0], renew=LEASES.renew, cancel=LEASES.cancel)
        places = evolve(leases, places=(lease, *leases.places[1:]))
        self.path().write_bytes(old.pack() + places.inline + data + places.extra)
        self.assertEqual(await self.found(), {0: data})
        await self.write({0: writes((0, b"v1"))})
        await self.write({0: writes((20, b"!"))}, secrets=other_lease(9))
        header, leases, data = self.container()
        self.assertEqual((header.version, data), (1, b"v123456789" + bytes(10) + b"!"))
        renewals = [each.renew for each in leases.in_use]
        self.assertEqual(renewals, [LEASES.renew, other_lease(9).leases.renew])

    async def test_large(self) -> None:
        """Megabytes go in one request, in many writes."""
        piece = bytes(range(256)) * 256
        await self.write({0: writes(*((n * len(piece), piece) for n in range(40)))})
        data = await self.server.read(self.index, {0}, [SlotRead(0, 1 << 30)])
        self.assertTrue(data[0][0] == piece * 40)

    async def test_many_ranges(self) -> None:
        """Many ranges of many shares are found, in their order."""
        data = {share: bytes([share]) * 3000 + b"end" for share in range(12)}
        for share, content in data.items():
            await self.store(share, content)
        reads = [SlotRead(n * 100, 101) for n in range(32)]
        expected = {
            share: [content[each.offset :][:101] for each in reads]
            for share, content in data.items()
        }
        found = await self.server.read(self.index, frozenset(), reads)
        self.assertEqual({n: list(parts) for n, parts in found.items()}, expected)
        # The answer might be long, if one believes the request.
        await self.check_long_reads(data)

    async def check_long_reads(self, data: Mapping[int, bytes]) -> None:
        """Ranges that are far longer than the shares are answered all the same."""
        reads = [SlotRead(2999, 40 << 20), SlotRead(1, 1), SlotRead(0, 1 << 40)]
        for shares in (frozenset[int](), {1, 2, 99}):
            found = await self.server.read(self.index, shares, reads)
            self.assertEqual(found.keys(), shares & data.keys() or data.keys())
            for share, parts in found.items():
                content = data[share]
                self.assertEqual(list(parts), [content[2999:], content[1:2], content])

    async def test_impossible(self) -> None:
        """What no request may ask for is refused, and nothing is written."""
        await self.store()
        many = [SlotRead(0, 1)] * (MAX_SLOT_READS + 1)
        for changes, reads in (
            ({0: writes((-1, b"X"))}, []),
            ({256: writes((0, b"X"))}, []),
            ({0: writes((0, b"X"))}, [SlotRead(-1, 1)]),
            ({0: writes((0, b"X"))}, [SlotRead(0, -1)]),
            ({0: writes((0, b"X"), new_length=-1)}, []),
            ({0: writes((0, b"X"))}, many),
            ({0: writes((0, bytes(MAX_SLOT_DATA)), (0, b"X"))}, []),
        ):
            with self.assertRaises(BadSlotRequest):
                await self.write(changes, reads)
        with self.assertRaises(BadSlotRequest):
            await self.server.read(self.index, frozenset(), [SlotRead(0, -1)])
        with self.assertRaises(SlotTooLarge):
            await self.write({0: writes((MAX_SHARE_SIZE, b"X"))})
        self.assertEqual(await self.found(), {0: b"0123456789"})

    async def test_corruption_report(self) -> None:
        """A report is kept for the operator."""
        await self.store(3)
        await self.server.advise_corrupt(self.index, 3, "its heart is broken")
        name = base32.encode(self.index)
        (note,) = (self.root / "corruption-advisories").glob(f"*--{name}-3")
        text = note.read_text("utf-8")
        self.assertIn("its heart is broken", text)
        self.assertIn("type: mutable", text)
