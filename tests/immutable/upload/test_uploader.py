"""From a body to a cap, through all layers down to the disk."""

from __future__ import annotations

import contextlib
import os
import random
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import (
    REACTOR,
    Grid,
    failing,
    files_below,
    hanging,
    in_chunks,
    make_file,
    pause,
    put_share,
    until,
)
from tests.integration.test_vectors import VECTORS, plaintext_of
from tests.soak import WHOLE
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.hashes import storage_index_of
from truckee.codec.share import ShareLayout
from truckee.flow.limits import Budget
from truckee.flow.spool import SpoolFull
from truckee.flow.together import together
from truckee.grid.selection import NotEnoughServers, TooFewShares
from truckee.immutable.upload.admission import TooManyUploads
from truckee.immutable.upload.body import FileTooLarge, UnknownTooLarge
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.sinks import KeyReused, WrongSize
from truckee.immutable.upload.uploader import Cap
from truckee.storage.interfaces import NoSpace

KEY = b"0123456789abcdef"
INDEX = storage_index_of(KEY)
CHOICES: tuple[KeyChoice, ...] = (RandomKey(), ConvergentKey(), GivenKey(KEY))


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Return *size* bytes that look like nothing."""
    return random.Random(seed).randbytes(size)


async def store(
    grid: Grid,
    data: bytes,
    choice: KeyChoice,
    known: bool = True,
    chunk: int = 100,
    bound: int | None = None,
) -> Cap:
    """Upload *data* in chunks."""
    size = len(data) if known else None
    return await grid.uploader.upload(
        in_chunks(data, chunk), UploadOptions(choice, size, bound)
    )


class _Case(TestCase):
    timeout = 120

    def assert_nothing_left(self, grid: Grid) -> None:
        """No file of any kind, no memory and no upload is left."""
        self.assertEqual(grid.files, [])
        self.assertEqual(grid.budget.used, 0)
        self.assertEqual(grid.uploader.active, 0)

    async def assert_stored(self, grid: Grid, cap: Cap, data: bytes) -> ChkReadCap:
        """The file reads back, and nothing but its shares is there."""
        assert isinstance(cap, ChkReadCap)
        self.assertEqual(cap.size, len(data))
        self.assertEqual(await grid.read(cap), data)
        self.assertEqual(
            sorted(grid.shares(cap.storage_index)), list(range(grid.encoding.total))
        )
        self.assertEqual(files_below(grid.root / "journal", grid.root / "spool"), [])
        for server in grid.servers:
            incoming = server.directory.root / "shares" / "incoming"
            self.assertEqual(files_below(incoming), [])
        self.assertEqual(grid.budget.used, 0)
        self.assertEqual(grid.uploader.active, 0)
        return cap


class SizeTests(_Case):
    async def test_literal(self) -> None:
        """Up to 55 bytes the cap is the file, whatever the key, and no server is asked."""
        grid = Grid.new(self)
        for server in grid.servers:
            server.mood = failing("allocate", "buckets")
        for size in (0, 1, 54, 55):
            for choice in CHOICES:
                for known in (True, False):
                    data = some_bytes(size)
                    cap = await store(grid, data, choice, known, chunk=7)
                    self.assertEqual(cap, LiteralCap(data))
        self.assert_nothing_left(grid)

    async def test_sizes(self) -> None:
        """Every size from 56 bytes on is stored and read back, announced or not."""
        grid = Grid.new(self, Encoding(2, 3, 64))
        for size in (56, 57, 63, 64, 65, 127, 128, 129, 192, 1000):
            for choice in (RandomKey(), ConvergentKey()):
                for known in (True, False):
                    data = some_bytes(size, size)
                    cap = await store(grid, data, choice, known, chunk=33)
                    await self.assert_stored(grid, cap, data)

    async def test_shapes(self) -> None:
        """k = 1, k = N, N = 1, odd k: all are stored and read back."""
        for k, n, segment in ((1, 1, 64), (1, 4, 60), (4, 4, 64), (3, 10, 100), (5, 7, 64)):
            grid = Grid.new(self, Encoding(k, n, segment))
            for known in (True, False):
                for size in (56, 3 * segment, 777):
                    data = some_bytes(size, k)
                    await self.assert_stored(
                        grid, await store(grid, data, RandomKey(), known), data
                    )

    async def test_most_shares(self) -> None:
        """A file can have 256 shares."""
        grid = Grid.new(self, Encoding(101, 256, 4096), servers=4)
        data = some_bytes(9000)
        await self.assert_stored(grid, await store(grid, data, RandomKey(), False), data)

    async def test_chunks_do_not_matter(self) -> None:
        """The chunks of the body have no part in the result; empty ones are nothing."""
        grid = Grid.new(self, Encoding(2, 3, 64))
        data = some_bytes(500)
        caps = set()

        async def with_empty() -> AsyncIterator[bytes]:
            yield b""
            for byte in data:
                yield bytes([byte])
                yield b""

        for chunk in (1, 63, 64, 65, 500):
            caps.add(await store(grid, data, ConvergentKey(), chunk % 2 == 0, chunk))
        caps.add(await grid.uploader.upload(with_empty(), UploadOptions(ConvergentKey())))
        self.assertEqual(len(caps), 1)

    async def test_shares_are_exact(self) -> None:
        """The shares on disk are those of the codec, sized and streamed."""
        for known in (True, False):
            grid = Grid.new(self, Encoding(3, 5, 96))
            data = some_bytes(1001)
            cap = await store(grid, data, GivenKey(KEY), known)
            made = make_file(data, KEY, grid.encoding, streamed=not known)
            self.assertEqual(cap, made.cap)
            for server in grid.servers:
                for number, file in server.directory.shares(INDEX).items():
                    self.assertEqual(file.read(0, 1 << 20), made.shares[number])

    async def test_wrong_size(self) -> None:
        """A body of another size than announced is refused, and nothing is left of it."""
        grid = Grid.new(self)
        for choice in CHOICES:
            for announced, size in (
                (100, 99),
                (100, 101),
                (100, 5000),
                (5000, 100),
                (5000, 10),
                (10, 5),
                (10, 30),
                (10, 100),
                (0, 1),
                (0, 100),
            ):
                body = in_chunks(some_bytes(size), 50)
                with self.assertRaises(WrongSize):
                    await grid.uploader.upload(body, UploadOptions(choice, announced))
                self.assert_nothing_left(grid)

    async def test_too_large(self) -> None:
        """A file above the limit is refused, announced or not, and nothing is left."""
        grid = Grid.new(self, max_size=1000)
        for choice in CHOICES:
            for known in (True, False):
                with self.assertRaises(FileTooLarge):
                    await store(grid, some_bytes(1001), choice, known)
                self.assert_nothing_left(grid)
        await self.assert_stored(
            grid, await store(grid, some_bytes(1000), RandomKey(), False), some_bytes(1000)
        )

    async def test_spool_limit(self) -> None:
        """A convergent file that is too large for the spool is refused."""
        grid = Grid.new(self, spool_limit=500)
        with self.assertRaises(SpoolFull):
            await store(grid, some_bytes(501), ConvergentKey(), False)
        self.assert_nothing_left(grid)


class BoundTests(_Case):
    """How large a file of unknown size may become."""

    async def test_usual(self) -> None:
        """Above the usual bound it is refused, and nothing is left; announced it is not."""
        grid = Grid.new(self, max_unknown_size=1000)
        for choice in (RandomKey(), GivenKey(KEY)):
            with self.assertRaises(UnknownTooLarge):
                await store(grid, some_bytes(1001), choice, known=False)
            self.assert_nothing_left(grid)
        for known, size in ((False, 1000), (True, 1001)):
            data = some_bytes(size)
            cap = await store(grid, data, RandomKey(), known)
            await self.assert_stored(grid, cap, data)

    async def test_asked_for(self) -> None:
        """A client may ask for another bound, less or more, but not above the limit."""
        grid = Grid.new(self, max_unknown_size=1000, max_size=2000)
        for bound, size, error in (
            (0, 1, UnknownTooLarge),
            (10, 11, UnknownTooLarge),
            (63, 64, UnknownTooLarge),
            (500, 501, UnknownTooLarge),
            (1500, 1501, UnknownTooLarge),
            (2000, 2001, FileTooLarge),
            (9000, 2001, FileTooLarge),
        ):
            for choice in CHOICES:
                with self.assertRaises(error) as caught:
                    await store(grid, some_bytes(size), choice, False, bound=bound)
                self.assertIs(type(caught.exception), error)
                self.assert_nothing_left(grid)
        for bound in (0, 10, 55):
            data = some_bytes(bound)
            cap = await store(grid, data, RandomKey(), known=False, bound=bound)
            self.assertEqual(cap, LiteralCap(data))
        for bound, size in ((56, 56), (500, 500), (1500, 1500), (9000, 2000)):
            data = some_bytes(size)
            cap = await store(grid, data, RandomKey(), known=False, bound=bound)
            await self.assert_stored(grid, cap, data)

    async def test_announced(self) -> None:
        """It says nothing to a file whose size was announced."""
        grid = Grid.new(self, max_unknown_size=1000)
        for choice in (RandomKey(), ConvergentKey()):
            data = some_bytes(700)
            cap = await store(grid, data, choice, known=True, bound=10)
            await self.assert_stored(grid, cap, data)

    async def test_room(self) -> None:
        """Servers are asked for as much room as the bound takes, not more."""
        grid = Grid.new(self, Encoding(2, 3, 64), max_unknown_size=1 << 20)
        for bound in (None, 300, 10_000, 1 << 25):
            for server in grid.servers:
                server.sizes.clear()
            await store(grid, some_bytes(200), RandomKey(), known=False, bound=bound)
            geometry = Geometry(bound or 1 << 20, 2, 3, 64)
            size = ShareLayout.streamed(geometry).size
            self.assertEqual([server.sizes for server in grid.servers], [[size]] * 3)


class NeedsKnownSizeTests(_Case):
    """Servers that must know how large a share becomes."""

    async def test_stored(self) -> None:
        """A file of unknown size is stored there as if its size had been known."""
        for k, n, segment in ((2, 3, 64), (3, 5, 100), (1, 1, 64)):
            grid = Grid.new(self, Encoding(k, n, segment), servers=3, sized=3)
            for size in (56, 64, 65, 128, 129, 1001):
                data = some_bytes(size, size)
                for choice in CHOICES[:2]:
                    cap = await store(grid, data, choice, known=False)
                    await self.assert_stored(grid, cap, data)
                key = some_bytes(16, size)
                caps = [await store(grid, data, GivenKey(key), False) for _ in range(2)]
                self.assertEqual(caps[0], caps[1])
                made = make_file(data, key, grid.encoding)
                self.assertEqual(caps[0], made.cap)
                for server in grid.servers:
                    shares = server.directory.shares(storage_index_of(key))
                    for number, file in shares.items():
                        self.assertEqual(file.read(0, 1 << 20), made.shares[number])

    async def test_too_large(self) -> None:
        """Past the bound it is refused as elsewhere; nothing is left, no spool either."""
        grid = Grid.new(self, sized=3, max_unknown_size=1000)
        for bound in (None, 700, 3000):
            size = (bound or 1000) + 1
            for choice in (RandomKey(), GivenKey(KEY)):
                with self.assertRaises(UnknownTooLarge):
                    await store(grid, some_bytes(size), choice, False, bound=bound)
                self.assert_nothing_left(grid)

    async def test_spool_limit(self) -> None:
        """No client gets more of the gateway's own disk than its operator gives."""
        grid = Grid.new(self, sized=3, spool_limit=500)
        with self.assertRaises(SpoolFull) as caught:
            await store(grid, some_bytes(501), RandomKey(), known=False, bound=9000)
        self.assertIn("Content-Length", str(caught.exception))
        self.assert_nothing_left(grid)

    async def test_others_are_enough(self) -> None:
        """With enough other servers it streams to these, and spools nothing."""
        grid = Grid.new(self, Encoding(2, 3, 64), servers=5, sized=2, spool_limit=0)
        data = some_bytes(1000)
        await self.assert_stored(grid, await store(grid, data, RandomKey(), False), data)
        for server in grid.servers[:2]:
            self.assertEqual(files_below(server.directory.root), [])

    async def test_without_servers(self) -> None:
        """With too few of any kind it is refused before the body has come."""
        grid = Grid.new(self, servers=2, sized=2, happy=3)
        with self.assertRaises(NotEnoughServers):
            await grid.uploader.upload(
                _never_ending(some_bytes(500)), UploadOptions(RandomKey())
            )
        self.assert_nothing_left(grid)

    async def test_other_content(self) -> None:
        """Other content under a used key is refused here, too."""
        grid = Grid.new(self, Encoding(2, 3, 64), sized=3)
        data = some_bytes(1000)
        cap = await store(grid, data, GivenKey(KEY), known=False)
        with self.assertRaises(KeyReused):
            await store(grid, some_bytes(1000, 1), GivenKey(KEY), known=False)
        await self.assert_stored(grid, cap, data)

    async def test_nothing_readable(self) -> None:
        """What waits on the gateway's disk has no name."""
        grid = Grid.new(self, sized=3)
        spool = grid.root / "spool"
        upload = Deferred.fromCoroutine(
            grid.uploader.upload(
                _never_ending(some_bytes(5000)), UploadOptions(RandomKey())
            )
        )
        await until(lambda: list(_open_below(spool)) == [4992])
        self.assertEqual(files_below(spool), [])
        self.assertEqual(list(_open_below(spool)), [4992])
        upload.cancel()
        await self.assertFailure(upload, CancelledError)
        self.assertEqual(list(_open_below(spool)), [])
        self.assert_nothing_left(grid)


