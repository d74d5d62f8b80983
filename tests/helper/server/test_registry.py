"""All uploads of a helper: limits, what is kept, and what a new start makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, cast

from attrs import asdict, define
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import NOW, failing, make_file, put_share, until
from tests.helper.helped import (
    ENCODING,
    INDEX,
    KEY,
    PARAMETERS,
    Content,
    Helped,
    begin,
)
from truckee.codec.hashes import storage_index_of
from truckee.flow.cpu import Workers
from truckee.helper.errors import HelperBusy, HelperFull, HelperRefuses
from truckee.helper.server.registry import HelperLimits
from truckee.helper.server.upload import HelperUpload, Stored
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import ICiphertextSinks, NewFile
from truckee.status.ages import GRACE

SIZE = 200
DAY = 86400.0


class _Case(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.time = NOW
        self.content = Content(SIZE)
        self.data = self.content.ciphertext

    def new(self, **options: Any) -> Helped:
        """Return a helper with limits."""
        limits = HelperLimits(**options)
        self.helped = Helped.new(self, limits=limits, now=lambda: self.time)
        return self.helped

    async def open(self, size: int | None = SIZE, index: bytes = INDEX) -> HelperUpload:
        """Take part in an upload."""
        upload = await self.helped.uploads.open(index, PARAMETERS, size)
        assert isinstance(upload, HelperUpload)
        return upload

    async def keep(self, data: bytes, size: int | None = None) -> None:
        """Have *data* brought by a client that left then."""
        upload = await self.open(size)
        await upload.append(0, data)
        upload.leave()
        await self.helped.assert_settled()

    async def keep_complete(self) -> None:
        """Have a complete file that could not be stored."""
        servers = self.helped.grid.servers
        there, servers[:] = list(servers), []
        upload = await self.open()
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_settled()
        servers[:] = there

    def path(self, place: str) -> Any:
        return self.helped.path(place)

    def write_note(self, **other: object) -> None:
        told = asdict(PARAMETERS) | {"size": SIZE} | other
        self.path("encoding").with_suffix(".json").write_text(json.dumps(told))


def index_of(number: int) -> bytes:
    """Return one of many storage indexes."""
    return storage_index_of(b"%016d" % number)


class LimitTests(_Case):
    async def test_spool(self) -> None:
        """All files together have so many bytes; what is forgotten makes room."""
        self.new(spool=500)
        first = await self.open()
        await first.append(0, self.data)
        second = await self.open(None, index_of(1))
        await second.append(0, bytes(300))
        with self.assertRaises(HelperFull):
            await second.append(300, b"x")
        self.assertEqual((second.held, self.helped.uploads.used), (300, 500))
        with self.assertRaises(HelperFull):
            await self.open(1, index_of(2))
        second.leave(forget=True)
        await until(lambda: second.ended)
        third = await self.open(300, index_of(3))
        third.leave()
        first.leave(forget=True)
        await self.helped.assert_nothing_kept()

    async def test_spool_counts_what_is_there(self) -> None:
        """A file that is half there needs room for its other half."""
        self.new(spool=SIZE)
        await self.keep(self.data[:100])
        upload = await self.open(SIZE)
        await upload.append(100, self.data[100:])
        await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_refused_for_room(self) -> None:
        """What is refused for want of room leaves nothing, and what it has stays."""
        self.new(spool=150)
        with self.assertRaises(HelperFull):
            await self.open(SIZE)
        await self.helped.assert_nothing_kept()
        await self.keep(self.data[:100])
        with self.assertRaises(HelperFull):
            await self.open(SIZE)
        await self.helped.assert_settled()
        self.assertEqual(self.path("incoming").read_bytes(), self.data[:100])

    async def test_uploads(self) -> None:
        """So many are under way, also of those that come at the same moment."""
        self.new(uploads=3)
        asked = [begin(self.open(SIZE, index_of(number))) for number in range(10)]
        taken = []
        for each in asked:
            with contextlib.suppress(HelperBusy):
                taken.append(await each)
        self.assertEqual(len(taken), 3)
        self.assertEqual(len(self.helped.uploads.active), 3)
        # Who joins one needs no place.
        joined = await self.open(SIZE, taken[0].storage_index)
        joined.leave()
        taken[0].leave()
        await until(lambda: taken[0].ended)
        taken[0] = await self.open(SIZE, index_of(20))
        for upload in taken:
            upload.leave()
        await self.helped.assert_nothing_kept()

    async def test_size(self) -> None:
        """A file has so many bytes, whether its size was told or comes out."""
        self.new(size=150)
        with self.assertRaises(HelperRefuses):
            await self.open(151)
        await self.helped.assert_nothing_kept()
        upload = await self.open(None)
        await upload.append(0, self.data[:150])
        with self.assertRaises(HelperRefuses):
            await upload.append(150, self.data[150:151])
        with self.assertRaises(HelperRefuses):
            await upload.append(0, self.data)
        self.assertEqual(upload.held, 150)
        upload.leave(forget=True)
        await self.helped.assert_nothing_kept()

    async def test_segment(self) -> None:
        """A shape in which one segment takes the helper's memory is refused."""
        self.new()
        greedy = Parameters(1, 1, 256, 64 << 20)
        for size in (None, 1 << 30):
            with self.assertRaises(HelperRefuses):
                await self.helped.uploads.open(INDEX, greedy, size)
        # A small file of the same shape takes little.
        upload = await self.helped.uploads.open(INDEX, greedy, 100)
        assert isinstance(upload, HelperUpload)
        upload.leave()
        await self.helped.assert_nothing_kept()

    async def test_stopped(self) -> None:
        """A helper that ends begins nothing."""
        self.new()
        self.helped.uploads.stop()
        with self.assertRaises(HelperBusy):
            await self.open()
        await self.helped.assert_nothing_kept()


