"""The commands for files and directories, with a gateway of Tahoe-LAFS."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.stock import TAHOE, StockNode, stock_node
from tests.processes import truckee


class _Shared:
    """The node of this module."""

    cleanup = ExitStack()
    node: StockNode


def setUpModule() -> None:
    """Run a stock node."""
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stock_node(place / "node", place / "shares", (1, 1, 1))
        _Shared.node = stack.enter_context(node)
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class StockGatewayTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a place for files."""
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)

    def do(self, *arguments: str, code: int = 0) -> str:
        """Return what a command prints, which ends with *code*."""
        names = arguments[:2] if arguments[0] == "alias" else arguments[:1]
        given = ["-d", str(_Shared.node.directory), *arguments[len(names) :]]
        done = warm.run(
            truckee(*names, *given),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            timeout=240,
            cwd=self.place,
            env={**os.environ, "XDG_STATE_HOME": str(self.place / "notes")},
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode()

    def test_all_of_them(self) -> None:
        """Each does there what it does with a gateway of ours."""
        for name in ("a", "d/b", "d/e/c"):
            path = self.place / "t" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 100)
        self.do("alias", "create", "tahoe")
        self.do("cp", "-r", "t", "tahoe:")
        (self.place / "t/a").write_bytes(b"another")
        self.do("cp", "-r", "t", "tahoe:")
        self.do("cp", "-r", "tahoe:t", "back")
        diff = ["diff", "-r", str(self.place / "t"), str(self.place / "back/t")]
        subprocess.run(diff, check=True)
        self.do("mkdir", "x")
        self.do("mkdir", "x", code=5)
        self.do("mkdir", "no/parent", code=4)
        self.do("mkdir", "-p", "x/y/z", "x")
        self.do("mv", "t/a", "x/moved")
        self.do("mv", "x", "t", "x/y", code=1)
        self.do("ln", "t/d", "x")
        self.do("cp", "-r", "tahoe:t", "tahoe:x/y")
        self.assertEqual(
            self.do("ls", "-F", "x", "x/y/t"),
            "tahoe:x:\nd/\nmoved\ny/\n\ntahoe:x/y/t:\nd/\n",
        )
        self.do("rm", "x/d", code=1)
        self.do("rm", "-r", "x/d", "x/moved")
        self.do("rm", "x/moved", code=1)
        self.assertEqual(self.do("ls", "x"), "y\n")
        self.do("put", "t/a", "tahoe:x/new")
        self.assertEqual(self.do("get", "tahoe:x/new"), "another")
        self.assertIn("healthy", self.do("check", "x", "t/d/b"))
        self.do("ls", "nix", code=4)

    def test_kept_and_restored(self) -> None:
        """A backup of a backup is the same, and comes back."""
        (self.place / "t/d").mkdir(parents=True)
        (self.place / "t/d/f").write_bytes(os.urandom(1000))
        self.do("alias", "create", "kept")
        state = str(self.place / "state")
        for _ in range(2):
            self.do("backup", "--database", state, "t", "kept:all")
            (self.place / "t/g").write_bytes(b"more")
        self.assertEqual(self.do("ls", "kept:all/Latest"), "d\ng\n")
        self.do("restore", "kept:all/Latest", "back")
        diff = ["diff", "-r", str(self.place / "t"), str(self.place / "back")]
        subprocess.run(diff, check=True)
