"""What an installation puts where."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase


class InstalledTests(SynchronousTestCase):
    def setUp(self) -> None:
        try:
            distribution("truckee")
        except PackageNotFoundError:
            raise SkipTest("truckee is not installed for this Python") from None

    def test_command(self) -> None:
        """The truckee command is installed, and its help names the first thing to do."""
        command = Path(sys.executable).with_name("truckee")
        shown = subprocess.run(
            [command, "--help"], check=True, capture_output=True, text=True
        )
        self.assertIn("truckee run", shown.stdout)

    def test_twistd(self) -> None:
        """Twisted's launcher knows the truckee service."""
        command = Path(sys.executable).with_name("twistd")
        shown = subprocess.run(
            [command, "--help"], check=True, capture_output=True, text=True
        )
        self.assertIn("The streaming edge of a Tahoe-LAFS grid.", shown.stdout)
