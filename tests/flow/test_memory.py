"""Tests of truckee.flow.memory."""

from __future__ import annotations

import subprocess
import sys
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.memory import give_back

FREED = """
import sys
from pathlib import Path
from truckee.flow.memory import give_back
from truckee.node.process import give_memory_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

give_memory_back()
many = [bytes([n]) * (1 << 20) for n in range(12)]
last = bytes(64 << 10)
del many
before = resident()
give_back()
print(before - resident() > 8 << 20)
"""


class GiveBackTests(SynchronousTestCase):
    def test_freed(self) -> None:
        """What was freed, and is spare, is the system's again."""
        if not sys.platform.startswith("linux"):
            raise SkipTest("only glibc keeps memory to spare")
        told = subprocess.check_output([sys.executable, "-c", FREED], text=True)
        self.assertEqual(told.strip(), "True")

    def test_any_time(self) -> None:
        """It can be asked for at any time."""
        give_back()
        give_back()