def _open_below(directory: Path) -> Iterator[int]:
    """Give the size of each file that this process has open in *directory* (Linux)."""
    for number in os.listdir("/proc/self/fd"):
        link = f"/proc/self/fd/{number}"
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith(f"{directory}/"):
                yield os.stat(link).st_size


class ConvergenceTests(_Case):
    timeout = 120

    async def test_vectors(self) -> None:
        """Published files get their published caps, announced or not."""
        seen: set[tuple[int, int, int]] = set()
        for vector in VECTORS:
            if vector["length"] > 131_073 and (vector["k"], vector["n"]) != (3, 10):
                continue
            if vector["length"] > 4 << 20:
                continue
            # A secret more makes no other shares; all caps are made in test_vectors.py.
            shape = vector["k"], vector["n"], vector["length"]
            if vector["n"] > 10 and shape in seen and not WHOLE:
                continue
            seen.add(shape)
            grid = Grid.new(
                self,
                Encoding(vector["k"], vector["n"], vector["segment_size"]),
                convergence=b64decode(vector["convergence_b64"]),
            )
            data = plaintext_of(vector)
            cap = await store(
                grid, data, ConvergentKey(), vector["length"] % 2 == 0, chunk=65536
            )
            self.assertEqual(str(cap), vector["cap"])
            self.assertEqual(await grid.read(cap), data)  # type: ignore[arg-type]

    async def test_again(self) -> None:
        """The same file again gets the same cap and writes nothing."""
        grid = Grid.new(self)
        data = some_bytes(1000)
        first = await store(grid, data, ConvergentKey())
        before = {path: path.stat().st_mtime_ns for path in grid.files}
        for server in grid.servers:
            server.mood = failing("write", "close")
        for known in (True, False):
            self.assertEqual(await store(grid, data, ConvergentKey(), known), first)
        self.assertEqual(set(grid.files), set(before))
        self.assertEqual(grid.budget.used, 0)

    async def test_again_mends(self) -> None:
        """The same file again brings back shares that were lost."""
        grid = Grid.new(self, Encoding(2, 3, 64), happy=3)
        data = some_bytes(1000)
        cap = await store(grid, data, ConvergentKey())
        assert isinstance(cap, ChkReadCap)
        for path in list(grid.servers[0].directory.home(cap.storage_index).iterdir()):
            path.unlink()
        self.assertEqual(await store(grid, data, ConvergentKey(), False), cap)
        await self.assert_stored(grid, cap, data)

    async def test_broken_shares_do_not_count(self) -> None:
        """Shares of nothing known that stand in the way are no success."""
        grid = Grid.new(self, Encoding(2, 3, 64), happy=3)
        data = some_bytes(1000)
        cap = await store(grid, data, ConvergentKey())
        assert isinstance(cap, ChkReadCap)
        (number,) = grid.servers[0].directory.shares(cap.storage_index)
        put_share(grid.servers[0], cap.storage_index, number, b"rubbish")
        with self.assertRaises(NotEnoughServers):
            await store(grid, data, ConvergentKey())

    async def test_share_that_cannot_be_read(self) -> None:
        """A server that cannot read its share does not stop an upload that needs it not."""
        grid = Grid.new(self, Encoding(2, 3, 64), happy=2)
        data = some_bytes(1000)
        for choice in (ConvergentKey(), GivenKey(KEY)):
            grid.servers[0].mood = failing()
            cap = await store(grid, data, choice)
            grid.servers[0].mood = failing("read")
            self.assertEqual(await store(grid, data, choice), cap)


