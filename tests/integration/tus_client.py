"""One real node, and what tests of tus say to it."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, Reply, Wire, ask, running

MIB = 1 << 20
PIECE = "Content-Type: application/offset+octet-stream"


def content(size: int, seed: int = 0) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size + seed).randbytes(size)


@cache
def room() -> tuple[GridProcess, Callable[[], None]]:
    """Return a node, started once, and what ends it."""
    with contextlib.ExitStack() as cleanup:
        directory = cleanup.enter_context(tempfile.TemporaryDirectory())
        grid = GridProcess.create(
            Path(directory) / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        cleanup.enter_context(running(grid))
        return grid, cleanup.pop_all().close
    raise AssertionError


def close_room() -> None:
    """End the node, if it was started."""
    if room.cache_info().currsize:
        room()[1]()
        room.cache_clear()


class TusCase(SynchronousTestCase):
    """A test that speaks tus by hand."""

    def setUp(self) -> None:
        self.grid = self.node()
        self.url = self.grid.url

    def node(self) -> GridProcess:
        """Return the node that is asked: that of all tests."""
        return room()[0]

    def say(self, method: str, path: str, *headers: str, data: bytes = b"") -> Reply:
        """Return the answer to a request of a tus client."""
        return self.say_plainly(method, path, "Tus-Resumable: 1.0.0", *headers, data=data)

    def say_plainly(
        self, method: str, path: str, *headers: str, data: bytes = b""
    ) -> Reply:
        """Return the answer to a request."""
        with Wire(self.url) as wire:
            wire.request(f"{method} {path}", f"Content-Length: {len(data)}", *headers)
            with contextlib.suppress(ConnectionError):  # refused before its end
                wire.send(data)
            return wire.reply(method == "HEAD")

    def make(self, *headers: str, query: str = "", data: bytes = b"") -> str:
        """Return the path of a new upload."""
        reply = self.say("POST", f"/tus/{query}", *headers, data=data)
        self.assertEqual(reply.status, 201, reply.body)
        path = urlsplit(reply.headers["location"]).path
        self.addCleanup(self.say, "DELETE", path)
        return path

    def patch(self, path: str, offset: int, data: bytes, *headers: str) -> Reply:
        """Return the answer to a piece."""
        return self.say(
            "PATCH", path, PIECE, f"Upload-Offset: {offset}", *headers, data=data
        )

    def head(self, path: str) -> Reply:
        """Return the answer to HEAD."""
        reply = self.say("HEAD", path)
        self.check_tus(reply)
        return reply

    def check_tus(self, reply: Reply) -> None:
        """Every answer says which tus it is, and is not kept by caches."""
        self.assertEqual(reply.headers["tus-resumable"], "1.0.0")
        self.assertEqual(reply.headers["cache-control"], "no-store")

    def check_error(self, reply: Reply, status: int, text: str) -> None:
        """An error is a line of plain text."""
        self.assertEqual(reply.status, status, reply.body)
        self.check_tus(reply)
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
        self.assertIn(text, reply.text)
        self.assertEqual(reply.text.count("\n"), 1)

    def check_file(self, cap: str, data: bytes) -> None:
        """*cap* gives *data*."""
        self.assertTrue(ask(f"{self.url}uri/{cap}").body == data)