class PresentTests(_Case):
    async def store(self) -> None:
        upload = await self.open()
        await upload.append(0, self.data)
        self.stored = await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_all(self) -> None:
        """A file that has all its shares is answered with its UEB."""
        self.new()
        await self.store()
        for size in (SIZE, None):
            answer = await self.helped.uploads.open(INDEX, PARAMETERS, size)
            assert isinstance(answer, Stored)
            self.assertEqual(answer.ueb, self.stored.ueb)
            self.assertEqual(answer.shares, self.stored.shares)
        await self.helped.assert_nothing_kept()

    async def test_one_missing(self) -> None:
        """With a share missing it is taken, and what was there is kept."""
        self.new()
        await self.store()
        [path, *_] = self.helped.grid.servers[0].directory.home(INDEX).iterdir()
        path.unlink()
        await self.store()

    async def test_on_too_few_servers(self) -> None:
        """With all its shares on too few servers it is taken."""
        self.new()
        await self.store()
        servers = self.helped.grid.servers
        for server in servers[1:]:
            for path in server.directory.home(INDEX).iterdir():
                path.rename(servers[0].directory.home(INDEX) / path.name)
        happy = Parameters(2, 2, 3, 64)
        upload = await self.helped.uploads.open(INDEX, happy, SIZE)
        assert isinstance(upload, HelperUpload)
        upload.leave()
        self.assertIsInstance(
            await self.helped.uploads.open(INDEX, PARAMETERS, SIZE), Stored
        )
        await self.helped.assert_nothing_kept()

    async def test_of_two_files(self) -> None:
        """Shares of different files under one storage index are not one file."""
        self.new()
        await self.store()
        other = Content(SIZE, seed=7)
        made = make_file(other.plaintext, KEY, ENCODING)
        for server in self.helped.grid.servers:
            for number in list(server.directory.shares(INDEX)):
                if number == 0:
                    put_share(server, INDEX, 0, made.shares[0])
        upload = await self.open()
        upload.leave()
        await self.helped.assert_nothing_kept()

    async def test_silent_server(self) -> None:
        """Servers that fail to answer do not keep a file from being found or taken."""
        self.new()
        await self.store()
        extra = self.helped.grid.servers
        extra[0].mood = failing("buckets")
        upload = await self.open()
        upload.leave()
        await self.helped.assert_nothing_kept()


class ExpiryTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        # Later than the system's, so that files can be given its times.
        self.time = time.time() + DAY
        self.clock = Clock()

    def new(self, **options: Any) -> Helped:
        helped = super().new(**options)
        helped.uploads._clock = self.clock
        return helped

    def touch(self, place: str) -> None:
        """Let the last byte have come now."""
        os.utime(self.path(place), (self.time, self.time))

    def clean_after(self, seconds: float) -> int:
        """Let time pass, look for what is too old, and return the bytes that are left."""
        self.time += seconds
        self.clock.rightNow += seconds
        self.helped.uploads._clean()
        return self.helped.uploads.used

    async def test_clock_jumps(self) -> None:
        """A clock that jumps deletes nothing at once, at a start or while it runs."""
        self.new(expire_after=14 * DAY)
        await self.keep(self.data[:100])
        for jump in (100 * DAY, -200 * DAY, 300 * DAY):
            self.time += jump
            self.assertEqual(self.clean_after(60), 100)
        self.time -= 200 * DAY
        self.assertEqual(self.clean_after(10 * DAY), 100)

    async def test_times_of_files(self) -> None:
        """Nor do the times of files, which anybody can set."""
        self.new(expire_after=14 * DAY)
        await self.keep(self.data[:100])
        os.utime(self.path("incoming"), (0, 0))
        self.assertEqual(self.clean_after(60), 100)
        self.assertEqual(self.clean_after(GRACE + 60), 100)

    async def test_last_byte(self) -> None:
        """What nobody came back for is deleted so long after its last byte."""
        self.new(expire_after=14 * DAY)
        await self.keep(self.data[:100])
        self.touch("incoming")
        self.assertEqual(self.clean_after(0), 100)
        self.assertEqual(self.clean_after(14 * DAY), 100)
        upload = await self.open()
        await upload.append(100, self.data[100:101])
        upload.leave()
        await self.helped.assert_settled()
        self.touch("incoming")
        self.assertEqual(self.clean_after(0), 101)
        self.assertEqual(self.clean_after(14 * DAY), 101)
        self.assertEqual(self.clean_after(1), 0)
        await self.helped.assert_nothing_kept()

    async def test_writing_counts(self) -> None:
        """A byte that comes is the last one then."""
        self.new()
        await self.keep(self.data[:100])
        os.utime(self.path("incoming"), (NOW, NOW))
        upload = await self.open()
        await upload.append(100, self.data[100:101])
        upload.leave()
        await self.helped.assert_settled()
        self.assertGreater(self.path("incoming").stat().st_mtime, NOW)

    async def test_under_way(self) -> None:
        """What is under way, or being opened, is not deleted however old it is."""
        self.new()
        await self.keep(self.data[:100])
        os.utime(self.path("incoming"), (NOW - 100 * DAY, NOW - 100 * DAY))
        self.helped.uploads._disk = cast(Workers, _Cleaning(self.helped))
        upload = await self.open()
        self.helped.uploads._clean()
        self.assertEqual((upload.held, self.helped.uploads.used), (100, 100))
        await upload.append(100, self.data[100:])
        await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_complete(self) -> None:
        """A file that could not be stored in all that time goes with its note."""
        self.new()
        await self.keep_complete()
        self.touch("encoding")
        self.time += 15 * DAY
        self.assertEqual(self.clean_after(0), SIZE)
        self.assertEqual(self.clean_after(GRACE + 1), 0)
        await self.helped.assert_nothing_kept()

    async def test_renewed(self) -> None:
        """It is looked for what is old again and again."""
        self.new()
        before = len(self.helped.uploads._calls)
        self.helped.uploads._clean()
        self.assertEqual(len(self.helped.uploads._calls), before + 1)


