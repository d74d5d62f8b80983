"""``truckee storage``: directories that go missing, and others in their place."""

from __future__ import annotations

import json
import shutil
from typing import Any

from tests.cli.making import MakingCase, run_here
from tests.processes import GridProcess, curl, eventually, run, running


class _Case(MakingCase):
    def create(self) -> GridProcess:
        return GridProcess.create(self.node, needed=2, happy=2, total=3, storage_dirs=3)

    def listed(self) -> list[dict[str, Any]]:
        """Return what ``storage list`` prints for programs."""
        done = run("storage", "list", "--json", "-d", str(self.node))
        self.assertEqual((done.code, done.errors), (0, ""))
        return list(json.loads(done.output)["directories"])

    def states(self) -> list[str]:
        return [each["state"] for each in self.listed()]


def _told(grid: GridProcess) -> dict[str, Any]:
    return dict(json.loads(curl(f"{grid.url}?t=json")))


def _states(grid: GridProcess) -> list[str]:
    found = _told(grid)["truckee"]["storage_directories"]
    return [each["state"] for each in found]


class ListTests(_Case):
    def test_missing(self) -> None:
        """A directory that goes missing is counted everywhere, running or not."""
        grid = self.create()
        with running(grid):
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
            self.assertEqual(self.states(), ["fine"] * 3)
            self.assertEqual([each["shares"] for each in self.listed()], [1] * 3)
            shutil.rmtree(self.node / "storage" / "1")
            eventually(lambda: _states(grid) == ["fine", "missing", "fine"])
            self.assertEqual(self.states(), ["fine", "missing", "fine"])
            self.assertIn("2 of 3 storage directories", curl(grid.url).decode())
            metrics = curl(f"{grid.url}metrics").decode()
            self.assertIn('truckee_storage_directories{state="missing"} 1.0', metrics)
            self.assertIn('truckee_storage_directories{state="fine"} 2.0', metrics)
        done = run_here("storage", "list", "-d", str(self.node))
        self.assertIn("2 of 3 storage directories are there.", done.output)
        with running(grid):
            log = grid.log()
            self.assertIn("on 2 of 3 storage directories give a file back", log)
            self.assertIn("Warning: storage directory 1: missing", log)
            self.assertIn("2 of 3 storage directories are there", log)
            connected = [each["connection_status"] for each in _told(grid)["servers"]]
            self.assertEqual(connected, ["Connected", "Not connected", "Connected"])

    def test_another_disk(self) -> None:
        """What is not the directory that was there is not used, and is named so."""
        grid = self.create()
        other = GridProcess.create(self.room / "other", needed=1, happy=1, total=1)
        place = self.node / "storage" / "1"
        place.rename(self.room / "kept")
        (other.directory / "storage" / "0").rename(place)
        self.assertEqual(self.states(), ["fine", "another disk", "fine"])
        with running(grid):
            self.assertEqual(_states(grid), ["fine", "another disk", "fine"])
            self.assertIn("another one than it was", grid.log())
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
            self.assertEqual([each.name for each in place.iterdir()], ["server-id"])
            place.rename(self.room / "other-disk")
            (self.room / "kept").rename(place)
            eventually(lambda: _states(grid) == ["fine"] * 3)
