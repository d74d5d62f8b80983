"""What is on the grid already need not be brought."""

from __future__ import annotations

from tests.grids import failing, make_file, put_share
from tests.helper.helped import (
    ENCODING,
    INDEX,
    KEY,
    PARAMETERS,
    Content,
)
from tests.helper.uploads_case import SIZE, UploadsCase
from truckee.helper.server.stored import Stored
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters


class PresentTests(UploadsCase):
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
