"""Every kind of damage is found by a verifier, told to the server, and repaired."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import (
    REACTOR,
    Grid,
    MadeFile,
    calm,
    failing,
    files_below,
    hanging,
    make_file,
    pause,
    put_share,
    until,
)
from tests.soak import WHOLE
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of, ueb_hash
from truckee.flow.limits import Budget
from truckee.immutable.check import PARALLEL, Checker, CheckReport
from truckee.immutable.download.sources import NotEnoughShares
from truckee.immutable.repair import NotTheSame, Repairer
from truckee.immutable.verify import BATCH

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
MIB = 1 << 20

# 2-of-4; 100 segments, so that a tree has more than one page and padding.
SHAPE = Encoding(2, 4, 64)
SIZE = 64 * 100 - 13
NUMBER = 1  # of the share that is damaged


def new_file(seed: int = 0, streamed: bool = False, encoding: Encoding = SHAPE) -> MadeFile:
    """Return a file of the shape of this module."""
    return make_file(random.Random(seed).randbytes(SIZE), KEY, encoding, streamed)


Damage = Callable[[MadeFile, MadeFile], bytes | None]


def flipped(place: Callable[[MadeFile], int]) -> Damage:
    """Change one bit at *place*."""

    def damage(file: MadeFile, _: MadeFile) -> bytes:
        share = bytearray(file.shares[NUMBER])
        share[place(file) % len(share)] ^= 1
        return bytes(share)

    return damage


def header(field: int) -> Damage:
    """Change one bit in a field of the header, which has 9."""

    def place(file: MadeFile) -> int:
        # Of version 1 and 2: the first field has 4 bytes in both.
        width = 4 if file.layout.version == 1 else 8
        return 3 + width * field

    return flipped(place)


def _block(segment: int) -> Damage:
    return flipped(lambda file: file.layout.block(segment))


def _other_blocks(file: MadeFile, _: MadeFile) -> bytes:
    """Have the blocks of another share, and their tree: all of it fits together."""
    layout, own, other = file.layout, file.shares[NUMBER], file.shares[NUMBER + 1]
    data, tree = slice(0, layout.crypttext_tree), slice(layout.block_tree, layout.chain)
    return (
        other[data] + own[layout.crypttext_tree : layout.block_tree] + other[tree]
    ) + own[layout.chain :]


def _other_ueb(file: MadeFile, other: MadeFile) -> bytes:
    return file.shares[NUMBER][: file.layout.ueb] + other.shares[NUMBER][file.layout.ueb :]


# What is found: "corrupt", "missing" (there is nothing to be corrupt), "good", "unread".
DAMAGES: dict[str, tuple[str, Damage]] = {
    "missing": ("missing", lambda file, _: None),
    "empty": ("corrupt", lambda file, _: b""),
    "cut in the header": ("corrupt", lambda file, _: file.shares[NUMBER][:20]),
    "cut in the data": ("corrupt", lambda file, _: file.shares[NUMBER][:1000]),
    "cut by a byte": ("corrupt", lambda file, _: file.shares[NUMBER][:-1]),
    "version": ("unread", header(0)),
    "block size, which nobody reads": ("good", header(1)),
    "data size, which nobody reads": ("good", header(2)),
    "offset of data": ("corrupt", header(3)),
    "offset of the plaintext tree, which nobody reads": ("good", header(4)),
    "offset of the ciphertext tree": ("corrupt", header(5)),
    "offset of the block tree": ("corrupt", header(6)),
    "offset of the chain": ("corrupt", header(7)),
    "offset of the UEB": ("corrupt", header(8)),
    "first block": ("corrupt", _block(0)),
    "middle block": ("corrupt", _block(51)),
    "last block": ("corrupt", _block(99)),
    "root of the ciphertext tree": ("corrupt", flipped(lambda f: f.layout.crypttext_tree)),
    "inner ciphertext node": (
        "corrupt",
        flipped(lambda f: f.layout.crypttext_tree + 32 * 5),
    ),
    "ciphertext leaf": ("corrupt", flipped(lambda f: f.layout.crypttext_tree + 32 * 130)),
    "ciphertext padding": ("corrupt", flipped(lambda f: f.layout.block_tree - 1)),
    "root of the block tree": ("corrupt", flipped(lambda f: f.layout.block_tree)),
    "inner block node": ("corrupt", flipped(lambda f: f.layout.block_tree + 32 * 5)),
    "block leaf": ("corrupt", flipped(lambda f: f.layout.block_tree + 32 * 130)),
    "padding of the block tree": ("corrupt", flipped(lambda f: f.layout.chain - 1)),
    "number in the chain": ("corrupt", flipped(lambda f: f.layout.chain + 1)),
    "hash in the chain": ("corrupt", flipped(lambda f: f.layout.chain + 20)),
    "length of the UEB": (
        "corrupt",
        flipped(lambda f: f.layout.ueb + (3 if f.layout.version == 1 else 7)),
    ),
    "UEB": ("corrupt", flipped(lambda f: -40)),
    "UEB of another file": ("corrupt", _other_ueb),
    "share of another file": ("corrupt", lambda _, other: other.shares[NUMBER]),
    "another share": ("corrupt", lambda file, _: file.shares[NUMBER + 1]),
    "blocks of another share": ("corrupt", _other_blocks),
    "zeros": ("unread", lambda file, _: bytes(len(file.shares[NUMBER]))),
    "more at its end": ("good", lambda file, _: file.shares[NUMBER] + b"more"),
}


class _Case(TestCase):
    timeout = 120

    def new_grid(self, file: MadeFile, servers: int = 6) -> Grid:
        """Return a grid with share i on server i."""
        grid = Grid.new(self, servers=servers)
        self.fill(grid, file)
        return grid

    def fill(self, grid: Grid, file: MadeFile) -> None:
        for server in grid.servers:
            shutil.rmtree(server.directory.home(INDEX), ignore_errors=True)
            server.advice.clear()
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)

    def checker(self, grid: Grid) -> Checker:
        return Checker(grid.selector, grid.cpu, grid.budget)

    def repairer(self, grid: Grid) -> Repairer:
        return Repairer(
            self.checker(grid), grid.selector, grid.journal, grid.cpu, grid.budget, REACTOR
        )

    async def verify(self, grid: Grid, cap: ChkVerifyCap) -> CheckReport:
        return await self.checker(grid).check(cap, verify=True)


class VerifyTests(_Case):
    async def test_each_damage(self) -> None:
        """
        A damage in any section is found, the share named, its server told; what no reader
        uses may hold anything.  Stored anew, the file is healthy again.
        """
        for streamed in (False, True):
            file, other = new_file(0, streamed), new_file(1, streamed)
            cap = file.cap.verify_cap()
            grid = self.new_grid(file)
            self.assertTrue((await self.verify(grid, cap)).healthy)
            # Each of one kind of file; of both, if there is time.
            for name in list(DAMAGES)[0 if WHOLE else streamed :: 1 if WHOLE else 2]:
                found, damage = DAMAGES[name]
                self.fill(grid, file)
                server = grid.servers[NUMBER]
                share = damage(file, other)
                if share is None:
                    shutil.rmtree(server.directory.home(INDEX))
                else:
                    put_share(server, INDEX, NUMBER, share)
                report = await self.verify(grid, cap)
                bad = [(each.number, each.server) for each in report.corrupt]
                unread = [(each.number, each.server) for each in report.unreadable]
                one = [(NUMBER, server)]
                self.assertEqual(bad, one if found == "corrupt" else [], name)
                self.assertEqual(unread, one if found == "unread" else [], name)
                self.assertEqual(report.missing, [] if found == "good" else [NUMBER], name)
                self.assertEqual(report.healthy, found == "good", name)
                self.assertTrue(report.recoverable)
                told = [number for number, _reason in server.advice]
                self.assertEqual(told, [NUMBER] if bad else [], name)
                await self.assert_repaired(grid, file, name)

    async def assert_repaired(self, grid: Grid, file: MadeFile, name: str) -> None:
        """Repair a file of which one share at most is bad."""
        before = {path: path.read_bytes() for path in files_below(grid.root)}
        report = await self.repairer(grid).check_and_repair(file.cap.verify_cap(), True)
        self.assertEqual(report.attempted, not report.before.healthy, name)
        self.assertTrue(report.after.healthy, name)
        # Nothing that was there was changed, and at most one share is new.
        shares = {
            path: path.read_bytes()
            for path in files_below(
                *(each.directory.root / "shares" for each in grid.servers)
            )
        }
        new = [path for path in shares if path not in before]
        self.assertEqual(len(new), int(report.attempted), name)
        for path in shares.keys() & before.keys():
            self.assertEqual(shares[path], before[path], name)
        for path in new:
            self.assertEqual(path.name, str(NUMBER))
        for lost in range(2, 4):
            shutil.rmtree(grid.servers[lost].directory.home(INDEX))
        self.assertEqual(await grid.read(file.cap), file.plaintext, name)

    async def test_misnumbered(self) -> None:
        """A share under a number that the file has not is corrupt, and spoils nothing."""
        file = new_file()
        grid = self.new_grid(file)
        put_share(grid.servers[5], INDEX, 9, file.shares[2])
        report = await self.verify(grid, file.cap.verify_cap())
        self.assertEqual([bad.number for bad in report.corrupt], [9])
        self.assertTrue(report.healthy)
        counted = await self.checker(grid).check(file.cap.verify_cap())
        self.assertEqual(list(counted.good), [0, 1, 2, 3])

    async def test_not_verified(self) -> None:
        """Without verify servers are asked what they hold, and no share is read."""
        file = new_file()
        grid = self.new_grid(file)
        put_share(grid.servers[1], INDEX, 1, b"rubbish")
        report = await self.checker(grid).check(file.cap.verify_cap())
        self.assertTrue(report.healthy)
        self.assertEqual(sum(server.reads for server in grid.servers), 0)
        self.assertEqual((report.happiness, report.good_hosts), (4, 4))
        self.assertEqual(len(report.servers), 6)

    async def test_counts(self) -> None:
        """Copies count as hosts, not as shares; servers that fail are not in the report."""
        file = new_file()
        grid = self.new_grid(file)
        put_share(grid.servers[5], INDEX, 0, file.shares[0])
        put_share(grid.servers[0], INDEX, 3, file.shares[3])
        grid.servers[2].mood = failing("buckets")
        grid.servers[1].mood = failing("read")
        report = await self.verify(grid, file.cap.verify_cap())
        self.assertEqual({n: len(found) for n, found in report.good.items()}, {0: 2, 3: 2})
        self.assertEqual([bad.number for bad in report.unreadable], [1])
        self.assertEqual(len(report.servers), 5)
        self.assertEqual((report.good_hosts, report.happiness), (3, 2))
        self.assertEqual(report.missing, [1, 2])
        self.assertTrue(report.recoverable and not report.healthy)

    async def test_leases(self) -> None:
        """With add_lease every share there is gets this client's lease, once."""
        file = new_file()
        grid = self.new_grid(file)
        for _ in range(2):
            await self.checker(grid).check(file.cap.verify_cap(), add_lease=True)
        for number in range(4):
            path = grid.servers[number].directory.home(INDEX) / str(number)
            data = path.read_bytes()
            self.assertEqual(int.from_bytes(data[8:12], "big"), 1)
            self.assertEqual(len(data), 12 + len(file.shares[number]) + 72)

    async def test_unrenewed(self) -> None:
        """A server that does not confirm a lease is named, and the file is healthy."""
        file = new_file()
        grid = self.new_grid(file)
        grid.servers[2].mood = failing("add_lease")
        for verify in (False, True):
            cap = file.cap.verify_cap()
            report = await self.checker(grid).check(cap, verify, add_lease=True)
            self.assertEqual(list(report.unrenewed), [grid.servers[2]])
            self.assertTrue(report.healthy)

    async def test_silent(self) -> None:
        """A server that gives no answer is named; what it has is missing."""
        file = new_file()
        grid = self.new_grid(file)
        grid.servers[2].mood = failing("buckets")
        for verify in (False, True):
            report = await self.checker(grid).check(file.cap.verify_cap(), verify)
            self.assertEqual(list(report.silent), [grid.servers[2]])
            self.assertEqual(report.missing, [2])
            self.assertNotIn(grid.servers[2], report.servers)

    async def test_deep_trees(self) -> None:
        """Rows of trees so deep that they are read in pieces are verified too."""
        plaintext = random.Random(4).randbytes(20_000)
        file = make_file(plaintext, KEY, Encoding(1, 1, 2))
        grid = Grid.new(self, servers=1)
        cap = file.cap.verify_cap()
        put_share(grid.servers[0], INDEX, 0, file.shares[0])
        self.assertTrue((await self.verify(grid, cap)).healthy)
        layout = file.layout
        nodes = (layout.block_tree - layout.crypttext_tree) // 32
        for tree in (layout.crypttext_tree, layout.block_tree):
            for node in (0, 4095, 8190, 8191, 12_287, nodes // 2, nodes - 1):
                share = bytearray(file.shares[0])
                share[tree + 32 * node + 7] ^= 4
                put_share(grid.servers[0], INDEX, 0, bytes(share))
                self.assertEqual(len((await self.verify(grid, cap)).corrupt), 1, node)

    async def test_memory(self) -> None:
        """
        Verify and repair of a 64 MiB file hold a few segments, and stay within the budget
        where that is less.
        """
        encoding = Encoding(2, 4, MIB)
        plaintext = random.Random(5).randbytes(64 * MIB)
        for limit in (256 * MIB, 6 * MIB):
            grid = Grid.new(self, encoding, servers=5, budget=Budget(limit))
            if limit > 100 * MIB:
                file = make_file(plaintext, KEY, encoding)
            for number, share in enumerate(file.shares[:3]):
                put_share(grid.servers[number], INDEX, number, share)
            cap = file.cap.verify_cap()
            await self.verify(grid, cap)
            bound = PARALLEL * (BATCH + MIB)
            self.assertLessEqual(grid.budget.peak, min(limit, bound))
            report = await self.repairer(grid).check_and_repair(cap)
            self.assertTrue(report.successful)
            self.assertLessEqual(grid.budget.peak, min(limit, bound))
            self.assertEqual(grid.budget.used, 0)
            made = grid.servers[3].directory.home(INDEX) / "3"
            self.assertTrue(made.read_bytes()[12:-72] == file.shares[3])


class RepairTests(_Case):
    async def test_shapes(self) -> None:
        """
        Files of all shapes, sized and streamed, are made whole from any k shares, with
        the very shares that a sized file has.
        """
        for k, n, segment, size in (
            (1, 1, 64, 300),
            (1, 3, 100, 99),
            (3, 10, 1000, 2500),
            (3, 10, 90, 1234),
            (4, 4, 128, 1024),
            (7, 20, 77, 700),
        ):
            rng = random.Random(size)
            for streamed in (False, True):
                encoding = Encoding(k, n, segment)
                file = make_file(rng.randbytes(size), KEY, encoding, streamed)
                grid = Grid.new(self, encoding, servers=n)
                kept = rng.sample(range(n), k)
                for number in kept:
                    put_share(grid.servers[number], INDEX, number, file.shares[number])
                report = await self.repairer(grid).check_and_repair(
                    file.cap.verify_cap(), True
                )
                self.assertTrue(report.after.healthy)
                self.assertEqual(report.attempted, k < n)
                self.assertEqual(report.after.happiness, n)
                for server in grid.servers:
                    self.assertEqual(len(server.directory.shares(INDEX)), 1)
                    self.assertFalse(files_below(server.directory.incoming(INDEX)))
                if not streamed:
                    self.assert_bytes(grid, file)

    def assert_bytes(self, grid: Grid, file: MadeFile) -> None:
        for number, places in grid.shares(INDEX).items():
            for place in places:
                share = grid.servers[place].directory.shares(INDEX)[number]
                self.assertEqual(share.read(0, share.length), file.shares[number])

    async def test_too_few(self) -> None:
        """A file of which too little is left is not repaired, and nothing is stored."""
        file = new_file()
        grid = Grid.new(self, servers=4)
        put_share(grid.servers[0], INDEX, 0, file.shares[0])
        put_share(grid.servers[1], INDEX, 1, b"rubbish")
        for verify in (False, True):
            with self.assertRaises(NotEnoughShares):
                await self.repairer(grid).check_and_repair(file.cap.verify_cap(), verify)
        self.assertEqual(grid.shares(INDEX), {0: [0], 1: [1]})

    async def test_healthy(self) -> None:
        """A healthy file is left alone."""
        file = new_file()
        grid = self.new_grid(file)
        report = await self.repairer(grid).check_and_repair(file.cap.verify_cap(), True)
        self.assertFalse(report.attempted or report.successful)
        self.assertIs(report.before, report.after)

    async def test_corrupt_everywhere(self) -> None:
        """A share that no server takes is left out, the others are stored."""
        file = new_file()
        grid = self.new_grid(file, servers=4)
        for server in grid.servers:
            put_share(server, INDEX, 1, b"rubbish" * 5)
        (grid.servers[3].directory.home(INDEX) / "3").unlink()
        report = await self.repairer(grid).check_and_repair(file.cap.verify_cap(), True)
        self.assertTrue(report.attempted and not report.successful)
        self.assertEqual(report.after.missing, [1])
        nobody = await self.repairer(grid).check_and_repair(file.cap.verify_cap(), True)
        self.assertTrue(nobody.attempted and not nobody.successful)

    async def test_failing_servers(self) -> None:
        """Servers that refuse or fail in any operation are passed over for others."""
        file = new_file()
        for operation in ("allocate", "write", "close"):
            grid = self.new_grid(file, servers=8)
            shutil.rmtree(grid.servers[2].directory.home(INDEX))
            shutil.rmtree(grid.servers[3].directory.home(INDEX))
            for server in (grid.servers[5], grid.servers[6]):
                server.mood = failing(operation)
            report = await self.repairer(grid).check_and_repair(file.cap.verify_cap())
            # When a share is complete and cannot be shown, only a second repair can help.
            self.assertEqual(report.successful, operation != "close", operation)
            for server in grid.servers:
                server.mood = calm
            report = await self.repairer(grid).check_and_repair(file.cap.verify_cap(), True)
            self.assertTrue(report.after.healthy, operation)
            for server in grid.servers:
                await until(
                    lambda server=server: (
                        not files_below(  # type: ignore[misc]
                            server.directory.incoming(INDEX)
                        )
                    )
                )

    async def test_slow_server(self) -> None:
        """No client waits for a repair: a slow server gets its share all the same."""
        encoding = Encoding(2, 5, 1 << 20)
        file = new_file(encoding=encoding)
        grid = Grid.new(self, encoding, servers=5)
        for number in range(2):
            put_share(grid.servers[number], INDEX, number, file.shares[number])

        async def slow(operation: str, share: int) -> None:
            await pause(1.0 if operation == "write" else 0.0)

        grid.servers[4].mood = slow
        report = await self.repairer(grid).check_and_repair(file.cap.verify_cap())
        self.assertEqual(report.after.happiness, 5)

    async def test_claimed(self) -> None:
        """A share that a server has only by its own word is made anew too."""
        file = new_file()
        grid = self.new_grid(file)
        put_share(grid.servers[0], INDEX, 0, b"rubbish")
        shutil.rmtree(grid.servers[3].directory.home(INDEX))
        report = await self.repairer(grid).check_and_repair(file.cap.verify_cap())
        self.assertEqual(report.before.missing, [0, 3])
        self.assertTrue(report.successful)
        self.assertTrue((await self.verify(grid, file.cap.verify_cap())).healthy)

    async def test_other_writer(self) -> None:
        """Where new shares would not have the UEB of the old ones, none is stored."""
        file = new_file()
        layout = file.layout
        ueb = file.shares[0][layout.ueb + 4 :] + b"zzz:1:x,"
        cap = evolve(file.cap, ueb_hash=ueb_hash(ueb)).verify_cap()
        shares = [
            share[: layout.ueb] + len(ueb).to_bytes(4, "big") + ueb for share in file.shares
        ]
        grid = self.new_grid(evolve(file, shares=shares))
        self.assertTrue((await self.verify(grid, cap)).healthy)
        shutil.rmtree(grid.servers[3].directory.home(INDEX))
        with self.assertRaises(NotTheSame):
            await self.repairer(grid).check_and_repair(cap)
        self.assertEqual(sorted(grid.shares(INDEX)), [0, 1, 2])
        for server in grid.servers:
            self.assertFalse(files_below(server.directory.incoming(INDEX)))

    async def test_cancelled(self) -> None:
        """A repair that is cancelled, wherever it waits, leaves nothing behind."""
        file = new_file()
        for operation in ("buckets", "read", "write", "allocate", "close"):
            grid = self.new_grid(file)
            shutil.rmtree(grid.servers[3].directory.home(INDEX))
            for server in grid.servers:
                server.mood = hanging(operation)
            repairer = self.repairer(grid)
            running = Deferred.fromCoroutine(
                repairer.check_and_repair(file.cap.verify_cap())
            )
            await pause(0.3)
            self.assertNoResult(running)
            running.cancel()
            await self.assertFailure(running, CancelledError)
            self.assertEqual((repairer.active, grid.budget.used), (0, 0))
            self.assertEqual(sorted(grid.shares(INDEX)), [0, 1, 2])
            for server in grid.servers:
                self.assertFalse(files_below(server.directory.incoming(INDEX)))
