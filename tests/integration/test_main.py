"""The ``truckee`` command, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.making import run_here
from tests.processes import run

FURL = "pb://" + "a" * 32 + "@tcp:introducer.example:3458/" + "s" * 32


class CommandTests(SynchronousTestCase):
    def test_each(self) -> None:
        """Each command tells what it does; there are no others."""
        listed = run("--help").output.partition("Commands:")[2].split("\n")
        names = [line.split()[0] for line in listed if line.strip()]
        self.assertEqual(names, sorted(names))
        self.assertIn("run", names)
        for name in names:
            done = run_here(name, "--help")
            self.assertEqual((done.code, done.errors), (0, ""), name)
            self.assertIn(f" {name} [OPTIONS]", done.output)
        done = run("fly")
        self.assertEqual(done.code, 2)
        self.assertIn("No such command 'fly'", done.errors)

    def test_makes_nodes(self) -> None:
        """What makes a node says where it is; nonsense is refused."""
        with tempfile.TemporaryDirectory() as name:
            for command, options in (
                ("create-grid", ()),
                ("create-client", (f"--introducer={FURL}",)),
                ("create-storage", (f"--introducer={FURL}", "--port=1", "--location=a:1")),
                ("create-helper", (f"--introducer={FURL}", "--port=1", "--location=a:1")),
            ):
                node = Path(name) / command
                done = run(command, *options, str(node))
                self.assertEqual((done.code, done.errors), (0, ""))
                self.assertIn(f"in {node}\n", done.output)
                self.assertTrue((node / "tahoe.cfg").exists())
                done = run_here(command, *options, str(node))
                self.assertEqual((done.code, done.output), (1, ""))
                self.assertIn("exists and is not empty", done.errors)

    def test_starts_quickly(self) -> None:
        """What speaks to a gateway does not load one."""
        for name in ("put", "get"):
            asked = "'truckee.node.build' in sys.modules"
            code = f"import sys, truckee.cli.{name}; print({asked})"
            printed = subprocess.check_output([sys.executable, "-c", code])
            self.assertEqual(printed, b"False\n")
