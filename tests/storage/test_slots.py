"""The slots of a directory of ours; what every server of slots does is in the contract."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import LEASES, NEW, SECRETS, other_lease, writes
from tests.contracts.test_slot_server import new_disk
from tests.grids import container_of, files_below, new_small_disk
from truckee.codec.container import MOST_LEASES
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import (
    DATA_OFFSET,
    HEADER_SIZE,
    SlotHeader,
    SlotLeases,
)
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    MAX_SLOT_TESTS,
    MAX_SLOT_WRITES,
    BadSlotRequest,
    NoSpace,
    OtherKind,
    SlotChange,
    SlotDamaged,
    SlotRead,
    SlotTest,
    SlotTooLarge,
    SlotWrite,
)
from truckee.storage.share_leases import NoRoomForLease, TooManyLeases
from truckee.storage.slotfiles import OpenSlot, SlotDirectory

INDEX = b"i" * 16
ALL = [SlotRead(0, 1 << 20)]


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.disk, self.slots = new_disk(self)
        self.home = self.disk.directory.home(INDEX)

    async def write(self, changes: dict[int, SlotChange]) -> bool:
        """Test and write."""
        answer = await self.slots.test_and_write(INDEX, SECRETS, changes, [])
        return answer.success

    async def found(self) -> dict[int, bytes]:
        """Return the contents of all shares."""
        data = await self.slots.read(INDEX, frozenset(), ALL)
        return {share: parts[0] for share, parts in data.items()}

    def incoming(self) -> list[str]:
        """Return the drafts that are there."""
        root = self.disk.directory.root / "shares" / "incoming"
        return [path.name for path in files_below(root)]


class GrowthTests(_Case):
    """Long shares that grow do so where they are."""

    def setUp(self) -> None:
        super().setUp()
        small = SlotDirectory(self.disk.directory, append_from=100, append_room=1000)
        self.slots._slots = small

    def inode(self) -> int:
        """Return which file share 0 is."""
        return (self.home / "0").stat().st_ino

    def parsed(self) -> tuple[SlotHeader, SlotLeases, bytes]:
        """Return what is in the file of share 0; all of it is accounted for."""
        data = (self.home / "0").read_bytes()
        header = SlotHeader.parse(data)
        extra = data[header.extra_offset :]
        leases = SlotLeases.parse(data[HEADER_SIZE:DATA_OFFSET], extra)
        self.assertEqual(leases.extra, extra)
        return header, leases, data[DATA_OFFSET : DATA_OFFSET + header.length]

    async def test_in_place(self) -> None:
        """What is added behind the end copies nothing, and keeps every lease."""
        expected = os.urandom(200)
        await self.write({0: writes((0, expected))})
        for number in range(8):
            secrets = other_lease(number)
            change = {0: SlotChange()}
            await self.slots.test_and_write(INDEX, secrets, change, [])
        inode = self.inode()
        rooms = set()
        for number in range(30):
            piece = os.urandom(100)
            gap = 7 if number % 3 == 0 else 0
            change = {0: writes((len(expected) + gap, piece))}
            secrets = other_lease(number % 10)
            answer = await self.slots.test_and_write(INDEX, secrets, change, [])
            self.assertTrue(answer.success)
            expected += bytes(gap) + piece
            header, leases, data = self.parsed()
            self.assertEqual((data, self.inode()), (expected, inode))
            rooms.add(header.capacity)
        self.assertEqual(len(leases.in_use), 11)
        # The leases have moved, and not each time.
        self.assertEqual(len(rooms), 3)

    async def test_stale_slack(self) -> None:
        """A gap over what a longer share left there is zeros."""
        await self.write({0: writes((0, b"x" * 500))})
        await self.write({0: writes(new_length=200)})
        inode = self.inode()
        await self.write({0: writes((300, b"end"))})
        self.assertEqual((await self.found())[0], b"x" * 200 + bytes(100) + b"end")
        self.assertEqual(self.inode(), inode)
        await self.write({0: writes((0, b"X"))})
        self.assertEqual((await self.found())[0][:2], b"Xx")

    async def test_not_in_place(self) -> None:
        """Whatever changes bytes that a reader may see makes a new file."""
        for change in (
            writes((199, b"over the end")),
            writes((250, b"far"), (200, b"near")),
            writes((200, b"more"), new_length=203),
            writes((200 + (2 << 20), b"behind a long gap")),
        ):
            await self.write({0: writes(new_length=0)})
            await self.write({0: writes((0, b"x" * 200))})
            inode = self.inode()
            await self.write({0: change})
            self.assertNotEqual(self.inode(), inode)
            self.parsed()

    async def test_short(self) -> None:
        """A share that is short has the bytes that a stock server would leave."""
        await self.write({0: writes((0, b"short"))})
        await self.write({0: writes((5, b"er"))})
        header, _, data = self.parsed()
        self.assertEqual((header.capacity, data), (7, b"shorter"))

    async def test_cut_off_file(self) -> None:
        """A file that lacks its end is made whole by writing it anew."""
        await self.write({0: writes((0, b"x" * 200))})
        path = self.home / "0"
        path.write_bytes(path.read_bytes()[: DATA_OFFSET + 150])
        await self.write({0: writes((200, b"end"))})
        self.assertEqual(self.parsed()[2], b"x" * 150 + bytes(50) + b"end")

    async def test_open_reader(self) -> None:
        """Who has the share open reads what it was."""
        await self.write({0: writes((0, b"x" * 200))})
        reader = await self.slots.open(INDEX, 0)
        assert reader is not None
        await self.write({0: writes((200, b"y" * 3000))})
        self.assertEqual(await reader.read(100, 5000), b"x" * 100)
        await reader.close()

    async def test_no_space(self) -> None:
        """When the disk is full the share is what it was, and grows later."""
        root = new_small_disk(self, 1 << 20)
        _, self.slots = new_disk(self, root=root)
        self.slots._slots = evolve(self.slots._slots, append_from=100, append_room=1000)
        await self.write({0: writes((0, b"x" * 200))})
        with self.assertRaises(NoSpace):
            await self.write({0: writes((200, bytes(2 << 20)))})
        self.assertEqual(await self.found(), {0: b"x" * 200})
        self.assertTrue(await self.write({0: writes((200, b"y"))}))
        self.assertEqual(await self.found(), {0: b"x" * 200 + b"y"})


class FileTests(_Case):
    async def test_modes(self) -> None:
        """Files and directories are their owner's alone."""
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        await self.write({0: writes((0, b"data"))})
        await self.write({0: writes((0, b"more"))})
        modes = [
            stat.S_IMODE(path.stat().st_mode)
            for path in (self.home / "0", self.home, self.home.parent)
        ]
        self.assertEqual(modes, [0o600, 0o700, 0o700])

    async def test_open_reader(self) -> None:
        """Who reads a share reads one version of it, to its end."""
        await self.write({0: writes((0, b"first version"))})
        reader = await self.slots.open(INDEX, 0)
        assert reader is not None
        await self.write({0: writes((0, b"2nd"), new_length=3)})
        await self.write({0: writes(new_length=0)})
        self.assertEqual((reader.length, await reader.read(0, 100)), (13, b"first version"))
        await reader.close()

    async def test_holes(self) -> None:
        """A gap takes no space on the disk, not when the share is written again either."""
        far = 1 << 36
        await self.write({0: writes((0, b"near"), (far, b"far"))})
        await self.write({0: writes((4, b"by"))})
        await self.write({0: writes((far + 3, b"ther"))})
        self.assertLess((self.home / "0").stat().st_blocks * 512, 1 << 20)
        reads = [SlotRead(0, 8), SlotRead(far - 1, 100)]
        found = await self.slots.read(INDEX, {0}, reads)
        self.assertEqual(found[0], [b"nearby\0\0", b"\0farther"])

    async def test_large_copy(self) -> None:
        """A change in the middle of a large share keeps all the rest."""
        data = os.urandom(3 << 20)
        await self.write({0: writes((0, data))})
        await self.write({0: writes((1 << 20, b"middle"))})
        expected = data[: 1 << 20] + b"middle" + data[(1 << 20) + 6 :]
        found = await self.slots.read(INDEX, {0}, [SlotRead(0, 4 << 20)])
        self.assertTrue(found[0][0] == expected)

    async def test_drafts(self) -> None:
        """A write leaves nothing but shares; what a kill left goes at the start."""
        await self.write({0: writes((0, b"data")), 1: writes(), 2: writes(new_length=0)})
        self.assertEqual(self.incoming(), [])
        draft = self.disk.directory.root / "shares" / "incoming" / "x.0.slot"
        draft.write_bytes(b"half")
        new_disk(self, root=self.disk.directory.root)
        self.assertEqual(self.incoming(), [])

    async def test_damaged(self) -> None:
        """A file that is no container stops nobody who wants the others."""
        await self.write({0: writes((0, b"whole"))})
        for number, data in enumerate(
            (b"", b"\xff" * 500, (self.home / "0").read_bytes()[:99])
        ):
            (self.home / str(number + 1)).write_bytes(data)
        (self.home / "0.new").write_bytes(b"no share at all")
        self.assertEqual(await self.found(), {0: b"whole"})
        self.assertTrue(await self.write({0: writes((0, b"WHOLE"))}))
        for number in (1, 2, 3):
            before = (self.home / str(number)).read_bytes()
            with self.assertRaises(SlotDamaged):
                await self.write({number: SlotChange(NEW, [SlotWrite(0, b"new")])})
            self.assertEqual((self.home / str(number)).read_bytes(), before)

    async def test_cut_off(self) -> None:
        """A container that a crash of another server cut off is read as far as it goes."""
        await self.write({0: writes((0, b"0123456789"))})
        path = self.home / "0"
        path.write_bytes(path.read_bytes()[:473])
        self.assertEqual(await self.found(), {0: b"01234"})
        self.assertTrue(await self.write({0: writes((8, b"89"))}))
        self.assertEqual(await self.found(), {0: b"01234\0\0\x0089"})

    async def test_other_kind(self) -> None:
        """Mutable and immutable shares do not mix; what is there already stays readable."""
        self.home.mkdir(parents=True)
        (self.home / "5").write_bytes(container_of(b"immutable"))
        with self.assertRaises(OtherKind):
            await self.found()
        with self.assertRaises(OtherKind):
            await self.slots.open(INDEX, 5)
        for share in (0, 5):
            with self.assertRaises(OtherKind):
                await self.write({share: writes((0, b"new"))})
        self.assertEqual(await self.slots.shares(INDEX), set())
        (self.home / "5").rename(self.home / "6")
        self.home.rename(self.home.with_suffix(".away"))
        await self.write({0: writes((0, b"mutable"))})
        (self.home.with_suffix(".away") / "6").rename(self.home / "6")
        self.assertEqual(await self.found(), {0: b"mutable"})
        self.assertEqual((await self.disk.buckets(INDEX)).keys(), {6})
        self.assertTrue(await self.write({0: writes((0, b"M"))}))
        with self.assertRaises(OtherKind):
            await self.write({0: writes((0, b"x")), 6: writes(new_length=0)})
        self.assertEqual(await self.found(), {0: b"Mutable"})


