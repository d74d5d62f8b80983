"""Any k good shares give the file; nothing that a server may hold gives another one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from struct import pack, pack_into
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import (
    REACTOR,
    Grid,
    MadeFile,
    failing,
    hanging,
    make_file,
    pause,
    put_share,
    until,
)
from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.encoder import EncodedSegment, FileEncoder, encode_segment
from truckee.codec.geometry import MAX_SEGMENT_SIZE, Encoding
from truckee.codec.hashes import (
    Buffer,
    block_hash,
    storage_index_of,
    ueb_hash,
)
from truckee.codec.netstring import netstring
from truckee.codec.share import ShareLayout
from truckee.flow.together import together
from truckee.immutable.download.fetch import MOST_AT_ONCE, BrokenFile, Fetcher
from truckee.immutable.download.sources import Located, NotEnoughShares, Source
from truckee.immutable.download.speculative_reads import HeadStart
from truckee.storage.interfaces import NotConnected

nothing: Any = None

KEY = b"k" * 16
INDEX = storage_index_of(KEY)

# k, N, largest segment, bytes of the file, streamed
SHAPES = (
    (1, 1, 64, 300, False),
    (1, 3, 100, 99, True),
    (2, 3, 64, 3000, False),
    (2, 3, 64, 3000, True),
    (3, 10, 1000, 2500, False),
    (3, 10, 90, 1234, True),
    (4, 4, 128, 1024, False),
    (5, 7, 64, 1, False),
    (7, 20, 77, 700, True),
)


def random_file(shape: tuple[int, int, int, int, bool], seed: int = 0) -> MadeFile:
    """Return a file of a shape."""
    k, n, segment, size, streamed = shape
    plaintext = random.Random(seed).randbytes(size)
    return make_file(plaintext, KEY, Encoding(k, n, segment), streamed)


# Damages: each takes a share and gives what a broken disk or an evil server makes of it.
Damage = Callable[[random.Random, MadeFile, MadeFile, int], bytes]


def flip(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Change one byte anywhere."""
    share = bytearray(file.shares[number])
    share[rng.randrange(len(share))] ^= rng.randint(1, 255)
    return bytes(share)