class RestartTests(_Case):
    async def test_incomplete(self) -> None:
        """What is not complete waits for its client, and counts."""
        self.new()
        await self.keep(self.data[:100], SIZE)
        await self.helped.restart()
        self.assertEqual(self.helped.uploads.used, 100)
        await self.helped.uploads._store_complete()
        upload = await self.open()
        self.assertEqual(upload.held, 100)
        await upload.append(100, self.data[100:])
        await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_complete(self) -> None:
        """What is complete is stored without anybody."""
        self.new()
        await self.keep_complete()
        await self.helped.restart()
        self.assertEqual(self.helped.uploads.used, SIZE)
        await self.helped.uploads._store_complete()
        await self.helped.assert_stored(self.content)

    async def test_complete_in_its_own_shape(self) -> None:
        """It is stored as its client wanted it."""
        self.new()
        servers = self.helped.grid.servers
        there, servers[:] = list(servers), []
        shape = Parameters(1, 2, 2, 100)
        upload = await self.helped.uploads.open(INDEX, shape, SIZE)
        assert isinstance(upload, HelperUpload)
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_settled()
        servers[:] = there
        await self.helped.restart()
        await self.helped.uploads._store_complete()
        await self.helped.assert_nothing_kept()
        self.assertEqual(sorted(self.helped.grid.shares(INDEX)), [0, 1])
        cap = Content(SIZE, shape.encoding).cap
        self.assertEqual(await self.helped.grid.read(cap), self.content.plaintext)

    async def test_twice(self) -> None:
        """As long as it cannot be stored it is kept, and tried again."""
        self.new()
        await self.keep_complete()
        servers = self.helped.grid.servers
        there, servers[:] = list(servers), []
        await self.helped.restart()
        for _ in range(2):
            await self.helped.uploads._store_complete()
            await self.helped.assert_settled()
            self.assertEqual(self.helped.uploads.used, SIZE)
        servers[:] = there
        await self.helped.uploads._store_complete()
        await self.helped.assert_stored(self.content)

    async def test_stored_already(self) -> None:
        """One that was stored when the process died is removed."""
        self.new()
        await self.keep_complete()
        note = self.path("encoding").with_suffix(".json").read_bytes()
        await self.helped.uploads._store_complete()
        await self.helped.assert_stored(self.content)
        self.path("encoding").write_bytes(self.data)
        self.path("encoding").with_suffix(".json").write_bytes(note)
        await self.helped.restart()
        self.assertEqual(self.helped.uploads.used, SIZE)
        await self.helped.uploads._store_complete()
        await self.helped.assert_stored(self.content)

    async def test_died_before_the_move(self) -> None:
        """A process that died between the note and the move left a complete file."""
        self.new()
        await self.keep(self.data)
        self.write_note()
        await self.helped.restart()
        await self.helped.uploads._store_complete()
        await self.helped.assert_stored(self.content)

    async def test_died_writing_the_note(self) -> None:
        """Half a note is removed, and the file waits for its client."""
        self.new()
        await self.keep(self.data)
        self.path("encoding").with_suffix(".new").write_text('{"needed": 2, "to')
        await self.helped.restart()
        await self.helped.uploads._store_complete()
        self.assertEqual(list(self.helped.kept.values()), [SIZE])
        upload = await self.open()
        await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_note_of_another_size(self) -> None:
        """A note that does not fit its file is of no use; the client may come back."""
        self.new()
        for place in ("incoming", "encoding"):
            for size in (SIZE - 1, SIZE + 1):
                self.path(place).write_bytes(self.data)
                self.write_note(size=size)
                await self.helped.restart()
                await self.helped.uploads._store_complete()
                self.assertEqual(list(self.helped.kept.values()), [SIZE])
                upload = await self.open()
                self.assertEqual(upload.held, SIZE)
                upload.leave(forget=True)
                await self.helped.assert_nothing_kept()

    async def test_longer_than_before(self) -> None:
        """
        A file that goes on where another one was complete is kept with its own size.
        """
        self.new()
        await self.keep_complete()
        longer = Content(SIZE + 100)
        servers = self.helped.grid.servers
        there, servers[:] = list(servers), []
        upload = await self.open(longer.size)
        await upload.append(SIZE, longer.ciphertext[SIZE:])
        upload.leave()
        await self.helped.assert_settled()
        note = json.loads(self.path("encoding").with_suffix(".json").read_text())
        self.assertEqual(note["size"], longer.size)
        servers[:] = there
        await self.helped.restart()
        await self.helped.uploads._store_complete()
        await self.helped.assert_nothing_kept()
        self.assertEqual(sorted(self.helped.grid.shares(INDEX)), [0, 1, 2])


