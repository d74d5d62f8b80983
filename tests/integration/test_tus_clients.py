"""Real clients of tus: tuspy, aiotus, and tus-js-client in Node."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tusclient.client import TusClient

from tests.integration.browser import missing, run_node
from tests.integration.tus_client import MIB, TusCase, close_room, content

SIZES = (1, 55, 56, MIB, 3 * MIB + 1, 16 * MIB)


def tearDownModule() -> None:
    """End the node."""
    close_room()


class _Case(TusCase):
    def setUp(self) -> None:
        super().setUp()
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.path = Path(place.name) / "file"

    def file(self, size: int) -> bytes:
        """Write and return a file."""
        data = content(size)
        self.path.write_bytes(data)
        return data


class TuspyTests(_Case):
    def uploader(self, **options: Any) -> Any:
        """Return an uploader of the file."""
        client = TusClient(f"{self.url}tus/")
        return client.uploader(str(self.path), chunk_size=MIB, **options)

    def cap(self, url: str) -> str:
        """Return the cap of an upload that is over."""
        told = json.loads(self.say("GET", url[len(self.url) - 1 :]).body)
        return str(told["cap"])

    def test_round_trips(self) -> None:
        """Files of any size come back as they were."""
        for size in SIZES:
            data = self.file(size)
            uploader = self.uploader(metadata={"filename": "a file.bin"})
            uploader.upload()
            cap = uploader.request.response_headers["upload-cap"]
            self.assertEqual(self.cap(uploader.url), cap)
            self.check_file(cap, data)

    def test_empty(self) -> None:
        """An empty file is stored when it is made."""
        self.file(0)
        uploader = self.uploader()
        uploader.set_url(uploader.create_url())
        self.assertEqual(self.cap(uploader.url), "URI:LIT:")

    def test_checksum(self) -> None:
        """Its checksums are looked at, and right."""
        data = self.file(3 * MIB + 5)
        uploader = self.uploader(upload_checksum=True)
        uploader.upload()
        self.check_file(uploader.request.response_headers["upload-cap"], data)

    def test_resume(self) -> None:
        """Another client goes on where the first one stopped."""
        data = self.file(3 * MIB + 5)
        first = self.uploader()
        first.upload_chunk()
        second = self.uploader(url=first.url)
        self.assertEqual(second.offset, MIB)
        second.upload()
        self.check_file(self.cap(first.url), data)


class AiotusTests(_Case):
    """It takes nothing but an absolute address of what it made."""

    def setUp(self) -> None:
        if find_spec("aiotus") is None:
            raise SkipTest("aiotus is not installed")
        super().setUp()

    def upload(self, *paths: Path) -> tuple[str, dict[str, str | None]]:
        """Return the address of an upload of these files, and what is known of it."""
        program = ("-m", "tests.integration.aiotus_upload")
        done = subprocess.run(
            [sys.executable, *program, f"{self.url}tus/", *map(str, paths)],
            stdout=subprocess.PIPE,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        url, metadata = done.stdout.decode().splitlines()
        return url, json.loads(metadata)

    def check(self, url: str, data: bytes) -> None:
        """Check what the upload at *url* became."""
        told = json.loads(self.say("GET", url[len(self.url) - 1 :]).body)
        self.check_file(str(told["cap"]), data)

    def test_round_trip(self) -> None:
        """A file in several pieces comes back as it was, with what was said of it."""
        data = self.file(3 * MIB + 1)
        url, metadata = self.upload(self.path)
        self.assertTrue(url.startswith(f"{self.url}tus/"), url)
        self.check(url, data)
        self.assertEqual(metadata, {"filename": "ü b.bin", "empty": None})

    def test_several(self) -> None:
        """Several that come at once are one in the end."""
        first = self.file(2 * MIB)
        other = self.path.with_name("other")
        other.write_bytes(content(MIB + 5))
        url, _ = self.upload(self.path, other)
        self.check(url, first + content(MIB + 5))


class TusJsTests(_Case):
    skip = missing(browser=False)

    def upload(self, **options: Any) -> dict[str, Any]:
        """Return what became of an upload of the file."""
        endpoint = f"{self.url}tus/"
        done = run_node("tus.mjs", endpoint, str(self.path), json.dumps(options))
        assert isinstance(done, dict)
        return done

    def test_round_trips(self) -> None:
        """Files of any size come back as they were, in pieces and in one."""
        for size in (0, *SIZES):
            data = self.file(size)
            done = self.upload(chunkSize=5 * MIB, uploadDataDuringCreation=size > MIB)
            self.assertNotIn("error", done)
            self.check_file(done["cap"], data)

    def test_parallel(self) -> None:
        """A file that comes as three at once is one in the end."""
        data = self.file(5 * MIB + 5)
        done = self.upload(parallelUploads=3)
        self.assertNotIn("error", done)
        self.check_file(done["cap"], data)

    def test_deferred(self) -> None:
        """A file whose length is told with its bytes comes back as it was."""
        for size in (0, 5, 3 * MIB + 1):
            data = self.file(size)
            done = self.upload(uploadLengthDeferred=True, chunkSize=16 * MIB)
            self.assertNotIn("error", done)
            self.check_file(done["cap"], data)

    def test_resume(self) -> None:
        """What was broken off goes on from where it was."""
        data = self.file(4 * MIB)
        first = self.upload(stopAt=2 * MIB)
        self.assertIsNone(first["cap"])
        second = self.upload(uploadUrl=first["url"])
        self.check_file(second["cap"], data)