def flip_in(part: str) -> Damage:
    """Change one byte in one part of the share."""

    def damage(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
        layout, share = file.layout, bytearray(file.shares[number])
        start, end = {
            "header": (0, layout.data),
            "data": (layout.data, layout.data + layout.geometry.share_data_size),
            "crypttext tree": (layout.crypttext_tree, layout.block_tree),
            "block tree": (layout.block_tree, layout.chain),
            "chain": (layout.chain, layout.ueb),
            "ueb": (layout.ueb, len(share)),
        }[part]
        share[rng.randrange(start, end)] ^= rng.randint(1, 255)
        return bytes(share)

    return damage


def all_blocks(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Have noise for data."""
    share = bytearray(file.shares[number])
    size = file.layout.geometry.share_data_size
    share[file.layout.data : file.layout.data + size] = rng.randbytes(size)
    return bytes(share)


def cut(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """End anywhere."""
    return file.shares[number][: rng.randrange(len(file.shares[number]))]


def foreign(rng: random.Random, _: MadeFile, other: MadeFile, number: int) -> bytes:
    """Be a share of another file."""
    return other.shares[number % len(other.shares)]


def sibling(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Be another share of the file."""
    return file.shares[(number + rng.randint(1, len(file.shares))) % len(file.shares)]


def mixture(rng: random.Random, file: MadeFile, other: MadeFile, number: int) -> bytes:
    """Go on as a share of another file from some byte on."""
    at = rng.randrange(len(file.shares[number]))
    return file.shares[number][:at] + foreign(rng, file, other, number)[at:]


def version(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Have another version."""
    return pack(">L", rng.choice([0, 1, 2, 3, 2**32 - 1])) + file.shares[number][4:]


def offsets(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Point anywhere, as far as 64 bits go."""
    share = bytearray(file.shares[number])
    code, width, first = (">Q", 8, 0x14) if file.layout.version == 2 else (">L", 4, 0x0C)
    for field in range(6):
        if rng.random() < 0.5:
            value = rng.randrange(1 << rng.choice([8, 16, 31, 32, 63, 64]))
            pack_into(code, share, first + width * field, value % (1 << 8 * width))
    return bytes(share)


def far_away(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Be of version 2, with all parts where no file ends, and a chain of some length."""
    at = rng.choice([2**63 - 200, 2**63, 2**64 - 500])
    return pack(">L8Q", 2, 1, 1, at, at, at, at, at, at + 34) + file.shares[number]


def zeros(rng: random.Random, file: MadeFile, _: MadeFile, number: int) -> bytes:
    """Be a hole."""
    return bytes(len(file.shares[number]))


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip_in("header"),
    flip_in("data"),
    flip_in("crypttext tree"),
    flip_in("block tree"),
    flip_in("chain"),
    flip_in("ueb"),
    all_blocks,
    cut,
    foreign,
    sibling,
    mixture,
    version,
    offsets,
    far_away,
    zeros,
)


class _Case(TestCase):
    timeout = 120

    def clear(self, grid: Grid) -> None:
        """Remove all shares."""
        for server in grid.servers:
            server.directory.clear_incoming()
            shutil.rmtree(server.directory.home(INDEX), ignore_errors=True)

    def give_all(self, grid: Grid, file: MadeFile) -> None:
        """Have share i on server i modulo the servers."""
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number % len(grid.servers)], INDEX, number, share)


class DamageTests(_Case):
    async def test_random_shares(self) -> None:
        """
        Whatever the servers hold beside them, k untouched shares give the file, and fewer
        give the file or NotEnoughShares.
        """
        grid = Grid.new(self, servers=4)
        good = bad = 0
        for seed in range(240):
            rng = random.Random(seed)
            shape = SHAPES[seed % len(SHAPES)]
            file, other = random_file(shape, seed), random_file(shape, seed + 1000)
            enough = self.deal(rng, grid, file, other)
            start = rng.randrange(len(file.plaintext))
            end = rng.randint(start, len(file.plaintext))
            if rng.random() < 0.5:
                start, end = 0, len(file.plaintext)
            try:
                found = await grid.read(file.cap, start, end)
            except NotEnoughShares:
                self.assertFalse(enough, seed)
                bad += 1
            else:
                self.assertEqual(found, file.plaintext[start:end], seed)
                good += 1
            self.clear(grid)
        self.assertGreater(good, 50)
        self.assertGreater(bad, 30)

    def deal(self, rng: random.Random, grid: Grid, file: MadeFile, other: MadeFile) -> bool:
        """Give the servers shares; tell whether k different ones are untouched."""
        k, n = file.cap.needed, file.cap.total
        untouched = set(rng.sample(range(n), rng.choice([0, max(k - 1, 0), k, k, n])))
        for number in untouched:
            server = rng.choice(grid.servers)
            put_share(server, INDEX, number, file.shares[number])
        for server in grid.servers:
            for number in range(n + 3):
                path = server.directory.home(INDEX) / str(number)
                if path.exists() or rng.random() < 0.4:
                    continue
                if number >= n:
                    put_share(server, INDEX, number, rng.choice(file.shares))
                elif rng.random() < 0.1:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(
                        rng.choice(
                            [b"", b"\0" * 5, pack(">LLL", 2, 0, 2**32 - 1), b"x" * 99]
                        )
                    )
                else:
                    share = rng.choice(DAMAGES)(rng, file, other, number)
                    put_share(server, INDEX, number, share)
        return len(untouched) >= k

    async def test_each_damage(self) -> None:
        """Each damage, in all shares of one server, is survived with those of another."""
        grid = Grid.new(self, servers=2)
        rng = random.Random(5)
        for shape in SHAPES:
            file, other = random_file(shape, 1), random_file(shape, 2)
            for damage in DAMAGES:
                for number in range(file.cap.total):
                    put_share(
                        grid.servers[0], INDEX, number, damage(rng, file, other, number)
                    )
                    put_share(grid.servers[1], INDEX, number, file.shares[number])
                self.assertEqual(await grid.read(file.cap), file.plaintext)
            self.clear(grid)

    async def test_bad_blocks_cost_only_their_segments(self) -> None:
        """Shares with a bad block each, in other segments, still make the file together."""
        file = random_file((3, 4, 60, 240, False))
        grid = Grid.new(self, servers=2)
        for number in range(4):
            share = bytearray(file.shares[number])
            share[file.layout.block(number)] ^= 1
            put_share(grid.servers[0], INDEX, number, bytes(share))
        self.assertEqual(await grid.read(file.cap), file.plaintext)
        # Its operator is told of each share, once.
        await until(lambda: len(grid.servers[0].advice) >= 4)
        self.assertEqual(sorted(share for share, _ in grid.servers[0].advice), [0, 1, 2, 3])

    async def test_server_is_told(self) -> None:
        """A server that holds a useless share is told which, and why, once."""
        file = random_file((2, 3, 64, 300, False))
        grid = Grid.new(self)
        self.give_all(grid, file)
        put_share(grid.servers[0], INDEX, 0, file.shares[1])
        self.assertEqual(await grid.read(file.cap), file.plaintext)
        await until(lambda: grid.servers[0].advice)
        self.assertEqual([share for share, _ in grid.servers[0].advice], [0])
        advisories = list(
            (grid.servers[0].directory.root / "corruption-advisories").iterdir()
        )
        self.assertEqual(len(advisories), 1)

    async def test_too_few_are_counted(self) -> None:
        """The error says how many good shares there are, and how many it takes."""
        file = random_file((3, 10, 1000, 2500, False))
        grid = Grid.new(self)
        for found in range(3):
            for number in range(found):
                put_share(grid.servers[number], INDEX, number, file.shares[number])
            put_share(grid.servers[0], INDEX, 10, file.shares[9])
            put_share(grid.servers[0], INDEX, 9, b"rubbish")
            put_share(grid.servers[0], INDEX, 8, b"rubbish")
            error = await self.assertFailure(
                Deferred.fromCoroutine(grid.read(file.cap)), NotEnoughShares
            )
            assert isinstance(error, NotEnoughShares)
            self.assertEqual((error.found, error.needed), (found, 3))
            self.clear(grid)


class ServerTests(_Case):
    async def test_failing_servers(self) -> None:
        """Servers that fail to answer or to read are gone round."""
        file = random_file((2, 4, 64, 3000, False))
        for operation in ("buckets", "read", "advise_corrupt"):
            grid = Grid.new(self, servers=4)
            self.give_all(grid, file)
            for server in grid.servers[:2]:
                server.mood = failing(operation)
            self.assertEqual(await grid.read(file.cap), file.plaintext)
        self.flushLoggedErrors(OSError)

    async def test_server_fails_on_the_way(self) -> None:
        """A server that fails after any number of reads is replaced, while others last."""
        file = random_file((2, 4, 64, 700, False))
        for last in range(30):
            grid = Grid.new(self, servers=4)
            self.give_all(grid, file)
            server = grid.servers[0]

            async def mood(operation: str, share: int, at: int = last) -> None:
                if operation == "read" and server.reads > at:  # noqa: B023
                    raise OSError(5, "the cable was pulled")

            server.mood = mood
            self.assertEqual(await grid.read(file.cap), file.plaintext)

    async def test_advice_that_fails(self) -> None:
        """A server that takes no advice keeps nobody from reading."""
        file = random_file((2, 3, 64, 300, False))
        grid = Grid.new(self)
        self.give_all(grid, file)
        put_share(grid.servers[0], INDEX, 0, b"rubbish")
        for mood in (failing("advise_corrupt"), hanging("advise_corrupt")):
            grid.servers[0].mood = mood
            self.assertEqual(await grid.read(file.cap), file.plaintext)

    async def test_lost_connection(self) -> None:
        """A server whose connection is lost is gone round, and is told nothing."""
        file = random_file((2, 4, 64, 700, False))
        for last in range(12):
            grid = Grid.new(self, servers=4)
            self.give_all(grid, file)
            server = grid.servers[0]

            async def mood(operation: str, share: int, at: int = last) -> None:
                if operation == "read" and server.reads > at:  # noqa: B023
                    raise NotConnected("server 0")

            server.mood = mood
            self.assertEqual(await grid.read(file.cap), file.plaintext)
            self.assertEqual(server.advice, [])

    async def test_cancel(self) -> None:
        """A read that waits for a server for ever can be cancelled, wherever it waits."""
        file = random_file((2, 3, 64, 300, False))
        for operation in ("buckets", "read"):
            grid = Grid.new(self)
            self.give_all(grid, file)
            for server in grid.servers:
                server.mood = hanging(operation)
            reading = Deferred.fromCoroutine(grid.read(file.cap))
            await pause(0.05)
            self.assertNoResult(reading)
            reading.cancel()
            await self.assertFailure(reading, CancelledError)


class LiarTests(_Case):
    """Whoever stored the file lied: its shares agree with each other."""

    async def assert_broken(self, grid: Grid, cap: ChkReadCap) -> None:
        with self.assertRaises(BrokenFile):
            await grid.read(cap)

    def lie(
        self, segments: list[bytes], encoded: list[EncodedSegment], k: int, n: int
    ) -> tuple[ChkReadCap, list[bytes]]:
        """Return a cap and shares with these blocks and hashes."""
        encoder = FileEncoder(INDEX, k, n)
        for segment, each in zip(segments, encoded, strict=True):
            encoder.absorb(segment, each)
        file = encoder.finish(len(segments[0]))
        layout = ShareLayout.stock(file.geometry)
        shares = [
            b"".join(
                [
                    layout.pack_header(),
                    *(each.blocks[number] for each in encoded),
                    bytes(layout.plaintext_tree_size),
                    *file.trailer(number, layout),
                ]
            )
            for number in range(n)
        ]
        return file.verify_cap.read_cap(KEY), shares

    async def test_other_ciphertext(self) -> None:
        """A segment that is not the one in the ciphertext tree never leaves."""
        segments = [crypt(KEY, 64 * i, bytes([i]) * 64) for i in range(3)]
        encoded = [encode_segment(segment, 2, 3) for segment in segments]
        promised = [segments[0], b"another!" * 8, segments[2]]
        cap, shares = self.lie(promised, encoded, 2, 3)
        grid = Grid.new(self)
        for number, share in enumerate(shares):
            put_share(grid.servers[number], INDEX, number, share)
        await self.assert_broken(grid, cap)
        # The others are as promised.
        self.assertEqual(await grid.read(cap, 0, 64), bytes(64))
        self.assertEqual(await grid.read(cap, 128, 192), b"\2" * 64)

    async def test_blocks_that_do_not_belong_together(self) -> None:
        """What blocks decode to is checked, also when each is as promised."""
        segment = crypt(KEY, 0, b"a" * 64)
        encoded = encode_segment(segment, 2, 4)
        blocks = [*encoded.blocks[:3], bytes(32)]
        evil = EncodedSegment(blocks, [block_hash(b) for b in blocks])
        cap, shares = self.lie([segment], [evil], 2, 4)
        for first in range(4):
            for second in range(first):
                grid = Grid.new(self, servers=2)
                put_share(grid.servers[0], INDEX, first, shares[first])
                put_share(grid.servers[1], INDEX, second, shares[second])
                if first == 3:
                    await self.assert_broken(grid, cap)
                else:
                    self.assertEqual(await grid.read(cap), b"a" * 64)

    async def test_blocks_of_other_lengths(self) -> None:
        """Blocks that are as promised and not of the right length are no file."""
        segment = crypt(KEY, 0, b"a" * 64)
        encoded = encode_segment(segment, 2, 3)
        for lengths in ((32, 31, 32), (31, 31, 31), (33, 33, 33), (0, 0, 0)):
            blocks: list[Buffer] = [
                (bytes(b) + b"!")[:s] for b, s in zip(encoded.blocks, lengths, strict=True)
            ]
            evil = EncodedSegment(blocks, [block_hash(b) for b in blocks])
            cap, shares = self.lie([segment], [evil], 2, 3)
            grid = Grid.new(self)
            for number, share in enumerate(shares):
                put_share(grid.servers[number], INDEX, number, share)
            try:
                found = await grid.read(cap)
            except (BrokenFile, NotEnoughShares):
                continue
            # Two of them were right.
            self.assertEqual((lengths, found), ((32, 31, 32), b"a" * 64))

    async def test_other_numbers_in_the_cap(self) -> None:
        """A cap with another k, N or size never gives bytes, and fails as a file does."""
        for shape in SHAPES:
            file = random_file(shape)
            cap = file.cap
            grid = Grid.new(self)
            self.give_all(grid, file)
            changed = [
                ChkReadCap(
                    cap.key, cap.ueb_hash, cap.needed + k, cap.total + n, cap.size + s
                )
                for k in (-1, 0, 1)
                for n in (-1, 0, 1)
                for s in (-1, 0, 1, 64, 1 << 40)
                if 1 <= cap.needed + k <= cap.total + n and cap.size + s > 0
            ]
            for each in changed:
                if each == cap:
                    continue
                try:
                    found = await grid.read(each, 0, min(each.size, 1 << 20))
                except (NotEnoughShares, BrokenFile):
                    continue
                # With another N, all that is checked can be right: then the file is.
                self.assertEqual((each.needed, each.size), (cap.needed, cap.size))
                self.assertEqual(found, file.plaintext)

    async def test_evil_uebs(self) -> None:
        """A UEB that the cap names and that makes no sense makes its shares useless."""
        file = random_file((2, 3, 64, 300, False))
        geometry = file.layout.geometry
        honest = {
            b"segment_size": b"64",
            b"crypttext_root_hash": file.crypttext_tree[:32],
            b"share_root_hash": bytes(32),
        }
        sizes = [b"", b"0", b"1", b"-2", b"63", b"66", b" 64", b"\xb2", b"9" * 1000]
        sizes += [b"%d" % (MAX_SEGMENT_SIZE + 4), b"%d" % 10**19]
        changes: list[dict[bytes, bytes | None]] = [
            {b"share_root_hash": bytes(32)},
            {b"x": b"y" * 1500},
        ]
        changes += [{key: None} for key in honest]
        changes += [{key: b"x" * 31} for key in honest]
        changes += [{b"segment_size": size} for size in sizes]
        for change in changes:
            values = {**honest, **change}
            ueb = b"".join(
                key + b":" + netstring(value)
                for key, value in values.items()
                if value is not None
            )
            await self.assert_useless(file, ueb)
        for ueb in (b"", b"x", b"a:3:b,", b"a:99999999999999999999:b,", bytes(100)):
            await self.assert_useless(file, ueb)
        self.assertEqual(geometry.segments, 5)

    async def assert_useless(self, file: MadeFile, ueb: bytes) -> None:
        grid = Grid.new(self)
        cap = evolve(file.cap, ueb_hash=ueb_hash(ueb))
        for number, share in enumerate(file.shares):
            evil = share[: file.layout.ueb] + pack(">L", len(ueb)) + ueb
            put_share(grid.servers[number], INDEX, number, evil)
        with self.assertRaises(NotEnoughShares):
            await grid.read(cap)


class FetcherTests(_Case):
    async def fetcher(self, grid: Grid, file: MadeFile) -> Fetcher:
        """Return what reads a file from where its shares are."""
        cap = file.cap.verify_cap()
        located = await Located.search(cap, grid.selector.find)
        return Fetcher(cap, located, grid.cpu, REACTOR)

    async def test_side_by_side(self) -> None:
        """Segments asked for at once come out right, with broken shares among theirs."""
        rng = random.Random(3)
        file = random_file((3, 10, 90, 1234, True))
        grid = Grid.new(self, servers=3)
        for number in range(10):
            share = file.shares[number]
            if number % 2:
                share = flip_in("block tree" if number < 4 else "data")(
                    rng, file, file, number
                )
            put_share(grid.servers[number % 3], INDEX, number, share)
        fetcher = await self.fetcher(grid, file)
        segments = (await fetcher.geometry()).segments
        order = list(range(segments)) * 2
        rng.shuffle(order)
        found = await together(fetcher.segment(number) for number in order)
        ciphertext = crypt(KEY, 0, file.plaintext)
        for number, segment in zip(order, found, strict=True):
            self.assertEqual(segment, ciphertext[90 * number : 90 * number + 90])

    async def test_adjacent(self) -> None:
        """Adjacent segments come out right, over pages of hashes and with broken shares."""
        rng = random.Random(6)
        segments = 200
        file = random_file((3, 10, 90, segments * 90 - 5, True))
        for broken in range(8):
            grid = Grid.new(self, servers=3)
            for number in range(10):
                share = file.shares[number]
                if number < broken:
                    part = rng.choice(["block tree", "crypttext tree", "data", "data"])
                    share = flip_in(part)(rng, file, file, number)
                put_share(grid.servers[number % 3], INDEX, number, share)
            fetcher = await self.fetcher(grid, file)
            await fetcher.geometry()
            ciphertext = crypt(KEY, 0, file.plaintext)
            runs = [range(184, 200), range(50, 66), range(1), range(199, 200)]
            for _ in range(20):
                start = rng.randrange(segments)
                length = rng.randint(1, MOST_AT_ONCE)
                runs.append(range(start, min(segments, start + length)))
            found = await together(fetcher.segments(run) for run in runs)
            for run, pieces in zip(runs, found, strict=True):
                self.assertEqual(
                    pieces, [ciphertext[90 * number : 90 * number + 90] for number in run]
                )

    async def test_adjacent_reads(self) -> None:
        """Adjacent segments cost as many reads as one; a bad block costs its segment."""
        file = random_file((3, 10, 90, 3000, False))
        grid = Grid.new(self, servers=10)
        self.give_all(grid, file)
        fetcher = await self.fetcher(grid, file)
        await fetcher.geometry()
        await fetcher.segment(20)
        before = [server.reads for server in grid.servers]
        await fetcher.segments(range(4, 20))
        reads = [server.reads for server in grid.servers]
        self.assertEqual(sum(reads) - sum(before), 3)
        used = [n for n, (a, b) in enumerate(zip(before, reads, strict=True)) if b > a]
        share = bytearray(file.shares[used[0]])
        share[file.layout.block(9)] ^= 1
        put_share(grid.servers[used[0]], INDEX, used[0], bytes(share))
        found = b"".join(await fetcher.segments(range(4, 20)))
        self.assertEqual(found, crypt(KEY, 0, file.plaintext)[4 * 90 : 20 * 90])
        await until(lambda: grid.servers[used[0]].advice)
        self.assertIn("segment 9", grid.servers[used[0]].advice[0][1])

    async def test_many_segments(self) -> None:
        """A file with more pages of hashes than are kept is read from any place."""
        plaintext = random.Random(4).randbytes(40_000)
        file = make_file(plaintext, KEY, Encoding(1, 1, 2))
        grid = Grid.new(self, servers=1)
        put_share(grid.servers[0], INDEX, 0, file.shares[0])
        fetcher = await self.fetcher(grid, file)
        ciphertext = crypt(KEY, 0, plaintext)
        rng = random.Random(5)
        for _ in range(500):
            number = rng.randrange(20_000)
            segment = await fetcher.segment(number)
            self.assertEqual(segment, ciphertext[2 * number : 2 * number + 2])


class ChoiceTests(SynchronousTestCase):
    """Which of the sources of a file is asked, by what is known of them."""

    def setUp(self) -> None:
        sources = [Source(n, nothing, HeadStart(nothing)) for n in range(10)]
        self.located = Located(make_file(b"x" * 100, KEY, Encoding(3, 10)).cap.verify_cap())
        self.located._sources = self.sources = sources

    def know(self, number: int, seconds: float) -> None:
        """Have a source proved, and its last answers of this length."""
        self.sources[number].speed.usual = seconds
        self.sources[number].proof = nothing

    def choose(self, count: int = 3) -> list[int]:
        """Return those that are asked for a segment."""
        taken: set[int] = set()
        for _ in range(count):
            source = self.located.choose(set(), taken)
            assert source is not None
            taken.add(source.number)
            source.speed.busy += 1
        return sorted(taken)

    def test_in_their_order(self) -> None:
        """Without a difference that matters, the first ones are: they need no decoding."""
        self.assertEqual(self.choose(), [0, 1, 2])
        for number, seconds in enumerate((0.04, 0.02, 0.03)):
            self.know(number, seconds)
        self.assertEqual(self.choose(), [0, 1, 2])

    def test_slow_ones_are_last(self) -> None:
        """One that takes much longer than others, though not too long, is not asked."""
        for number, seconds in enumerate((0.9, 0.1, 0.1, 0.1, 0.5)):
            self.know(number, seconds)
        self.assertEqual(self.choose(), [1, 2, 3])

    def test_all_get_their_part(self) -> None:
        """When much is asked for at once, those that were never asked get some of it."""
        for number in range(3):
            self.know(number, 0.2)
        self.assertEqual(self.choose(), [0, 1, 2])
        used = {number for _ in range(6) for number in self.choose()}
        self.assertEqual(used, set(range(10)))

    def test_faults_count_first(self) -> None:
        """One with a fault is asked after those without, however quick it is."""
        for number in range(10):
            self.know(number, 0.01 if number == 0 else 1.0)
        self.sources[0].speed.demote()
        self.assertNotIn(0, self.choose(9))