class OrderTests(_Case):
    async def test_one_after_the_other(self) -> None:
        """Of many who see the same version only one writes the next one."""
        await self.write({0: writes((0, b"\0"))})
        wins = 0
        for version in range(5):
            change = SlotChange(
                [SlotTest(0, 1, bytes([version]))], [SlotWrite(0, bytes([version + 1]))]
            )
            running = [
                Deferred.fromCoroutine(self.write({0: change, 1: writes((0, b"x"))}))
                for _ in range(10)
            ]
            results = await DeferredList(running, fireOnOneErrback=True)
            wins += sum(success for _, success in results)
        self.assertEqual((wins, (await self.found())[0]), (5, b"\x05"))

    async def test_leases_beside_writes(self) -> None:
        """Leases that are added while a share is written are there afterwards."""
        await self.write({0: writes((0, b"data"))})
        running: list[Deferred[Any]] = []
        for number in range(20):
            lease = other_lease(number).leases
            running.append(Deferred.fromCoroutine(self.slots.add_lease(INDEX, lease)))
            change = {0: writes((number * 100, b"more"))}
            running.append(Deferred.fromCoroutine(self.write(change)))
        await DeferredList(running, fireOnOneErrback=True)
        share = OpenSlot.open(self.home / "0")
        self.assertEqual(len(share.leases().in_use), 21)
        share.close()


