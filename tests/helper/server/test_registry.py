"""All uploads of a helper: limits, and many of them together."""

from __future__ import annotations

import contextlib

from twisted.internet.defer import Deferred, gatherResults

from tests.grids import until
from tests.helper.helped import (
    INDEX,
    Content,
    begin,
)
from tests.helper.uploads_case import SIZE, UploadsCase, index_of
from truckee.helper.errors import HelperBusy, HelperFull, HelperRefuses
from truckee.helper.server.stored import Stored
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters


class LimitTests(UploadsCase):
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


class TogetherTests(UploadsCase):
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
