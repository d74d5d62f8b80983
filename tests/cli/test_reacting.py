"""The work of a command in the reactor."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.problems import STOPPED

_EARLY = """
import os, signal
from twisted.internet.defer import Deferred
from truckee.cli.reacting import run

async def work(reactor):
    os.kill(os.getpid(), signal.SIGINT)
    await Deferred()

run(work)
"""


class RunTests(SynchronousTestCase):
    def test_early_signal(self) -> None:
        """A signal at the very beginning of the work stops it as any other does."""
        done = subprocess.run(
            [sys.executable, "-c", _EARLY], capture_output=True, check=False, timeout=60
        )
        self.assertEqual((done.returncode, done.stderr), (STOPPED, b""))
