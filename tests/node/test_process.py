"""What a process has to be before it runs a node."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

LOADED = """
import gc
from twisted.internet import reactor
from truckee.node.process import spare_what_is_loaded
made = []
made.append(made)
spare_what_is_loaded()
print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1000)
"""


class LoadedTests(SynchronousTestCase):
    def test_not_looked_at(self) -> None:
        """The garbage collector looks at nothing that was there before the node ran."""
        told = subprocess.check_output([sys.executable, "-c", LOADED], text=True)
        self.assertEqual(told.split(), ["True", "True"])
