"""What is on the disk of a helper: other files, damage, power cuts."""

from __future__ import annotations

import os
from typing import Any, cast

from attrs import define

from tests.helper.helped import (
    INDEX,
    PARAMETERS,
)
from tests.helper.uploads_case import SIZE, UploadsCase, index_of
from truckee.helper.server.upload import HelperUpload
from truckee.immutable.upload.sinks import ICiphertextSinks, NewFile


class JunkTests(UploadsCase):
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
        spool = self.helped.uploads.spool
        for place in (spool.incoming, spool.encoding):
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
class _Broken:
    """Sinks that store one file and no other."""

    inner: ICiphertextSinks

    async def open(self, file: NewFile) -> Any:
        if file.storage_index != INDEX:
            raise RuntimeError("broken")
        return await self.inner.open(file)


class PowerCutTests(UploadsCase):
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