class JunkTests(_Case):
    """What others left in the directories."""

    NAMES = (
        "README",
        "notes.txt",
        "a.json",
        "aaaa",
        "aaaa.json",
        ".hidden",
        "ü",
        "x" * 200,
        "mfrggzdfmztwq2lknnwg23tpoa.new",
        "old.new",
    )
    NOTES = (
        "",
        "{",
        "null",
        "5",
        "[]",
        '"size"',
        "{}",
        '{"size": 200}',
        '{"size": "x", "needed": 2, "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": 200, "needed": "2", "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": 200, "needed": 2.5, "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": 200, "needed": 2.0, "happy": 1, "total": 3.0, "segment_size": 64}',
        '{"size": 200, "needed": 0, "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": -200, "needed": 2, "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": null, "needed": 2, "happy": 1, "total": 3, "segment_size": 64}',
        '{"size": Infinity, "needed": 2, "happy": 1, "total": 3, "segment_size": 64}',
        "[" * 100_000,
        "\ud800",
    )

    async def test_names(self) -> None:
        """Files and directories of other names hinder nothing, and do not count."""
        self.new()
        await self.keep_complete()
        for place in (self.helped.uploads.incoming, self.helped.uploads.encoding):
            for name in self.NAMES:
                (place / name).write_bytes(b"junk")
                os.utime(place / name, (0, 0))
            (place / "directory").mkdir()
            (place / "directory.json").mkdir()
            (place / "nowhere").symlink_to("/nonexistent/file")
        await self.helped.restart()
        self.assertEqual(self.helped.uploads.used, SIZE)
        self.helped.uploads._clean()
        await self.helped.uploads._store_complete()
        self.assertEqual(self.helped.uploads.used, 0)
        self.assertEqual(
            await self.helped.grid.read(self.content.cap), self.content.plaintext
        )

    async def test_notes(self) -> None:
        """Notes that say nothing are set aside, and those behind them are read."""
        self.new()
        await self.keep_complete()
        good = self.path("encoding")
        for text in self.NOTES:
            for number in range(8):  # some of them come before the good one
                path = self.helped.path("encoding", index_of(number))
                path.write_bytes(self.data)
                data = text.encode("utf-8", "surrogatepass")
                path.with_suffix(".json").write_bytes(data)
            await self.helped.restart()
            await self.helped.uploads._store_complete()
            self.assertFalse(good.exists(), text[:80])
            await self.helped.uploads._store_complete()
            left = [name for name in self.helped.kept if name.endswith(".json")]
            self.assertEqual(left, [], text[:80])
            self.assertTrue(path.with_suffix(".damaged").exists() or "-200" in text)
            self.assertEqual(self.helped.uploads.used, 8 * SIZE)
            self.helped.remove_shares()
            await self.keep_complete()

    async def test_one_that_cannot_be_stored(self) -> None:
        """A file that cannot be stored, for whatever reason, hinders no other."""
        self.new()
        await self.keep_complete()
        for number in range(4):
            path = self.helped.path("encoding", index_of(number))
            path.write_bytes(self.data)
            path.with_suffix(".json").write_text(
                self.path("encoding").with_suffix(".json").read_text()
            )
        await self.helped.restart()
        uploads = self.helped.uploads
        inner = uploads._sinks
        uploads._sinks = lambda parameters: cast(
            ICiphertextSinks, _Broken(inner(parameters))
        )
        await uploads._store_complete()
        self.assertFalse(self.path("encoding").exists())
        self.assertEqual(uploads.used, 4 * SIZE)
        await self.helped.assert_settled()


@define(eq=False)
class _Cleaning:
    """Workers of a helper that deletes what is old before and after all they do."""

    helped: Helped

    async def run(self, *work: Any) -> Any:
        self.helped.uploads._clean()
        try:
            return await self.helped.grid.disk.run(*work)
        finally:
            self.helped.uploads._clean()


@define(eq=False)
class _Broken:
    """Sinks that store one file and no other."""

    inner: ICiphertextSinks

    async def open(self, file: NewFile) -> Any:
        if file.storage_index != INDEX:
            raise RuntimeError("broken")
        return await self.inner.open(file)


class TogetherTests(_Case):
    async def test_many(self) -> None:
        """Many files at once, in any order of events, are all stored, and nothing leaks."""
        self.new()
        contents = [Content(100 + 37 * number) for number in range(20)]

        async def one(number: int, content: Content) -> Stored:
            known = content.size if number % 2 else None
            upload = await self.open(known, index_of(number))
            for at in range(0, content.size, 33):
                await upload.append(at, content.ciphertext[at : at + 33])
            try:
                return await upload.finish(content.size, content.root)
            finally:
                upload.leave()

        work: list[Deferred[Stored]] = [
            begin(one(number, content))
            for number, content in enumerate(contents)
            for _ in range(2)
        ]
        await gatherResults(work)
        await self.helped.assert_nothing_kept()
        for number in range(20):
            self.assertEqual(len(self.helped.grid.shares(index_of(number))), 3)


class PowerCutTests(_Case):
    async def test_incomplete(self) -> None:
        """After a reboot, bytes that came before count only for who compares their hash."""
        self.new()
        for longer, held in ((True, 100), (False, 0)):
            await self.keep(self.data[:100])
            # The length of the file is on the disk, and its bytes are not.
            self.path("incoming").write_bytes(bytes(100))
            self.helped.boot += b"x"
            await self.helped.restart()
            # Nor after another restart of the process alone.
            await self.helped.restart()
            upload = await self.helped.uploads.open(INDEX, PARAMETERS, SIZE, longer=longer)
            assert isinstance(upload, HelperUpload)
            self.assertEqual(upload.held, held)
            upload.leave(forget=True)
            await self.helped.assert_settled()
        await self.keep(self.data[:100])
        await self.helped.restart()
        upload = await self.open()
        self.assertEqual(upload.held, 100)
        await upload.append(100, self.data[100:])
        await upload.finish(SIZE, self.content.root)
        upload.leave()
        await self.helped.assert_nothing_kept()