class GivenKeyTests(_Case):
    async def test_same_content(self) -> None:
        """The same content under the same key gives the same cap, announced or not."""
        grid = Grid.new(self)
        for size in (56, 64, 65, 1000):
            data = some_bytes(size)
            choice = GivenKey(some_bytes(16, size))
            caps = [await store(grid, data, choice, known) for known in (True, False, True)]
            self.assertEqual(len(set(caps)), 1)
            await self.assert_stored(grid, caps[0], data)

    async def test_other_content(self) -> None:
        """Other content under a used key is refused, and nothing of it is on the disk."""
        data = some_bytes(1000)
        others = [
            data[:-1] + b"!",  # the end differs
            b"!" + data[1:],  # the start differs
            data[:500] + b"!" + data[501:],
            data + b"!",  # longer
            data[:-1],  # shorter
            data[:960] + some_bytes(700, 9),
            data[:960],  # whole segments of it
            some_bytes(200, 3),
        ]
        for first_known in (True, False):
            grid = Grid.new(self, Encoding(2, 4, 64), servers=4)
            cap = await store(grid, data, GivenKey(KEY), first_known)
            # One share is gone: there is room for something of the other file.
            self.lose(grid)
            before = {path: path.read_bytes() for path in grid.files}
            for other in others:
                for known in (True, False):
                    with self.assertRaises(KeyReused):
                        await store(grid, other, GivenKey(KEY), known)
                    self.assertEqual({p: p.read_bytes() for p in grid.files}, before)
                    self.assertEqual(grid.budget.used, 0)
            self.assertEqual(await grid.read(cap), data)  # type: ignore[arg-type]

    async def test_whole_segments_more(self) -> None:
        """A file that goes on where another under its key ended is another file."""
        data = some_bytes(640)
        grid = Grid.new(self, Encoding(2, 4, 64), servers=4)
        await store(grid, data, GivenKey(KEY))
        self.lose(grid)
        before = {path: path.read_bytes() for path in grid.files}
        for known in (True, False):
            with self.assertRaises(KeyReused):
                await store(grid, data + some_bytes(640, 1), GivenKey(KEY), known)
            self.assertEqual({p: p.read_bytes() for p in grid.files}, before)

    async def test_a_broken_tree_hides_nothing(self) -> None:
        """Other content is refused also when one of the shares has a broken hash tree."""
        data = some_bytes(1000)
        for broken in range(3):
            grid = Grid.new(self, Encoding(2, 4, 64), servers=4)
            await store(grid, data, GivenKey(KEY))
            self.lose(grid)
            made = make_file(data, KEY, grid.encoding)
            share = bytearray(made.shares[broken])
            for at in range(made.layout.crypttext_tree, made.layout.block_tree):
                share[at] ^= 1
            for server in grid.servers:
                if broken in server.directory.shares(INDEX):
                    put_share(server, INDEX, broken, bytes(share))
            before = {path: path.read_bytes() for path in grid.files}
            with self.assertRaises(KeyReused):
                await store(grid, some_bytes(1000, 1), GivenKey(KEY))
            self.assertEqual({p: p.read_bytes() for p in grid.files}, before)

    async def test_in_progress(self) -> None:
        """A second file under the key of one that is in progress waits, and is refused."""
        grid = Grid.new(self)
        data = some_bytes(1000)
        gate: Deferred[None] = Deferred()

        async def slow() -> AsyncIterator[bytes]:
            yield data[:500]
            await gate
            yield data[500:]

        first = Deferred.fromCoroutine(
            grid.uploader.upload(slow(), UploadOptions(GivenKey(KEY), 1000))
        )
        await pause(0.05)
        same = Deferred.fromCoroutine(store(grid, data, GivenKey(KEY)))
        other = Deferred.fromCoroutine(store(grid, some_bytes(1000, 1), GivenKey(KEY)))
        await pause(0.05)
        self.assertNoResult(same)
        self.assertNoResult(other)
        gate.callback(None)
        cap = await first
        self.assertEqual(await same, cap)
        with self.assertRaises(KeyReused):
            await other
        await self.assert_stored(grid, cap, data)

    async def test_in_progress_and_fails(self) -> None:
        """When the first file fails, the second one under its key is stored."""
        grid = Grid.new(self)
        first = Deferred.fromCoroutine(
            grid.uploader.upload(
                _never_ending(some_bytes(500)), UploadOptions(GivenKey(KEY))
            )
        )
        await pause(0.05)
        data = some_bytes(1000, 1)
        second = Deferred.fromCoroutine(store(grid, data, GivenKey(KEY)))
        await pause(0.02)
        self.assertNoResult(second)
        first.cancel()
        await self.assertFailure(first, CancelledError)
        await self.assert_stored(grid, await second, data)

    def lose(self, grid: Grid) -> None:
        """Remove share 3 of the file under the key."""
        for server in grid.servers:
            for number, file in server.directory.shares(INDEX).items():
                if number == 3:
                    file.path.unlink()


