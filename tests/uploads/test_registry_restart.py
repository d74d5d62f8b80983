"""What another process finds of uploads that are open."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.grids import REACTOR, failing, in_chunks, until
from tests.uploads.opened import CHOICES, OpenCase, begin, some_bytes, then_silence
from truckee.codec.hashes import Buffer
from truckee.errors import Refused, Unavailable
from truckee.flow.other_disk import DirectoryMissing
from truckee.immutable.upload.body import UnknownTooLarge
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.status.ages import GRACE
from truckee.uploads.errors import (
    FailedBefore,
    NotAllThere,
    NotOpenYet,
    OnlyAPart,
    OtherSize,
    TakenOver,
    UnknownHandle,
)
from truckee.uploads.registry import OpenUploads
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload


def ignored(work: Deferred[object]) -> None:
    """Let *work* fail as it likes."""
    work.addErrback(lambda _: None)


class RestartTests(OpenCase):
    async def again(
        self,
        uploads: OpenUploads,
        boot: bytes = b"this",
        files: dict[Path, bytes] | None = None,
    ) -> OpenUploads:
        """End *uploads* and return the next process's, which finds these *files*."""
        await uploads.stop()
        for path, content in (files or {}).items():
            path.write_bytes(content)
        after = self.next(boot=boot)
        await after.start()
        return after

    def disk(self) -> dict[Path, bytes]:
        """Return what is on the disk at this moment."""
        return {path: path.read_bytes() for path in self.kept()}

    async def test_open(self) -> None:
        """It goes on where it was, with every kind of key, as often as need be."""
        data = some_bytes(1000)
        for choice in CHOICES:
            for size in (None, 1000):
                uploads = self.new()
                made = await uploads.open(UploadOptions(choice, size), meta={"name": "ä"})
                for start in range(0, 1000, 300):
                    piece = data[start : start + 300]
                    upload = uploads.find(made.handle)
                    self.assertEqual((upload.offset, upload.size), (start, size))
                    await upload.append(start, in_chunks(piece, 70))
                    uploads = await self.again(uploads)
                upload = uploads.find(made.handle)
                self.assertEqual(upload.record.meta, {"name": "ä"})
                await self.assert_stored(upload, data)
                self.assertEqual(upload.record.choice, made.record.choice)

    async def test_closed(self) -> None:
        """One that was closed is stored without anybody asking, also when servers fail."""
        data = some_bytes(1000)
        for choice in CHOICES:
            uploads = self.new()
            made = await uploads.open(UploadOptions(choice))
            await made.append(0, in_chunks(data, 70))
            for server in self.grid.servers:
                server.mood = failing("write")
            await self.assertFailure(begin(made.close()), Unavailable)
            uploads = await self.again(uploads)
            upload = uploads.find(made.handle)
            await self.set_back(upload)
            self.assertIs(upload.state, State.CLOSING)
            for server in self.grid.servers:
                server.mood = failing()
            await self.assert_stored(upload, data)

    async def test_stored(self) -> None:
        """The cap can be fetched from the next process, and nothing else is left."""
        data = some_bytes(1000)
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(data, 70))
        cap = await made.close()
        await until(lambda: len(self.kept()) == 1)
        uploads = await self.again(uploads)
        upload = uploads.find(made.handle)
        self.assertEqual((upload.offset, await upload.close(1000)), (1000, cap))

    async def test_died_before_the_end_was_kept(self) -> None:
        """One whose shares are stored and whose record does not say so has the same cap."""
        data = some_bytes(1000)
        for choice in CHOICES:
            uploads = self.new()
            made = await uploads.open(UploadOptions(choice))
            await made.append(0, in_chunks(data, 70))
            files = self.disk()
            cap = await made.close()
            await until(lambda: len(self.kept()) == 1)
            uploads = await self.again(uploads, files=files)
            upload = uploads.find(made.handle)
            self.assertEqual(upload.offset, 1000)
            self.assertEqual(await upload.close(), cap)

    async def test_failed(self) -> None:
        """Why it failed for good is told by the next process."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey(), max_size=500))
        await self.assertFailure(self.filled(made, bytes(600)), UnknownTooLarge)
        await until(lambda: len(self.kept()) == 1)
        uploads = await self.again(uploads)
        upload = uploads.find(made.handle)
        with self.assertRaises(FailedBefore) as caught:
            await upload.append(0, in_chunks(b"x", 1))
        self.assertEqual(str(caught.exception), str(made.error))
        await uploads.abort(upload)
        self.assertEqual(self.kept(), [])

    async def test_aborted(self) -> None:
        """Nothing is left of one that was aborted."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(600), 100))
        await uploads.abort(made)
        uploads = await self.again(uploads)
        self.assertRaises(UnknownHandle, uploads.find, made.handle)
        self.assert_nothing_left()

    async def test_aborted_on_a_bad_disk(self) -> None:
        """What cannot be removed is left, and no share, memory or other file is."""
        uploads = self.new()
        upload = await uploads.open(UploadOptions(RandomKey()))
        await upload.append(0, in_chunks(some_bytes(600), 100))
        [record] = (self.place / "records").iterdir()
        record.unlink()
        record.mkdir()
        await uploads.abort(upload)
        self.assertRaises(UnknownHandle, uploads.find, upload.handle)
        self.assert_nothing_left()

    async def test_expired(self) -> None:
        """Time passes while no process is there, and counts when one has looked on."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(600), 100))
        self.ahead = 86_000
        uploads = await self.again(uploads)
        left = uploads.time_left(uploads.find(made.handle))
        self.assertLess(abs(left - GRACE), 60)
        # The next process knows of it what this one did.
        self.ahead = 86_500
        uploads = await self.again(uploads)
        clock = uploads._clock = Clock()
        clock.rightNow = REACTOR.seconds() + GRACE - 60
        self.assertGreater(uploads.time_left(uploads.find(made.handle)), 0)
        clock.rightNow += 61
        self.assertRaises(UnknownHandle, uploads.find, made.handle)

    async def test_clock_jumps(self) -> None:
        """A clock that is days off at a restart, or jumps later, deletes nothing."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(600), 100))
        os.utime(self.place / "logs" / made.record.name, (0, 0))
        for ahead in (2 * 86400, -2 * 86400, 0, 1000 * 86400):
            self.ahead = ahead
            uploads = await self.again(uploads)
            for jump in (2 * 86400, -2 * 86400, 1000 * 86400):
                self.ahead = ahead + jump
                assert uploads._sweep.running
                uploads._sweep.cancel()
                uploads._look()
                self.assertEqual(uploads.find(made.handle).offset, 600)
            self.ahead = ahead

    async def test_unwritable_disk(self) -> None:
        """On a disk that takes no writes an upload is not lost: it waits for the disk."""
        data = some_bytes(1000)
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(data[:600], 100))
        await uploads.stop()
        logs, aside = self.place / "logs", self.place / "aside"
        logs.rename(aside)
        logs.write_text("in the way")
        after = self.next()
        with self.assertRaises(OSError):
            await after.start()
        self.assertRaises(NotOpenYet, after.find, made.handle)
        logs.unlink()
        aside.rename(logs)
        await after.start()
        upload = after.find(made.handle)
        self.assertEqual(upload.offset, 600)
        await upload.append(600, in_chunks(data[600:], 100))
        await self.assert_stored(upload, data)

    async def test_unmounted_disk(self) -> None:
        """An empty directory in place of the disk is not taken for bytes that were lost."""
        data = some_bytes(1000)
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(data[:600], 100))
        await uploads.stop()
        logs, aside = self.place / "logs", self.place / "aside"
        before = self.disk()
        logs.rename(aside)
        logs.mkdir()
        self.unmounted = True
        after = self.next()
        with self.assertRaises(DirectoryMissing):
            await after.start()
        self.assertRaises(NotOpenYet, after.find, made.handle)
        with self.assertRaises(DirectoryMissing):
            await after.open(UploadOptions(RandomKey()))
        logs.rmdir()
        aside.rename(logs)
        self.assertEqual(self.disk(), before)
        self.unmounted = False
        await after.start()
        upload = after.find(made.handle)
        self.assertEqual((upload.offset, upload.record), (600, made.record))
        await upload.append(600, in_chunks(data[600:], 100))
        await self.assert_stored(upload, data)

    async def test_key_of_a_cut_log(self) -> None:
        """When bytes were lost, the new key is kept before the log is changed."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(600), 100))
        await uploads.stop()
        log = self.place / "logs" / made.record.name
        log.write_bytes(log.read_bytes() + bytes(100))  # that a power cut took back
        records = self.place / "records"
        [record] = records.iterdir()
        kept = record.read_bytes()
        draft = record.with_name(record.name + ".new")
        draft.mkdir()
        (draft / "in the way").touch()
        first = self.next(boot=b"another")
        with self.assertRaises(OSError):
            await first.start()
        self.assertEqual(record.read_bytes(), kept)
        (draft / "in the way").unlink()
        draft.rmdir()
        await first.start()
        upload = first.find(made.handle)
        self.assertNotEqual(upload.record.choice, made.record.choice)

    async def test_power_cut(self) -> None:
        """
        What was answered is there after a power cut; what was not may be cut off, and then
        a random key is not used again.
        """
        data, other = some_bytes(1000), some_bytes(700, 1)
        for choice in CHOICES:
            uploads = self.new()
            made = await uploads.open(UploadOptions(choice))
            await made.append(0, in_chunks(data[:300], 70))
            ignored(begin(made.append(300, then_silence(data[300:700], 70))))
            await self.taken(made, 700)
            uploads = await self.again(uploads, b"another", self.disk())
            upload = uploads.find(made.handle)
            self.assertEqual(upload.offset, 300)
            same = upload.record.choice == made.record.choice
            self.assertEqual(same, not isinstance(choice, RandomKey))
            await upload.append(300, in_chunks(other, 70))
            await self.assert_stored(upload, data[:300] + other)

    async def test_no_boot_id(self) -> None:
        """Where starts of the machine cannot be told apart, each may be a power cut."""
        uploads = await self.again(self.new(), b"")
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(300), 70))
        ignored(begin(made.append(300, then_silence(bytes(400), 70))))
        await until(lambda: made.offset == 700)
        uploads = await self.again(uploads, b"", self.disk())
        self.assertEqual(uploads.find(made.handle).offset, 300)

    async def test_rubbish(self) -> None:
        """What is no upload does not stop the others, and only its logs are removed."""
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey()))
        await made.append(0, in_chunks(bytes(300), 70))
        records, logs = self.place / "records", self.place / "logs"
        rubbish = {
            records / "aaaa.json": b"{}",
            records / "bbbb.json": b"\xff",
            records / "cccc.json.new": b"{",
            logs / "dddd": bytes(5000),
            logs / "aaaa": bytes(5000),
        }
        uploads = await self.again(uploads, files=rubbish)
        names, name = {path.name for path in self.kept()}, made.record.name
        self.assertEqual(names, {"aaaa.json", "bbbb.json", "aaaa", name, f"{name}.json"})
        await uploads.abort(uploads.find(made.handle))

    async def test_files(self) -> None:
        """No listing has a handle, no log has a byte of the file, all are private."""
        uploads = self.new()
        for choice in CHOICES:
            made = await uploads.open(UploadOptions(choice))
            await made.append(0, in_chunks(b"plaintext " * 100, 70))
            for path, content in self.disk().items():
                self.assertNotIn(made.handle, path.name)
                self.assertNotIn(b"plaintext", content)
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    async def test_died_before_the_check(self) -> None:
        """What was not checked when the process died does not count."""
        uploads = self.new()
        upload = await uploads.open(UploadOptions(RandomKey()))
        await upload.append(0, in_chunks(bytes(300), 70))
        ignored(begin(upload.append(300, then_silence(bytes(400), 70), _Sum(b""))))
        await until(lambda: upload.taken.held == 700)
        uploads = await self.again(uploads, files=self.disk())
        self.assertEqual(uploads.find(upload.handle).offset, 300)


@define
class _Wrong(Refused):
    """These bytes are wrong."""


class _Sum:
    """Checks that pieces have the bytes that they should have."""

    def __init__(self, wanted: bytes) -> None:
        self.wanted = wanted
        self.found = b""

    def update(self, data: Buffer) -> None:
        self.found += bytes(data)

    def check(self) -> None:
        if self.found != self.wanted:
            raise _Wrong


class PartTests(OpenCase):
    async def test_checked(self) -> None:
        """Bytes that are checked count when they are right, and else leave no trace."""
        data = some_bytes(1000)
        for choice in CHOICES:
            upload = await self.open(choice)
            wrong = begin(upload.append(0, in_chunks(b"x" * 300, 70), _Sum(data[:300])))
            await self.assertFailure(wrong, _Wrong)
            self.assertEqual(upload.offset, 0)
            right = upload.append(0, in_chunks(data[:600], 70), _Sum(data[:600]))
            self.assertEqual(await right, 600)
            cut = begin(upload.append(600, then_silence(b"x" * 200, 70), _Sum(b"")))
            await self.held(upload, 800)
            # All of a piece is checked, also what was there.
            again = upload.append(500, in_chunks(data[500:], 70), _Sum(data[500:]))
            self.assertEqual(await again, 1000)
            await self.assertFailure(cut, TakenOver)
            await self.assert_stored(upload, data)

    async def held(self, upload: OpenUpload, size: int) -> None:
        """Return when *upload* has so many bytes, checked or not."""
        await until(lambda: upload.taken.held == size)

    async def test_size_later(self) -> None:
        """A size can be promised late, once."""
        upload = await self.open()
        await upload.append(0, in_chunks(bytes(300), 70))
        await self.assertFailure(begin(upload.set_size(299)), OtherSize)
        await upload.set_size(400)
        await upload.set_size(400)
        await self.assertFailure(begin(upload.set_size(401)), OtherSize)
        await self.assertFailure(begin(upload.close()), NotAllThere)
        await upload.append(300, in_chunks(bytes(100), 70))
        await self.assert_stored(upload, bytes(400))

    async def test_joined(self) -> None:
        """Parts make a whole, in their order; by themselves they are not stored."""
        data = some_bytes(1000)
        for choice in CHOICES:
            uploads = self.new()
            parts: list[OpenUpload] = []
            for start, end in ((0, 300), (300, 300), (300, 1000)):
                part = await uploads.open(
                    UploadOptions(RandomKey(), end - start), partial=True
                )
                if end > start:
                    early = begin(uploads.join([*parts, part], UploadOptions(choice)))
                    await self.assertFailure(early, NotAllThere)
                await part.append(0, in_chunks(data[start:end], 70))
                await self.assertFailure(begin(part.close()), OnlyAPart)
                parts.append(part)
            self.assertEqual(self.grid.uploader.active, 0)
            whole = await uploads.join(parts, UploadOptions(choice), meta={"name": "x"})
            self.assertEqual((whole.offset, whole.size), (1000, 1000))
            await self.assert_stored(whole, data)
            for part in parts:
                await uploads.abort(part)


class TaskTests(OpenCase):
    async def test_watched(self) -> None:
        """Each upload is a task from its opening to its end, in every process."""
        data = some_bytes(1000)
        uploads = self.new()
        made = await uploads.open(UploadOptions(RandomKey(), 1000), task="a-task-of-my-own")
        task = self.tasks.find("a-task-of-my-own")
        await made.append(0, in_chunks(data[:640], 64))
        await until(lambda: task.progress.stored)
        await uploads.stop()
        uploads = self.next()
        await uploads.start()
        task = self.tasks.find("a-task-of-my-own")
        self.assertIs(task.ended, None)
        upload = uploads.find(made.handle)
        await upload.append(640, in_chunks(data[640:], 64))
        cap = await upload.close()
        self.assertEqual((task.fraction, task.cap), (1.0, str(cap)))

    async def test_cancelled(self) -> None:
        """Who cancels the task has aborted the upload, and the other way round."""
        uploads = self.new()
        for by_task in (True, False):
            upload = await uploads.open(UploadOptions(RandomKey()))
            await upload.append(0, in_chunks(bytes(300), 64))
            [task] = self.tasks.active()
            if by_task:
                task.cancel()
                await task.over()
            else:
                await uploads.abort(upload)
            self.assertEqual((task.state.value, task.cap), ("cancelled", None))
            self.assertIs(upload.state, State.ABORTED)
            self.assertRaises(UnknownHandle, uploads.find, upload.handle)
            self.assert_nothing_left()

    async def test_paused(self) -> None:
        """While the task is paused, bytes are kept and do not leave."""
        uploads = self.new()
        upload = await uploads.open(UploadOptions(RandomKey()))
        await upload.append(0, in_chunks(bytes(300), 64))
        [task] = self.tasks.active()
        task.pause()
        appending = begin(upload.append(300, in_chunks(bytes(3000), 64)))
        await until(lambda: upload.offset > 300)
        self.assertFalse(appending.called)
        task.resume()
        await appending
        await self.assert_stored(upload, bytes(3300))
        self.assertEqual(task.state.value, "done")
