"""One stock server of ten goes bad in the middle of a transfer."""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.bad_servers import (
    Trouble,
    What,
    download,
    finish,
    happy,
    random_file,
    settle,
    upload,
)
from tests.integration.stock_grid import Grid, NodeProcess, Shape, grid
from tests.processes import Wire

MIB = 1 << 20
# So that an upload takes a second, and there is a middle of it.
RATE = ("--limit-rate", "8M")
MOMENT = 0.4  # seconds after its beginning
# Far more than any of it takes on a busy machine, and less than one wait for a server that
# nobody else could have answered for.
SOON = 15.0  # seconds


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    grid: Grid
    room: Path


def setUpModule() -> None:
    """Run the one grid."""
    with ExitStack() as stack:
        _Shared.room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = grid(_Shared.room, gateways=("ours",), cache=False)
        _Shared.grid = stack.enter_context(made)
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class _Case(SynchronousTestCase):
    size = 8 * MIB

    def setUp(self) -> None:
        self.grid = _Shared.grid
        self.source, self.target = _Shared.room / "source", _Shared.room / "target"
        self.chance = random.Random(self.id())
        random_file(self.source, self.size, self.chance)
        self.addCleanup(self.grid.clear)

    def check_read(self, cap: str) -> None:
        """Check that the file of *cap* is what was stored, and comes soon."""
        done = finish(partial(download, self.grid.ours, cap, self.target))
        self.assertEqual(done.code, 0)
        self.assertTrue(self.target.read_bytes() == self.source.read_bytes())
        self.assertLess(done.seconds, SOON)


class UploadTests(_Case):
    def check(self, what: What, moment: float | None) -> None:
        """Check that the upload succeeds, keeps its happiness and is read back."""
        trouble = Trouble(self.grid, self.chance.choice(self.grid.servers), what)
        start = partial(upload, self.grid.ours, self.source, *RATE)
        with trouble.during(start, moment) as done:
            self.assertEqual(done.code, 0, done.text)
            self.assertGreaterEqual(happy(self.grid, done.text), Shape().happy)
            self.assertLess(done.seconds, SOON)
            self.check_read(done.text)
        self.check_read(done.text)
        settle(self.grid)

    def test_frozen(self) -> None:
        """A server that freezes in an upload is gone on without."""
        self.check("frozen", MOMENT)

    def test_slow(self) -> None:
        """A server that is a hundred times slower than the others holds up nobody."""
        self.check("slow", None)

    def test_full(self) -> None:
        """A full server is no reason to refuse a file that others have room for."""
        self.check("full", None)

    def test_killed(self) -> None:
        """A server that dies in an upload is gone on without."""
        self.check("killed", MOMENT)


class DownloadTests(_Case):
    size = 24 * MIB  # more than what is read ahead for a slow client

    def check(self, what: What) -> None:
        """Check that the download goes on with the right bytes."""
        cap = finish(partial(upload, self.grid.ours, self.source)).text
        trouble = Trouble(self.grid, self.first_holder(), what)
        url = self.grid.ours.file_url(cap)
        with Wire(url, receive_buffer=65536, timeout=SOON) as wire:
            wire.request(f"GET {urlsplit(url).path}")
            wire.head()
            found = wire.read(MIB)
            with trouble.bad():
                end = time.monotonic() + SOON
                while len(found) < self.size and time.monotonic() < end:
                    found += wire.read(MIB)
                # Not assertEqual: a failure would print the file.
                self.assertTrue(found == self.source.read_bytes(), len(found))
                self.check_read(cap)
        settle(self.grid)

    def first_holder(self) -> NodeProcess:
        """Return the server of the first share, which is one of those that are read."""
        [holder] = [
            server
            for server in self.grid.servers
            if any(share.name == "0" for share in server.shares())
        ]
        return holder

    def test_frozen(self) -> None:
        """A server that freezes in a download is read from no more."""
        self.check("frozen")

    def test_slow(self) -> None:
        """A server that becomes a hundred times slower holds up no download."""
        self.check("slow")

    def test_killed(self) -> None:
        """A server that dies in a download is read from no more."""
        self.check("killed")