async def _never_ending(data: bytes) -> AsyncIterator[bytes]:
    yield data
    await Deferred()


async def _losing_most(operation: str, share: int) -> None:
    """Lose all shares but one at their end."""
    if operation == "close" and share != 0:
        raise OSError(5, "the cable was pulled")


class ShortFileTests(_Case):
    async def test_one_write_for_each_share(self) -> None:
        """The shares of a short file are written with one call each."""
        for size, known, most in ((1000, True, 1), (300 << 10, True, 3)):
            grid = Grid.new(self, Encoding(2, 4, 1 << 20), servers=4, happy=3)
            written: list[int] = []

            async def count(operation: str, share: int, seen: list[int] = written) -> None:
                if operation == "write":
                    seen.append(share)

            for server in grid.servers:
                server.mood = count
            data = some_bytes(size)
            cap = await store(grid, data, RandomKey(), known)
            self.assertEqual(sorted(written), sorted(list(range(4)) * most))
            await self.assert_stored(grid, cap, data)
            self.assertEqual(grid.budget.used, 0)

    async def test_placed_elsewhere(self) -> None:
        """A share whose only write fails is begun again on another server."""
        grid = Grid.new(self, Encoding(2, 4, 1 << 20), servers=6, happy=4)
        for server in grid.servers[:2]:
            server.mood = failing("write")
        data = some_bytes(1000)
        for choice in (RandomKey(), ConvergentKey()):
            cap = await store(grid, data, choice)
            await self.assert_stored(grid, cap, data)
        for server in grid.servers[:2]:
            self.assertEqual(files_below(server.directory.root), [])
        self.flushLoggedErrors(OSError)


