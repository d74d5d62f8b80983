"""``setup.cfg`` admits no version with a fault known to ``docs/releasing.md``."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).parents[1]
_ROW = re.compile(r"^\| ([A-Za-z0-9_-]+) \| ([0-9.]+) \|", re.MULTILINE)
_FLOOR = re.compile(r"^([A-Za-z0-9_-]+)(?:\[[\w,]+\])? >= ([0-9.]+)$")


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _floors() -> dict[str, tuple[int, ...]]:
    """Return the lowest version admitted of each dependency, by its name in lower case."""
    config = ConfigParser()
    config.read(TOP / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    found = (_FLOOR.match(line.strip()) for line in lines if line.strip())
    return {match[1].lower(): _version(match[2]) for match in found if match is not None}


class RequirementTests(SynchronousTestCase):
    def test_every_dependency_has_a_lowest_version(self) -> None:
        """Nothing is installed in whatever version happens to be there."""
        config = ConfigParser()
        config.read(TOP / "setup.cfg")
        lines = config["options"]["install_requires"].split()
        self.assertEqual(len(_floors()), sum(1 for word in lines if word == ">="))

    def test_no_known_fault_is_admitted(self) -> None:
        """A dependency is at least as new as the release checklist says it must be."""
        rows = _ROW.findall((TOP / "docs" / "releasing.md").read_text(encoding="utf-8"))
        self.assertGreater(len(rows), 4)
        floors = _floors()
        for name, oldest in rows:
            self.assertGreaterEqual(floors[name.lower()], _version(oldest), name)
