"""What tests are made of."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class WorkersTests(SynchronousTestCase):
    def test_nobody_stops_them(self) -> None:
        """Workers of a test that is broken off do not keep the tests from ending."""
        program = (
            "from twisted.trial.unittest import SynchronousTestCase\n"
            "from tests.grids import new_workers\n"
            "new_workers(SynchronousTestCase())\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
