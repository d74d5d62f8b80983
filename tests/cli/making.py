"""What tests of the commands that make nodes have in common."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from click.testing import CliRunner
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from tests.keys import few_keys
from tests.processes import Done
from truckee.cli import main
from truckee.errors import TruckeeError
from truckee.node.build import Node
from truckee.node.config import NodeConfig, load_config
from truckee.node.layout import NodeDirectory
from truckee.node.peers import load_introducers

# A name that means something to each parser that it goes through.
ODD = "50% für alle %(x)s: {y} #1 ; 'z'"


def run_here(*arguments: str, umask: int = -1) -> Done:
    """Return what ``truckee`` with these arguments does, without a process of its own."""
    before = os.umask(0o022 if umask == -1 else umask)
    try:
        result = CliRunner().invoke(main, arguments, prog_name="truckee")
    finally:
        os.umask(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


class MakingCase(SynchronousTestCase):
    """Tests of a command that makes a node in a directory that is not there yet."""

    def setUp(self) -> None:
        """Make a room for the node."""
        few_keys(self)
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.room = Path(room.name)
        self.node = self.room / "node"

    def config(self) -> NodeConfig:
        """Return what the node was told."""
        return load_config(NodeDirectory(self.node))

    def introducers(self) -> dict[str, str]:
        """Return the introducers of the node."""
        return load_introducers(self.node / "private" / "introducers.yaml")

    def modes(self) -> dict[str, int]:
        """Return the modes of all that was made."""
        return {
            str(path.relative_to(self.node)): stat.S_IMODE(path.stat().st_mode)
            for path in self.node.rglob("*")
        }

    def check_refused(self, done: Done, code: int, *texts: str) -> None:
        """Check that nothing was made and one sentence tells why."""
        self.assertEqual(done.code, code, done.errors)
        for text in texts:
            self.assertIn(text, done.errors)
        errors = [line for line in done.errors.splitlines() if line.startswith("Error: ")]
        self.assertEqual(len(errors), 1, done.errors)
        self.assertNotIn("Traceback", done.errors)
        self.assertEqual(done.output, "")
        self.assertFalse((self.node / "tahoe.cfg").exists())


def start_here(node: Path) -> Done:
    """
    Return what ``truckee run`` says of a wrong configuration, without a process of its own.

    A node that could run is not started.
    """
    try:
        Node(NodeDirectory(node), reactor)
    except TruckeeError as error:
        return Done(1, "", f"Error: {error}\n")
    raise AssertionError("nothing is wrong with this node")
