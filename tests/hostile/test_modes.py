"""What a node makes is for its owner's eyes only, whatever the umask is."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, ask, curl, run, running


class ModeTests(SynchronousTestCase):
    def test_grid(self) -> None:
        """Under the umask 000, after an upload in one piece and one in several."""
        room = Path(self.enterContext(tempfile.TemporaryDirectory()))
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        grid = GridProcess.create(room / "node", needed=2, happy=2, total=3, storage_dirs=3)
        with running(grid):
            curl("-T", "-", f"{grid.url}uri", data=bytes(100_000))
            reply = ask("--request", "POST", f"{grid.url}upload/open")
            self.assertLess(reply.status, 300)
            ask("-d", "details=x", f"{grid.url}report_incident")
            self.check(grid.directory)
        self.check(grid.directory)

    def test_others(self) -> None:
        """What the other commands make, too."""
        room = Path(self.enterContext(tempfile.TemporaryDirectory()))
        furl = "pb://" + "a" * 32 + "@tcp:127.0.0.1:1/" + "b" * 32
        reached = ("--port=tcp:1", "--location=tcp:127.0.0.1:1")
        for kind, options in (("client", ()), ("storage", reached), ("helper", reached)):
            where = (f"--introducer={furl}", str(room / kind))
            done = run(f"create-{kind}", *options, *where, umask=0)
            self.assertEqual(done.code, 0, done.errors)
            self.check(room / kind)

    def check(self, top: Path) -> None:
        """Check the directory and all in it but the log, which the test made."""
        for path in (top, *top.rglob("*")):
            wanted = 0o700 if path.is_dir() else 0o600
            if path != top / "log":
                self.assertEqual(oct(stat.S_IMODE(path.lstat().st_mode)), oct(wanted), path)
