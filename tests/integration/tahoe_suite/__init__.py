"""
Tahoe-LAFS's own command-line and web tests, with our gateway in the place of its own.

Tahoe-LAFS's package has its tests in it.  They run in a process of their own (``running``),
where nothing of ours is but what starts our gateway; ``outcomes`` has what came of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.integration.tahoe_suite.skips import SKIPS
from tests.processes import python_path

TIME = 1800.0  # seconds, for all of them on a busy machine

# Below ``allmydata.test``.
MODULES = (
    "cli.test_put",
    "cli.test_check",
    "cli.test_cp",
    "cli.test_backup",
    "cli.test_list",
    "cli.test_mv",
    "cli.test_create_alias",
    "cli.test_cli",
    "cli.test_status",
    "test_deepcheck",
    "web.test_grid",
)


@frozen
class Outcome:
    """What became of one test."""

    good: bool
    asked: bool  # whether our gateway ran for it
    why: str  # the end of what it said of its failure


def outcomes(names: Sequence[str] = MODULES) -> Mapping[str, Outcome]:
    """Return what became of each test in modules, classes or tests of these *names*."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        told = place / "told.json"
        command = [sys.executable, "-m", "tests.integration.tahoe_suite.running"]
        with (place / "log").open("wb") as log:
            subprocess.run(
                [*command, str(told), *(f"allmydata.test.{each}" for each in names)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place,
                env=os.environ | {"PYTHONPATH": python_path(Path.cwd())},
                timeout=TIME,
            )
        if not told.exists():
            raise AssertionError((place / "log").read_text(errors="replace")[-5000:])
        found = json.loads(told.read_text())
    return {test: Outcome(*each) for test, each in found.items()}


def wrong(found: Mapping[str, Outcome]) -> Iterable[str]:
    """Give what is not as the list of skips has it."""
    for test, outcome in sorted(found.items()):
        if not outcome.good and test not in SKIPS:
            yield f"{test} fails: {outcome.why}"
        if outcome.good and test in SKIPS:
            yield f"{test} passes: take it off the list"
