"""Uploads that are cut off, and go on where their shares are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.grids import NOW, Grid, files_below, in_chunks, make_file, until
from truckee.codec.caps import ChkReadCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer, block_hash, storage_index_of
from truckee.codec.secrets import LeaseSecrets
from truckee.immutable.upload import continued_writer
from truckee.immutable.upload.continued_writer import ContinuedWriter, NotKept
from truckee.immutable.upload.keys import GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.storage.interfaces import (
    CallFailed,
    IKeptShares,
    IKeptWriter,
    NoSpace,
    NotConnected,
    Opened,
    ShareClosed,
)
from truckee.storage.kept_files import KeptFile
from truckee.storage.kept_shares import KeptShares

KEY = b"k" * 16
SIZE = 600_000
ENCODING = Encoding(2, 4, 20_000)
DATA = bytes(number * number % 251 for number in range(SIZE))


@implementer(IKeptShares)
@define(eq=False)
class Line:
    """The line to a keeper of shares, which can be cut."""

    _kept: IKeptShares
    up: bool = True
    far: bool = True
    opened: int = 0  # shares
    brief: list[bool] = field(factory=list)  # what was asked
    asked: int = 0  # times, while it was cut
    _writers: list[LineWriter] = field(factory=list)

    async def cut(self) -> None:
        self.up = False
        writers, self._writers = self._writers, []
        for writer in writers:
            await writer.inner.leave()

    def check(self) -> None:
        if not self.up:
            self.asked += 1
            raise NotConnected("far")

    async def unfinished(self, storage_index: bytes, secret: bytes) -> Mapping[int, int]:
        self.check()
        return await self._kept.unfinished(storage_index, secret)

    async def open(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        self.check()
        self.brief.append(brief)
        answer = await self._kept.open(
            storage_index, secrets, upload_secret, shares, size, open_ended, brief
        )
        self.opened += len(answer.writers)
        writers = {share: LineWriter(self, each) for share, each in answer.writers.items()}
        self._writers += writers.values()
        return Opened(answer.already, writers)


@implementer(IKeptWriter)
@define(eq=False)
class LineWriter:
    """A writer at its other end."""

    _line: Line
    inner: IKeptWriter

    @property
    def length(self) -> int:
        return self.inner.length

    def _check(self) -> None:
        if self not in self._line._writers:
            raise NotConnected("far")

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        self._check()
        await self.inner.write(offset, parts)

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        self._check()
        return await self.inner.hashes(offset, piece, count)

    async def close(self, size: int) -> None:
        self._check()
        await self.inner.close(size)

    async def abort(self) -> None:
        if self in self._line._writers:
            await self.inner.abort()

    async def leave(self) -> None:
        if self in self._line._writers:
            await self.inner.leave()


class UploadTests(TestCase):
    """Four servers that keep shares, and a file whose key was drawn before."""

    timeout = 120

    def setUp(self) -> None:
        self.grid = Grid.new(self, ENCODING, servers=4, happy=4)
        self.lines = []
        for server in self.grid.servers:
            kept = KeptShares(server, self.grid.disk, lambda: NOW)
            kept.start()
            self.lines.append(Line(kept))
            server.kept = self.lines[-1]
        self.written = 0
        inner = KeptFile.write

        def write(file: KeptFile, offset: int, parts: Sequence[Buffer]) -> None:
            self.written += sum(map(len, parts))
            inner(file, offset, parts)

        self.patch(KeptFile, "write", write)

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        size: int | None = None,
        choice: KeyChoice | None = None,
    ) -> ChkReadCap:
        options = UploadOptions(choice or RandomKey(KEY), size)
        cap = await self.grid.uploader.upload(chunks, options)
        assert isinstance(cap, ChkReadCap)
        return cap

    async def begin(self, count: int, size: int | None = None) -> None:
        """Upload *count* bytes, and stop there."""

        async def some() -> AsyncIterator[bytes]:
            async for chunk in in_chunks(DATA[:count], 10_000):
                yield chunk
            await until(lambda: self.written >= count)
            raise BrokenOff

        with self.assertRaises(BrokenOff):
            await self.upload(some(), size)

    async def check(self, cap: ChkReadCap, size: int | None = None) -> None:
        """All shares are there, byte for byte, and nothing else."""
        made = make_file(DATA, KEY, ENCODING, streamed=size is None)
        self.assertEqual(cap, made.cap)
        self.assertEqual(await self.grid.read(cap), DATA)
        found = {}
        for server in self.grid.servers:
            for share, file in server.directory.shares(storage_index_of(KEY)).items():
                found[share] = file.read(0, SIZE)
        self.assertEqual(found, dict(enumerate(made.shares)))
        self.assertEqual(self.kept(), [])

    def kept(self) -> list[str]:
        roots = (server.directory.kept_root for server in self.grid.servers)
        return [path.name for path in files_below(*roots)]

    async def test_run_after_run(self) -> None:
        """Each run goes on where the one before was, of known size or not."""
        for size in (None, SIZE):
            for count in (100_000, 300_000, 500_000):
                await self.begin(count, size)
                self.assertEqual(len(self.kept()), 4)
            cap = await self.upload(in_chunks(DATA, 10_000), size)
            await self.check(cap, size)
            # All bytes of all shares once, and the windows of three cuts.
            self.assertLess(self.written, 2.1 * SIZE + 3 * 4 * 2 * 20_000)
            self.written = 0
            for server in self.grid.servers:
                for path in files_below(server.directory.root / "shares"):
                    path.unlink()

    async def test_other_order(self) -> None:
        """The shares are gone on with where they are, though other servers would do."""
        first, *rest = self.grid.servers
        self.grid.takers = [*rest, first]
        await self.begin(300_000)
        before = self.written
        places = {name: server for server in self.grid.servers for name in _names(server)}
        for server in self.grid.servers:
            server.permutation_seed = bytes(reversed(server.permutation_seed))
        cap = await self.upload(in_chunks(DATA, 10_000))
        await self.check(cap)
        self.assertLess(self.written - before, 1.3 * SIZE)
        self.assertEqual(len(places), 4)

    async def test_other_content(self) -> None:
        """What is there of something else is written over."""
        await self.begin(300_000)
        for server in self.grid.servers:
            for path in files_below(server.directory.kept_root):
                data = bytearray(path.read_bytes())
                data[50_000] ^= 1
                path.write_bytes(data)
        cap = await self.upload(in_chunks(DATA, 10_000))
        await self.check(cap)

    async def test_given_up(self) -> None:
        """Of a file that nobody brings again nothing is left."""
        await self.begin(300_000)
        await self.grid.uploader.forget(UploadOptions(RandomKey(KEY)))
        self.assertEqual(self.kept(), [])

    async def test_not_kept(self) -> None:
        """Without a key that comes again shares are kept while the upload lasts alone."""
        with self.assertRaises(BrokenOff):
            await self.upload(self.broken(), None, RandomKey())
        self.assertEqual(self.kept(), [])
        self.assertEqual([line.brief for line in self.lines], [[True]] * 4)

    async def test_never_kept(self) -> None:
        """Nothing is kept under a given key, of short files, and for nobody but us."""
        with self.assertRaises(BrokenOff):
            await self.upload(self.broken(), None, GivenKey(KEY))
        await self.upload(in_chunks(DATA[:5000], 1000), 5000, RandomKey())
        for line in self.lines:
            line.far = False
        await self.upload(in_chunks(DATA, 10_000), None, RandomKey())
        await self.upload(in_chunks(DATA, 10_000))
        self.assertEqual([line.opened for line in self.lines], [0] * 4)

    async def broken(self) -> AsyncIterator[bytes]:
        yield DATA[:100_000]
        raise BrokenOff

    async def test_cut(self) -> None:
        """A line that is down for a moment costs nothing but that."""
        self.patch(continued_writer, "_FIRST_PAUSE", 0.01)
        await self.check(await self.upload(self.cut_chunks()))
        self.assertEqual([line.opened for line in self.lines], [4] * 4)

    async def test_cut_plain(self) -> None:
        """That is so where nobody could bring the bytes again, too."""
        self.patch(continued_writer, "_FIRST_PAUSE", 0.01)
        cap = await self.upload(self.cut_chunks(), SIZE, RandomKey())
        self.assertEqual(await self.grid.read(cap), DATA)
        self.assertEqual([line.brief for line in self.lines], [[True] * 4] * 4)
        self.assertEqual(len(self.grid.shares(cap.storage_index)), 4)
        self.assertEqual(self.kept(), [])

    async def cut_chunks(self) -> AsyncIterator[bytes]:
        """Give the file, and cut all lines three times."""
        for number, start in enumerate(range(0, SIZE, 10_000)):
            if number in (10, 25, 59):
                for line in self.lines:
                    await line.cut()
                for line in self.lines:
                    line.up = True
            yield DATA[start : start + 10_000]

    async def test_one_cut(self) -> None:
        """A server that is away for a moment is waited for; the others write on then."""
        self.patch(continued_writer, "_FIRST_PAUSE", 0.01)
        line = self.lines[2]

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in in_chunks(DATA[:300_000], 10_000):
                yield chunk
            await line.cut()
            yield DATA[300_000:]

        storing = Deferred.fromCoroutine(self.upload(chunks()))
        await until(lambda: line.asked > 3)
        line.up = True
        await self.check(await storing)


def _names(server: Any) -> list[str]:
    return [path.name for path in files_below(server.directory.kept_root)]


class BrokenOff(Exception):
    """The end of a body that is none."""


@implementer(IKeptWriter)
@define(eq=False)
class Fake:
    """A server's writer whose answers are chosen."""

    blocks: dict[int, bytes] = field(factory=dict)
    length: int = 0
    error: Exception | None = None
    calls: list[str] = field(factory=list)
    sizes: list[int] = field(factory=list)  # of writes
    rate: float = 0.0  # bytes a second; 0: as fast as they come
    clock: Clock | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.error is not None:
            raise self.error

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        self._call("write")
        self.blocks[offset] = b"".join(parts)
        self.sizes.append(len(self.blocks[offset]))
        if self.clock is not None and self.rate:
            await deferLater(self.clock, self.sizes[-1] / self.rate)

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        self._call("hashes")
        places = range(offset, offset + piece * count, piece)
        return [block_hash(self.blocks.get(place, b"")) for place in places]

    async def close(self, size: int) -> None:
        self._call("close")

    async def abort(self) -> None:
        self._call("abort")

    async def leave(self) -> None:
        self._call("leave")


