"""Where the directories of tests are made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import memory_disk
from tests.grids import new_directory, new_small_disk


class ChooseTests(SynchronousTestCase):
    def test_given(self) -> None:
        """Who names a place has it."""
        self.patch(os, "environ", {"TMPDIR": "/somewhere"})
        self.assertIsNone(memory_disk.choose())

    def test_no_room(self) -> None:
        """Where there is little room, or none, they are where they always were."""
        for place in (new_small_disk(self, 1 << 20), Path("/nowhere")):
            self.patch(os, "environ", {})
            self.patch(memory_disk, "MEMORY", place)
            self.assertIsNone(memory_disk.choose())

    def test_room(self) -> None:
        """Else they are in memory, also those of processes that are started."""
        place = new_directory(self)
        self.patch(os, "environ", {})
        self.patch(tempfile, "tempdir", None)
        self.patch(memory_disk, "MEMORY", place)
        self.patch(memory_disk, "ROOM", 1)
        chosen = memory_disk.choose()
        if chosen is None:
            raise SkipTest("it takes Linux")
        self.addCleanup(chosen.cleanup)
        self.assertEqual(Path(chosen.name).parent, place)
        self.assertEqual(tempfile.gettempdir(), chosen.name)
        self.assertEqual(os.environ["TMPDIR"], chosen.name)