class FailureTests(_Case):
    async def test_lost_writer(self) -> None:
        """A share that is lost is lost alone, as long as there is happiness enough."""
        for operation in ("write", "close", "allocate", "buckets"):
            for known in (True, False):
                grid = Grid.new(self, Encoding(2, 4, 64), servers=4, happy=3)
                grid.servers[1].mood = failing(operation)
                data = some_bytes(5000)
                cap = await store(grid, data, RandomKey(), known)
                assert isinstance(cap, ChkReadCap)
                self.assertEqual(await grid.read(cap), data)
                self.assertEqual(files_below(grid.servers[1].directory.root), [])
                self.assertEqual(grid.budget.used, 0)
        self.flushLoggedErrors(OSError)

    async def test_too_many_lost(self) -> None:
        """Below the happiness the upload fails, and nothing of it is left anywhere."""
        for operation in ("write", "close", "allocate", "buckets"):
            for choice in CHOICES:
                grid = Grid.new(self, Encoding(2, 4, 64), servers=4, happy=3)
                for server in grid.servers[:2]:
                    server.mood = failing(operation)
                with self.assertRaises(NotEnoughServers):
                    await store(grid, some_bytes(5000), choice, known=False)
                self.assert_nothing_left(grid)
        self.flushLoggedErrors(OSError)

    async def test_few_servers(self) -> None:
        """Happiness below k allows fewer servers than k, and never fewer shares."""
        for known in (True, False):
            grid = Grid.new(self, Encoding(3, 10, 64), servers=2, happy=1)
            data = some_bytes(5000)
            cap = await store(grid, data, RandomKey(), known)
            assert isinstance(cap, ChkReadCap)
            self.assertEqual(await grid.read(cap), data)
            for server in grid.servers:
                server.refuses = frozenset(range(1, 10))
            with self.assertRaises(TooFewShares):
                await store(grid, some_bytes(5000), RandomKey(), known)
            grid = Grid.new(self, Encoding(3, 10, 64), servers=2, happy=1)
            for server in grid.servers:
                server.mood = _losing_most
            with self.assertRaises(TooFewShares):
                await store(grid, some_bytes(5000), RandomKey(), known)
        self.flushLoggedErrors(OSError)

    async def test_full_servers(self) -> None:
        """Servers that run full are named as that."""
        grid = Grid.new(self, Encoding(2, 4, 64), servers=4, happy=3)
        for server in grid.servers[:2]:
            server.mood = failing("write", error=NoSpace("here"))
        with self.assertRaises(NoSpace):
            await store(grid, some_bytes(5000), RandomKey(), known=False)
        self.assert_nothing_left(grid)

    async def test_lost_at_any_write(self) -> None:
        """Whichever write fails, the upload ends with its error and leaves nothing."""
        for known in (True, False):
            for failing_write in range(1, 90, 3):
                await self.lose_at(failing_write, known)

    async def lose_at(self, failing_write: int, known: bool) -> None:
        grid = Grid.new(self, Encoding(2, 3, 64), happy=3)
        writes = 0

        async def mood(operation: str, share: int) -> None:
            nonlocal writes
            if operation == "write":
                writes += 1
                if writes == failing_write:
                    raise OSError(5, "the cable was pulled")
                if share != 0:
                    # Others are under way when it happens.
                    await pause(0.001)

        for server in grid.servers:
            server.mood = mood
        data = some_bytes(1500)
        try:
            cap = await store(grid, data, RandomKey(), known)
        except NotEnoughServers:
            self.assert_nothing_left(grid)
        else:
            self.assertLess(writes, failing_write)
            await self.assert_stored(grid, cap, data)

    async def test_lost_at_the_end(self) -> None:
        """A server that fails when others are writing the end of their shares ends all."""
        grid = Grid.new(self, Encoding(2, 3, 64), happy=3)
        closing = False
        others: list[int] = []

        async def body() -> AsyncIterator[bytes]:
            nonlocal closing
            yield some_bytes(128)
            await pause(0.05)
            closing = True

        async def mood(operation: str, share: int) -> None:
            if closing and operation == "write":
                if share != 0:
                    others.append(share)
                    await Deferred()
                await until(lambda: len(others) == 2)
                raise OSError(5, "the cable was pulled")

        for server in grid.servers:
            server.mood = mood
        with self.assertRaises(NotEnoughServers):
            await grid.uploader.upload(body(), UploadOptions(RandomKey(), 128))
        self.assert_nothing_left(grid)

    async def test_body_fails(self) -> None:
        """A body that breaks off leaves nothing, and its error is the upload's."""

        async def broken() -> AsyncIterator[bytes]:
            yield some_bytes(500)
            raise OSError(5, "the client left")

        grid = Grid.new(self)
        for choice in CHOICES:
            for size in (None, 1000):
                with self.assertRaises(OSError):
                    await grid.uploader.upload(broken(), UploadOptions(choice, size))
                self.assert_nothing_left(grid)

    async def test_cancelled(self) -> None:
        """Cancelled at any moment, an upload leaves no file, no share and no memory."""
        rng = random.Random(7)
        cancelled = 0
        grid = Grid.new(self, Encoding(2, 3, 64))
        for turn in range(120):
            choice = CHOICES[turn % 3]
            data = some_bytes(1500)
            upload = Deferred.fromCoroutine(store(grid, data, choice, turn % 2 == 0, 200))
            await pause(rng.random() * 0.04)
            upload.cancel()
            try:
                cap = await upload
            except CancelledError:
                cancelled += 1
                self.assert_nothing_left(grid)
            else:
                cap = await self.assert_stored(grid, cap, data)
                for server in grid.servers:
                    for file in server.directory.shares(cap.storage_index).values():
                        file.path.unlink()
            if not turn % 10:
                self.assertEqual(grid.budget.used, 0)
        self.assertGreater(cancelled, 30)

    async def test_cancelled_at_every_step(self) -> None:
        """Cancelled in any call to a server, an upload leaves nothing."""
        for choice in CHOICES:
            await self.cancel_everywhere(choice, self.cancelled_in_call)
        await self.cancel_everywhere(RandomKey(), self.cancelled_in_call, sized=2)

    async def test_cancelled_in_every_job(self) -> None:
        """Cancelled while any of its jobs is in a thread, an upload leaves nothing."""
        for choice in CHOICES:
            await self.cancel_everywhere(choice, self.cancelled_in_job)
        await self.cancel_everywhere(RandomKey(), self.cancelled_in_job, sized=2)

    async def cancel_everywhere(
        self,
        choice: KeyChoice,
        at: Callable[[KeyChoice, int, int], Awaitable[bool]],
        sized: int = 0,
    ) -> None:
        """Cancel the same upload at its first step, at its second, until it has no more."""
        for step in range(1, 300):
            if not await at(choice, step, sized):
                self.assertGreater(step, 10)
                return
        self.fail("the upload never ended")

    async def cancelled_in_call(self, choice: KeyChoice, step: int, sized: int) -> bool:
        """Cancel an upload in the call of this number; tell whether there was one."""
        grid = Grid.new(self, Encoding(1, 2, 64), servers=2, sized=sized)
        calls = 0

        async def mood(operation: str, share: int) -> None:
            nonlocal calls
            calls += 1
            if calls == step:
                await pause()
                REACTOR.callLater(0, upload.cancel)
                await Deferred()

        for server in grid.servers:
            server.mood = mood
        upload = Deferred.fromCoroutine(store(grid, some_bytes(300), choice, False))
        return await self.was_cancelled(grid, upload)

    async def cancelled_in_job(self, choice: KeyChoice, step: int, sized: int) -> bool:
        """Cancel an upload in the job of this number; tell whether there was one."""
        jobs = 0

        def watch() -> None:
            nonlocal jobs
            jobs += 1
            if jobs == step:
                # The event loop comes to it when the name is bound, a fast job before.
                blockingCallFromThread(REACTOR, lambda: upload.cancel())

        grid = Grid.new(self, Encoding(1, 2, 64), servers=2, watch=watch, sized=sized)
        upload = Deferred.fromCoroutine(store(grid, some_bytes(300), choice, False))
        return await self.was_cancelled(grid, upload)

    async def was_cancelled(self, grid: Grid, upload: Deferred[Cap]) -> bool:
        """Wait for an upload; if it was cancelled, nothing is left of it."""
        try:
            await upload
        except CancelledError:
            self.assert_nothing_left(grid)
            return True
        return False

    async def test_hanging_server_and_cancel(self) -> None:
        """An upload that waits for a server for ever can be cancelled at that point."""
        for operation in ("buckets", "allocate", "write", "close"):
            grid = Grid.new(self)
            grid.servers[0].mood = hanging(operation)
            upload = Deferred.fromCoroutine(store(grid, some_bytes(2000), RandomKey()))
            await pause(0.1)
            self.assertNoResult(upload)
            upload.cancel()
            await self.assertFailure(upload, CancelledError)
            self.assert_nothing_left(grid)