BLOCK = bytes(range(100))


class WriterTests(TestCase):
    """One writer over servers that do as they like; the clock is ours."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.first, self.second = Fake(clock=self.clock), Fake()
        self.answers: list[Fake | Exception | None] = []
        self.writer = ContinuedWriter(
            "far", self.first, self.reopen, self.hash_of, self.clock
        )

    async def reopen(self) -> IKeptWriter | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def hash_of(self, offset: int, size: int) -> bytes | None:
        return block_hash(BLOCK) if offset >= 100 and size == 100 else None

    async def test_taken_and_lost(self) -> None:
        """A server that lost what it had taken is not believed again."""
        await self.writer.write(100, [BLOCK])
        self.first.error = NotConnected("far")
        self.answers = [self.second]
        with self.assertRaises(NotKept):
            await self.writer.write(200, [BLOCK])
        self.assertEqual(self.second.blocks, {})

    async def test_goes_on(self) -> None:
        """One that has it is written on to."""
        await self.writer.write(100, [BLOCK])
        self.first.error = NotConnected("far")
        self.second.blocks = dict(self.first.blocks)
        self.answers = [self.second]
        await self.writer.write(200, [BLOCK])
        await self.writer.write(0, [b"header"])
        self.assertEqual(self.second.blocks, {0: b"header", 100: BLOCK, 200: BLOCK})
        await self.writer.close(300)
        self.assertEqual(self.second.calls[-1], "close")

    async def test_one_byte_again(self) -> None:
        """What is written only to keep a share alive is no block."""
        await self.writer.write(100, [BLOCK])
        await self.writer.write(100, [BLOCK[:1]])
        self.first.error = NotConnected("far")
        self.second.blocks = {100: BLOCK}
        self.answers = [self.second]
        await self.writer.write(200, [BLOCK])

    async def test_waits(self) -> None:
        """It waits two minutes for the server, and tells that it does."""
        self.first.error = NotConnected("far")
        self.answers = [NotConnected("far")]
        writing = Deferred.fromCoroutine(self.writer.write(100, [BLOCK]))
        self.assertTrue(self.writer.away)
        self.clock.pump([1.0] * 115)
        self.assertNoResult(writing)
        self.clock.pump([1.0] * 10)
        self.failureResultOf(writing, NotConnected)
        self.assertFalse(self.writer.away)

    async def test_back(self) -> None:
        """It goes on as soon as the server is there."""
        self.first.error = NotConnected("far")
        self.answers = [NotConnected("far"), NoSpace("far"), self.second]
        writing = Deferred.fromCoroutine(self.writer.write(100, [BLOCK]))
        self.clock.pump([0.1] * 10)
        self.successResultOf(writing)
        self.assertEqual(self.second.blocks, {100: BLOCK})

    async def test_left(self) -> None:
        """A server that was started again, or waited for long, keeps a share nobody has."""
        for error in (CallFailed("far", "write", "closed"), ShareClosed(0)):
            self.first.error, self.second = error, Fake()
            self.answers = [self.second]
            writer = ContinuedWriter(
                "far", self.first, self.reopen, self.hash_of, self.clock
            )
            await writer.write(100, [BLOCK])
            self.assertEqual(self.second.blocks, {100: BLOCK})

    async def test_slow(self) -> None:
        """On a thin line calls get smaller, and larger again when it is faster."""
        for rate, expected in (
            (1024, [1024]),
            (1024, [512, 512]),
            (128, [1024]),
            (1 << 20, [64, 128, 256, 512, 64]),
        ):
            self.first.sizes, self.first.rate = [], rate * 1024
            writing = Deferred.fromCoroutine(self.writer.write(0, [bytes(1024 * 1024)]))
            while not writing.called:
                self.clock.advance(0.25)
            self.assertEqual(self.first.sizes, [size * 1024 for size in expected])

    async def test_left_and_away(self) -> None:
        """One that has let the share go, and then is cut off, is waited for."""
        self.first.error = ShareClosed(0)
        self.answers = [NotConnected("far"), self.second]
        writing = Deferred.fromCoroutine(self.writer.write(100, [BLOCK]))
        self.clock.pump([0.1] * 10)
        self.successResultOf(writing)
        self.assertEqual(self.second.blocks, {100: BLOCK})

    async def test_refused(self) -> None:
        """A server that is there and refuses is asked once more, and not for minutes."""
        self.first.error = CallFailed("far", "write", "no space")
        self.answers = [NoSpace("far")]
        with self.assertRaises(CallFailed):
            await self.writer.write(100, [BLOCK])
        self.answers = [self.second]
        self.second.error = CallFailed("far", "write", "no space")
        with self.assertRaises(CallFailed):
            await self.writer.write(100, [BLOCK])

    async def test_full(self) -> None:
        """One that has no room is not asked to open the share again, which it has."""
        for kind in ("NoSpace", "NotWritable"):
            self.first.error = CallFailed("far", "write", "no room", kind)
            with self.assertRaises(NoSpace):
                await self.writer.write(100, [BLOCK])
            self.first.error = None
            await self.writer.abort()
            self.assertEqual(self.first.calls[-1], "abort")

    async def test_finished(self) -> None:
        """A close whose answer is lost is a close if the share is there then."""
        await self.writer.write(100, [BLOCK])
        self.first.error = NotConnected("far")
        self.answers = [None]
        await self.writer.close(300)

    async def test_liar(self) -> None:
        """Hashes of other numbers or values cost a write, and nothing else."""
        self.first.length = 1000
        self.first.blocks = {100: BLOCK, 200: BLOCK[::-1]}
        writer = ContinuedWriter("far", self.first, self.reopen, self.hash_of, self.clock)
        for offset in (100, 200, 300):
            await writer.write(offset, [BLOCK])
        self.assertEqual(self.first.blocks, {100: BLOCK, 200: BLOCK, 300: BLOCK})
        self.assertEqual(self.first.calls, ["hashes", "write", "write"])
