"""What a new start of a helper makes of what is kept."""

from __future__ import annotations

import json

from tests.helper.helped import (
    INDEX,
    Content,
)
from tests.helper.uploads_case import SIZE, UploadsCase
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters


class RestartTests(UploadsCase):
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
