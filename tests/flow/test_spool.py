"""A file that nobody else can read."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import TestCase

from tests.grids import (
    REACTOR,
    files_below,
    new_directory,
    new_small_disk,
    new_workers,
    space_used,
)
from truckee.flow import spool as spools
from truckee.flow.spool import Spool, SpoolDiskFull, SpoolFull

PLAINTEXT = b"nobody may read this " * 1000


def descriptors() -> dict[int, str]:
    """Return all open files of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


class SpoolTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        if not Path("/proc/self/fd").is_dir():
            self.skipTest("open files are counted in /proc")
        self.directory = new_directory(self)
        self.disk = new_workers(self)
        self.before = descriptors()

    def new(self, limit: int = 1 << 20, directory: Path | None = None) -> Spool:
        """Return a spool that is closed when the test ends."""
        spool = Spool(self.disk, str(directory or self.directory), limit)
        self.addCleanup(spool.close)
        return spool

    def opened(self) -> list[int]:
        """Return the files that were opened since the test began, and are files."""
        new = {fd: path for fd, path in descriptors().items() if fd not in self.before}
        return [fd for fd, path in new.items() if path.startswith(str(self.directory))]

    async def all_of(self, spool: Spool, piece: int = 1000) -> bytes:
        """Read the spool."""
        return b"".join([part async for part in spool.read(piece)])

    async def test_read_back(self) -> None:
        """What was appended is read back, in pieces of any size, as often as one likes."""
        spool = self.new()
        for start in range(0, len(PLAINTEXT), 777):
            await spool.append(PLAINTEXT[start : start + 777])
        self.assertEqual(spool.size, len(PLAINTEXT))
        for piece in (100, 1000, 1 << 20):
            self.assertEqual(await self.all_of(spool, piece), PLAINTEXT)

    async def test_nothing(self) -> None:
        """An empty spool has no bytes and no file."""
        spool = self.new()
        self.assertEqual(await self.all_of(spool), b"")
        self.assertEqual(self.opened(), [])

    async def test_no_name(self) -> None:
        """The file has no name."""
        spool = self.new()
        await spool.append(PLAINTEXT)
        self.assertEqual(files_below(self.directory), [])
        (descriptor,) = self.opened()
        self.assertEqual(os.fstat(descriptor).st_nlink, 0)
        self.assertEqual(os.fstat(descriptor).st_mode & 0o777, 0o600)

    async def test_ciphertext_only(self) -> None:
        """Nothing of what was appended can be found in the file, nor in another spool's."""
        contents = []
        for _ in range(2):
            spool = self.new()
            await spool.append(PLAINTEXT)
            (descriptor,) = self.opened()
            with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                contents.append(file.read())
            spool.close()
        for content in contents:
            self.assertEqual(len(content), len(PLAINTEXT))
            self.assertNotIn(b"nobody", content)
            self.assertNotIn(b"read this", content)
        self.assertNotEqual(contents[0], contents[1])
        self.assertNotIn("_key", repr(spool))

    async def test_limit(self) -> None:
        """What does not fit under the limit is refused; what is there stays."""
        spool = self.new(limit=10)
        await spool.append(b"12345")
        with self.assertRaises(SpoolFull):
            await spool.append(b"123456")
        await spool.append(b"67890")
        self.assertEqual(await self.all_of(spool), b"1234567890")

    async def test_close(self) -> None:
        """Closed once or twice, the file is gone."""
        spool = self.new()
        await spool.append(b"x")
        self.assertEqual(len(self.opened()), 1)
        spool.close()
        spool.close()
        self.assertEqual(self.opened(), [])

    async def test_space_is_given_back(self) -> None:
        """On a full disk the spool says so, and closing it frees all."""
        room = new_small_disk(self, 1 << 20)
        before = space_used(room)
        for _ in range(3):
            spool = self.new(1 << 30, room)
            with self.assertRaises(SpoolDiskFull):
                while True:
                    await spool.append(bytes(100_000))
            self.assertGreater(space_used(room), 500_000)
            spool.close()
            self.assertEqual(space_used(room), before)

    async def test_cancelled_while_opened(self) -> None:
        """Cancelled while its file is opened, a spool still closes it."""
        spool = self.new()
        opening = spools.open_nameless
        inside = threading.Event()

        def cancelled(directory: str) -> int:
            descriptor = opening(directory)
            inside.set()
            # The event loop comes to it when the name is bound, this thread perhaps before.
            blockingCallFromThread(REACTOR, lambda: appending.cancel())
            return descriptor

        self.patch(spools, "open_nameless", cancelled)
        appending = Deferred.fromCoroutine(spool.append(b"x"))
        await self.assertFailure(appending, CancelledError)
        self.assertTrue(inside.is_set())
        spool.close()
        self.assertEqual(self.opened(), [])

    async def test_without_nameless_files(self) -> None:
        """Where files cannot be made without a name, the name is taken away at once."""
        self.patch(os, "O_TMPFILE", os.O_DIRECTORY | os.O_WRONLY)
        made = []
        making = tempfile.mkstemp

        def mkstemp(dir: str, prefix: str) -> tuple[int, str]:
            made.append(dir)
            return making(dir=dir, prefix=prefix)

        self.patch(tempfile, "mkstemp", mkstemp)
        spool = self.new()
        await spool.append(PLAINTEXT)
        self.assertEqual(len(made), 1)
        self.assertEqual(files_below(self.directory), [])
        self.assertEqual(await self.all_of(spool), PLAINTEXT)
