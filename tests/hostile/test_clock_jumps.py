"""A clock that is days off at a restart, or jumps, deletes no open upload."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, ask, running

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
DATA = bytes(range(256)) * 100


class ClockTests(SynchronousTestCase):
    def test_days_off_at_a_restart(self) -> None:
        """Two days ahead, two behind, and right again: the upload is there each time."""
        if not LIBRARIES:
            raise SkipTest("it takes libfaketime (Debian: faketime)")
        room = Path(self.enterContext(tempfile.TemporaryDirectory()))
        grid = GridProcess.create(room / "node", needed=2, happy=2, total=3, storage_dirs=3)
        with running(grid):
            handle = ask("--request", "POST", f"{grid.url}upload/open").text.strip()
            reply = ask("-T", "-", f"{grid.url}upload/{handle}?offset=0", data=DATA)
            self.assertLess(reply.status, 300, reply.body)
        for days in (2, -2, 0):
            grid.environment = {
                "LD_PRELOAD": str(LIBRARIES[0]),
                "FAKETIME": f"{days:+d}d",
                # As the kernel, whose monotonic clock nobody sets.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            with running(grid):
                reply = ask("--head", f"{grid.url}upload/{handle}")
                self.assertEqual(reply.status, 200, days)
                self.assertEqual(reply.headers["upload-offset"], str(len(DATA)))
