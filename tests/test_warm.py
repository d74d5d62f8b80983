"""Processes that are forked from a warm one are as those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from foolscap.api import Tub
from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.grids import new_directory
from tests.integration.stock import TAHOE
from tests.processes import eventually, truckee


class WarmTests(SynchronousTestCase):
    def test_streams_and_codes(self) -> None:
        """A command has its own streams, and its code comes back."""
        for command in (truckee("--version"), truckee("nothing"), truckee("put", "--help")):
            ours, plain = (
                start(command, capture_output=True, check=False, timeout=60)
                for start in (warm.run, subprocess.run)
            )
            self.assertEqual(
                (ours.returncode, ours.stdout, ours.stderr),
                (plain.returncode, plain.stdout, plain.stderr),
            )
        with self.assertRaises(subprocess.CalledProcessError):
            warm.run(truckee("nothing"), check=True, capture_output=True)

    def test_surroundings(self) -> None:
        """It has the directory, the environment and the mask that it is given."""
        place = new_directory(self)
        warm.run(
            truckee("create-grid", "node"),
            check=True,
            capture_output=True,
            cwd=place,
            umask=0o027,
            env=os.environ | {"HOME": str(place)},
        )
        self.assertEqual((place / "node" / "tahoe.cfg").stat().st_mode & 0o037, 0)

    def test_child(self) -> None:
        """It is a child of the process that asked, and ends by the signals it is sent."""
        for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
            place = new_directory(self) / "node"
            warm.run(truckee("create-grid", str(place)), check=True, capture_output=True)
            process = warm.start(
                truckee("run", str(place)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
            )
            status = Path(f"/proc/{process.pid}/status").read_text()
            self.assertIn(f"PPid:\t{os.getpid()}\n", status)
            eventually((place / "node.url").exists)
            self.assertIsNone(process.poll())
            process.send_signal(number)
            self.assertEqual(process.wait(60), code)

    def test_identities(self) -> None:
        """Nodes that are made so are told apart, though they may have one RSA key."""
        place, found = new_directory(self), set()
        for number in range(3):
            node = place / str(number)
            warm.run(truckee("create-grid", str(node)), check=True, capture_output=True)
            found.add(Tub(certData=(node / "private" / "node.pem").read_bytes()).tubID)
        self.assertEqual(len(found), 3)

    def test_cold(self) -> None:
        """What must be seen before the program begins is seen: it is started anew then."""
        for command, more in (
            ([sys.executable, "-c", ""], {}),
            (truckee("--version"), {"PYTHONOPTIMIZE": "1"}),
        ):
            process = warm.start(command, env=os.environ | more, stdout=subprocess.DEVNULL)
            self.assertIs(type(process), subprocess.Popen)
            self.assertEqual(process.wait(60), 0)

    def test_stock(self) -> None:
        """The same for stock's command."""
        done = warm.run([TAHOE, "--version"], check=True, capture_output=True)
        self.assertIn(b"tahoe-lafs", done.stdout)