class MemoryTests(_Case):
    async def test_side_by_side(self) -> None:
        """Many uploads at once are all stored, within the budget."""
        segment = 64
        grid = Grid.new(self, Encoding(2, 3, segment), budget=Budget(40 << 20))
        files = [some_bytes(300 + 11 * i, i) for i in range(16)]
        caps = await together(
            store(grid, data, CHOICES[i % 2], i % 3 == 0) for i, data in enumerate(files)
        )
        for cap, data in zip(caps, files, strict=True):
            await self.assert_stored(grid, cap, data)
        self.assertLessEqual(grid.budget.peak, grid.budget.limit)

    async def test_too_many(self) -> None:
        """An upload for which there is no memory is refused before its first chunk."""
        grid = Grid.new(self, budget=Budget(2 << 20))
        first = Deferred.fromCoroutine(
            grid.uploader.upload(_never_ending(some_bytes(500)), UploadOptions(RandomKey()))
        )
        with self.assertRaises(TooManyUploads):
            await store(grid, some_bytes(1000), RandomKey())
        first.cancel()
        await self.assertFailure(first, CancelledError)
        self.assert_nothing_left(grid)

    async def test_small_budget(self) -> None:
        """One upload at a time goes on whatever the budget, and gives all of it back."""
        for limit in (1, 1000, 1 << 20):
            grid = Grid.new(self, budget=Budget(limit))
            for _ in range(3):
                data = some_bytes(1000)
                await self.assert_stored(grid, await store(grid, data, RandomKey()), data)

    async def test_slow_server_bounds_memory(self) -> None:
        """Behind a server that hangs, only a few segments of the body are taken."""
        grid = Grid.new(self, Encoding(2, 3, 64))
        grid.servers[0].mood = hanging("write")
        taken = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal taken
            while True:
                taken += 64
                yield bytes(64)

        upload = Deferred.fromCoroutine(
            grid.uploader.upload(body(), UploadOptions(RandomKey()))
        )
        await pause(0.2)
        self.assertLessEqual(taken, 8 * 64)
        upload.cancel()
        await self.assertFailure(upload, CancelledError)
        self.assert_nothing_left(grid)


class CheckSizeTests(SynchronousTestCase):
    def test_check_size(self) -> None:
        """A size above the limit is refused, none at all is not."""
        grid = Grid.new(self, max_size=10)
        grid.uploader.check_size(None)
        grid.uploader.check_size(10)
        with self.assertRaises(FileTooLarge):
            grid.uploader.check_size(11)
