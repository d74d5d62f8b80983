"""What nobody came back for goes, and nothing else."""

from __future__ import annotations

import os
import time
from typing import Any, cast

from attrs import define
from twisted.internet.task import Clock

from tests.grids import NOW
from tests.helper.helped import (
    Helped,
)
from tests.helper.uploads_case import DAY, SIZE, UploadsCase
from truckee.flow.cpu import Workers
from truckee.status.ages import GRACE


class ExpiryTests(UploadsCase):
    def setUp(self) -> None:
        super().setUp()
        # Later than the system's, so that files can be given its times.
        self.time = time.time() + DAY
        self.clock = Clock()

    def new(self, **options: Any) -> Helped:
        helped = super().new(**options)
        # What is old is told by another clock than what is done later.
        helped.uploads._expiry._clock = self.clock
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
        self.helped.uploads.spool._disk = cast(Workers, _Cleaning(self.helped))
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
        before = len(self.helped.uploads._timers._calls)
        self.helped.uploads._clean()
        self.assertEqual(len(self.helped.uploads._timers._calls), before + 1)


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
