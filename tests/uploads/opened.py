"""Tables of open uploads for tests, on grids of disk servers."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import (
    REACTOR,
    Grid,
    files_below,
    in_chunks,
    new_directory,
    new_workers,
    until,
)
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.flow.other_disk import DirectoryMissing
from truckee.flow.together import Work
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.status.tasks import Tasks
from truckee.uploads.append_log import digest_of_boot
from truckee.uploads.record import UploadFiles
from truckee.uploads.registry import OpenLimits, OpenUploads
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload

KEY = b"0123456789abcdef"
CHOICES: tuple[KeyChoice, ...] = (RandomKey(), ConvergentKey(), GivenKey(KEY))


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Return *size* bytes that look like nothing."""
    return random.Random(seed).randbytes(size)


async def then_silence(data: bytes, size: int = 100) -> AsyncIterator[bytes]:
    """Give *data* in chunks and then nothing, like a client that is half dead."""
    async for chunk in in_chunks(data, size):
        yield chunk
    await Deferred()


def begin(work: Work[object]) -> Deferred[object]:
    """Let *work* run by the side."""
    return Deferred.fromCoroutine(work)


class OpenCase(TestCase):
    timeout = 120
    ahead = 0.0  # seconds that the time of day is wrong
    unmounted = False  # whether the disk of the logs is

    def new(
        self,
        grid: Grid | None = None,
        clock: object = REACTOR,
        limits: OpenLimits | None = None,
    ) -> OpenUploads:
        """Return a table of uploads that is stopped when the test ends."""
        self.grid = grid or Grid.new(self)
        self.place = new_directory(self)
        for directory in ("records", "logs"):
            (self.place / directory).mkdir()
        return self.next(clock, limits)

    def next(
        self,
        clock: object = REACTOR,
        limits: OpenLimits | None = None,
        boot: bytes = b"this",
    ) -> OpenUploads:
        """Return another table in the same place, as of another process."""
        disk = new_workers(self)
        self.tasks = Tasks(clock, time.time, os.urandom)  # type: ignore[arg-type]
        self.addCleanup(self.tasks.stop)
        uploads = OpenUploads(
            self.grid.uploader,
            UploadFiles(self.place / "records", self.place / "logs", disk, self.check),
            disk,
            clock,  # type: ignore[arg-type]
            os.urandom,
            lambda: time.time() + self.ahead,
            digest_of_boot(boot),
            self.tasks,
            limits or OpenLimits(),
        )
        self.addCleanup(self.stop, uploads)
        return uploads

    def check(self) -> None:
        """Check that the disk of the logs is mounted."""
        if self.unmounted:
            raise DirectoryMissing("logs", "logs-id")

    def stop(self, uploads: OpenUploads) -> Deferred[None]:
        """Stop *uploads* and see them end."""
        return Deferred.fromCoroutine(uploads.stop())

    async def open(
        self, choice: KeyChoice | None = None, size: int | None = None
    ) -> OpenUpload:
        """Return a new upload on a new grid."""
        return await self.new().open(UploadOptions(choice or RandomKey(), size))

    def kept(self) -> list[Path]:
        """Return the files of uploads that are open or were."""
        return files_below(self.place)

    def filled(self, upload: OpenUpload, data: bytes) -> Deferred[object]:
        """Append all of *data*, then close."""

        async def fill() -> None:
            await upload.append(0, in_chunks(data, 100))
            await upload.close()

        return begin(fill())

    async def assert_closed(self, upload: OpenUpload, data: bytes) -> None:
        """Closing gives a cap that reads *data*."""
        cap = await upload.close()
        assert isinstance(cap, ChkReadCap)
        self.assertEqual(await self.grid.read(cap), data)

    def assert_nothing_left(self) -> None:
        """No file of any kind, no memory and no upload is left."""
        self.assertEqual(self.kept(), [])
        self.assert_nothing_running()

    def assert_nothing_running(self) -> None:
        """No share, no memory and no upload is left."""
        self.assertEqual(self.grid.files, [])
        self.assertEqual(self.grid.budget.used, 0)
        self.assertEqual(self.grid.uploader.active, 0)

    async def taken(self, upload: OpenUpload, size: int) -> None:
        """Return when *upload* has so many bytes or more."""
        await until(lambda: upload.offset >= size)

    async def ended(self, upload: OpenUpload) -> None:
        """Return when *upload* is over."""
        await until(lambda: upload.ended)

    async def set_back(self, upload: OpenUpload) -> None:
        """Return when a run of *upload* has failed."""
        await until(lambda: upload.error and not upload.run)

    async def assert_stored(self, upload: OpenUpload, data: bytes) -> None:
        """Closing gives a cap, and the same one again; it reads *data*."""
        cap = await upload.close()
        self.assertIs(upload.state, State.STORED)
        self.assertIs(await upload.close(), cap)
        self.assertEqual(self.grid.budget.used, 0)
        if isinstance(cap, LiteralCap):
            self.assertEqual(cap.data, data)
        else:
            self.assertEqual(await self.grid.read(cap), data)