class RoomTests(_Case):
    async def test_readonly_and_reserved(self) -> None:
        """Slots are written all the same, as by stock; leases alone are not added."""
        await self.write({0: writes((0, b"data"))})
        for refuse in (
            partial(setattr, self.disk, "readonly", True),
            partial(setattr, self.disk, "reserved_space", 1 << 60),
        ):
            self.disk.readonly, self.disk.reserved_space = False, 0
            refuse()
            self.assertTrue(await self.write({0: writes((0, b"DATA")), 1: writes()}))
            for number in range(9):
                secrets = other_lease(number)
                await self.slots.test_and_write(INDEX, secrets, {1: writes((0, b"n"))}, [])
            with self.assertRaises(NoRoomForLease):
                await self.slots.add_lease(INDEX, LeaseSecrets(os.urandom(32), b"c" * 32))
            await self.slots.add_lease(INDEX, LEASES)
        self.assertEqual(await self.found(), {0: b"DATA", 1: b"n"})

    async def test_full(self) -> None:
        """On a full disk nothing changes, and no draft is left; it goes on with room."""
        root = new_small_disk(self, 1 << 20)
        self.disk, self.slots = new_disk(self, root=root)
        self.assertTrue(await self.write({0: writes((0, b"old"))}))
        ballast = root / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        large = bytes(200_000)
        for changes in (
            {0: writes((0, large))},
            {0: writes((0, b"n")), 1: writes((0, large)), 2: writes(new_length=0)},
        ):
            with self.assertRaises(NoSpace):
                await self.write(changes)
            self.assertEqual(await self.found(), {0: b"old"})
            self.assertEqual(self.incoming(), [])
        ballast.unlink()
        self.assertTrue(await self.write({0: writes((0, large))}))

    async def test_many_leases(self) -> None:
        """A share takes so many leases; then it is written all the same, and renewed."""
        await self.write({0: writes((0, b"data"))})
        share = OpenSlot.open(self.home / "0")
        (mine, *_), header = share.leases().places, share.header
        share.close()
        places = [
            evolve(mine, renew=number.to_bytes(32, "big"))
            for number in range(MOST_LEASES - 1)
        ]
        leases = SlotLeases((mine, *places))
        data = header.pack() + leases.inline + b"data" + leases.extra
        (self.home / "0").write_bytes(data)
        with self.assertRaises(TooManyLeases):
            await self.slots.add_lease(INDEX, other_lease(77).leases)
        await self.slots.add_lease(INDEX, LEASES)
        for changes in ({0: writes((0, b"DATA+"))}, {0: writes()}):
            answer = await self.slots.test_and_write(INDEX, other_lease(77), changes, [])
            self.assertTrue(answer.success)
        self.assertEqual(await self.found(), {0: b"DATA+"})


