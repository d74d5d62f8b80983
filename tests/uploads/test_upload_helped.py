"""Open uploads that go through a helper."""

from __future__ import annotations

from attrs import evolve

from tests.grids import in_chunks, pause, until
from tests.helper.helped import Content, Gateway, Helped
from tests.uploads.opened import OpenCase, begin, then_silence
from truckee.immutable.upload.keys import GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.uploads.registry import OpenUploads
from truckee.uploads.upload import OpenUpload

SIZE = 80_000  # bytes; a line that is not known yet is given 16 KiB at once
KEY = b"0123456789abcdef"


class GivenUpTests(OpenCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        self.helped = Helped.new(self)
        self.helped.listen()
        self.gateway = await Gateway.of(self.helped)
        grid = self.helped.grid
        # A table takes the uploader of its grid.
        grid.uploader = evolve(grid.uploader, sinks=self.gateway.sinks)
        self.uploads = self.new(grid)

    async def partly(self, choice: KeyChoice, size: int | None) -> OpenUpload:
        """Return an upload of which the helper holds something, and nobody works on it."""
        upload = await self.uploads.open(UploadOptions(choice, size))
        data = self.content.plaintext[: SIZE // 2]
        feeding = begin(upload.append(0, then_silence(data)))
        feeding.addErrback(lambda _: None)  # it is cut off
        await until(lambda: sum(self.helped.kept.values()))
        await upload.settle()
        await upload.park()
        await until(lambda: not self.helped.uploads.active)
        self.assertGreater(sum(self.helped.kept.values()), 0)
        return upload

    async def test_at_rest(self) -> None:
        """A helper drops what it holds of an upload that is given up while it rests."""
        for size in (SIZE, None):
            upload = await self.partly(RandomKey(), size)
            await self.uploads.abort(upload)
            await until(lambda: not self.helped.kept)
            await self.helped.assert_nothing_kept()

    async def test_after_a_restart(self) -> None:
        """So it does when the gateway's process is another one by then."""
        handle = (await self.partly(RandomKey(), SIZE)).handle
        await self.uploads.stop()
        later: OpenUploads = self.next()
        await later.start()
        await later.abort(later.find(handle))
        await until(lambda: not self.helped.kept)
        await self.helped.assert_nothing_kept()

    async def test_given_key(self) -> None:
        """Under a key that its client chose it may be gone on with in another upload."""
        upload = await self.partly(GivenKey(KEY), SIZE)
        kept = self.helped.kept
        await self.uploads.abort(upload)
        await pause(0.1)
        self.assertEqual(self.helped.kept, kept)
        again = await self.uploads.open(UploadOptions(GivenKey(KEY), SIZE))
        await again.append(0, in_chunks(self.content.plaintext, 10_000))
        await self.assert_closed(again, self.content.plaintext)

    async def test_helper_away(self) -> None:
        """A helper that is away keeps nobody from giving an upload up."""
        upload = await self.partly(RandomKey(), SIZE)
        await self.helped.stop()
        await until(lambda: not self.gateway.connection.connected)
        await self.uploads.abort(upload)
        self.assertEqual(self.kept(), [])
