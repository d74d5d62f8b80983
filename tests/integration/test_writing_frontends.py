"""
The contract of all frontends that write: the file is at its name, or what was there.

A client that is told that its file is stored finds it; one that is told that it is not, or
that vanishes, finds what was there before; and nothing of what failed goes on.
"""

from __future__ import annotations

import json
import os
import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration.sftp_clients import CONFIG, new_account
from tests.integration.writing_frontends import (
    Frontend,
    Handle,
    Sftp,
    Tus,
    Web,
    WebDav,
)
from tests.processes import GridProcess, SharedNode, ask, eventually

# Of three directories: none may be missing.
room = SharedNode(happy=3, total=3, config=CONFIG)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def active(grid: GridProcess) -> int:
    """Return how many uploads go on."""
    found = json.loads(ask(f"{grid.url}status?t=json").body)
    return int(found["not_stored"]["files"])


class _Contract(SynchronousTestCase):
    kind: type[Frontend]

    def setUp(self) -> None:
        self.grid = room()
        name = f"{self.kind.name}-{self.id().rpartition('.')[2]}"
        account = new_account(self.grid, new_directory(self), name)
        self.client = self.kind(self.grid, account)

    def rest(self) -> None:
        """See that nothing goes on."""
        eventually(lambda: active(self.grid) == 0)

    def test_create_and_overwrite(self) -> None:
        """A file of any size is there when it is said to be, and then another one."""
        for size in (0, 1, 55, 56, 200_000, 2_300_000):
            data = os.urandom(size)
            self.assertTrue(self.client.store("f", data), size)
            self.assertEqual(self.client.read("f"), data)

    def test_cut(self) -> None:
        """Who vanishes leaves what was there, and nothing where nothing was."""
        data, before = os.urandom(2_300_000), b"before"
        self.assertTrue(self.client.store("old", before))
        for at in (0, 1, 100, 1 << 17, 1_500_000, len(data) - 1):
            for name, expected in (("old", before), ("new", None)):
                self.client.cut(name, data, at, lambda: None)
                self.assertEqual(self.client.read(name), expected, at)
        self.rest()
        self.assertEqual(self.client.read("old"), before)
        self.assertIsNone(self.client.read("new"))

    def test_old_until_then(self) -> None:
        """Until a file is stored, everybody reads the one before."""
        self.assertTrue(self.client.store("f", b"before"))
        seen = list[bytes | None]()
        self.client.cut(
            "f",
            os.urandom(2_300_000),
            2_200_000,
            lambda: seen.append(self.client.read("f")),
        )
        self.assertEqual(seen, [b"before"])

    def test_directory(self) -> None:
        """A directory is not replaced by a file."""
        url = f"{self.grid.url}uri/{self.client.account.root}/d?t=mkdir"
        cap = ask("-X", "POST", url).body
        self.stored("d", b"x" * 1000)
        shown = ask(f"{self.grid.url}uri/{self.client.account.root}/d?t=json").body
        self.assertEqual(json.loads(shown)[1]["rw_uri"], cap.decode())

    def stored(self, name: str, data: bytes) -> bool:
        """Return whether it is said to be stored; what cannot be opened is not."""
        try:
            return self.client.store(name, data)
        except OSError:
            return False

    def test_concurrent_writers(self) -> None:
        """Of several who write one name at once, one has all of it."""
        contents = [bytes([number]) * 700_000 for number in range(4)]
        done = list[bool]()
        threads = [
            threading.Thread(target=lambda data=each: done.append(self.stored("f", data)))
            for each in contents
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(done, [True] * 4)
        self.assertIn(self.client.read("f"), contents)
        self.rest()

    def test_bad_grid(self) -> None:
        """While there are too few servers, it is said, and what was there stays."""
        self.assertTrue(self.client.store("f", b"before" * 100))
        # A grid of this size has directories called 0, 1 and 2.
        shares = self.grid.directory / "storage" / "1"
        away = shares.with_name("away")
        shares.rename(away)
        try:
            self.assertFalse(self.stored("f", os.urandom(300_000)))
            self.assertFalse(self.stored("g", os.urandom(300_000)))
        finally:
            away.rename(shares)
        self.assertEqual(self.client.read("f"), b"before" * 100)
        self.assertIsNone(self.client.read("g"))
        self.rest()
        eventually(lambda: self.stored("f", b"after" * 100))
        self.assertEqual(self.client.read("f"), b"after" * 100)


class WebTests(_Contract):
    kind = Web


class WebDavTests(_Contract):
    kind = WebDav


class SftpTests(_Contract):
    kind = Sftp


class TusTests(_Contract):
    kind = Tus


class HandleTests(_Contract):
    kind = Handle


del _Contract  # it is no test by itself