class BoundTests(_Case):
    async def refused(
        self, *changes: SlotChange, reads: list[SlotRead] | None = None
    ) -> None:
        """Ask for too much."""
        wanted = dict(enumerate(changes))
        with self.assertRaises(BadSlotRequest):
            await self.slots.test_and_write(INDEX, SECRETS, wanted, reads or [])
        self.assertFalse(self.home.exists())

    async def test_bounds(self) -> None:
        """Impossible numbers, and more than one request may have, are refused."""
        test, write = SlotTest(0, 1, b""), SlotWrite(0, b"")
        await self.refused(SlotChange([SlotTest(-1, 1, b"")]))
        await self.refused(SlotChange([SlotTest(0, -1, b"")]))
        await self.refused(SlotChange((), [SlotWrite(-1, b"x")]))
        await self.refused(SlotChange(new_length=-1))
        await self.refused(reads=[SlotRead(-1, 1)])
        await self.refused(reads=[SlotRead(0, -1)])
        await self.refused(reads=[SlotRead(0, 1)] * (MAX_SLOT_READS + 1))
        half = [test] * (MAX_SLOT_TESTS // 2 + 1)
        await self.refused(SlotChange(half), SlotChange(half))
        many = [write] * (MAX_SLOT_WRITES // 2 + 1)
        await self.refused(SlotChange((), many), SlotChange((), many))
        large = SlotWrite(0, bytes(MAX_SLOT_DATA // 2 + 1))
        await self.refused(SlotChange((), [large]), SlotChange((), [large]))
        with self.assertRaises(SlotTooLarge):
            await self.write({0: writes((1 << 62, b"x"))})
        for share in (-1, 256):
            with self.assertRaises(BadSlotRequest):
                await self.write({share: writes()})
        short = evolve(SECRETS, write_enabler=b"short")
        with self.assertRaises(BadSlotRequest):
            await self.slots.test_and_write(INDEX, short, {0: writes()}, [])
        self.assertFalse(self.home.exists())

    async def test_large_answers(self) -> None:
        """Who asks for more than an answer may have is told so."""
        await self.write({share: writes((1 << 25, b"x")) for share in range(3)})
        with self.assertRaises(BadSlotRequest):
            await self.slots.read(INDEX, frozenset(), [SlotRead(0, 1 << 40)])
        with self.assertRaises(BadSlotRequest):
            await self.slots.read(INDEX, {0}, [SlotRead(0, 1 << 24)] * 5)
        found = await self.slots.read(INDEX, {0}, [SlotRead(0, 1 << 40)])
        self.assertEqual(len(found[0][0]), (1 << 25) + 1)
