"""
Directories that a stock gateway makes on storage servers of both programs.

``python -m tests.soak.stock_directories`` does it with a hundred, on ten servers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.directories import Directories, Health, directories
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import Program, Shape

MADE = 2
BEFORE: Sequence[Program] = ("ours", "stock", "ours")
AFTER: Sequence[Program] = ("stock", "ours", "stock")


class _Shared:
    """The nodes of this module."""

    cleanup = ExitStack()
    grid: Directories


def setUpModule() -> None:
    """Run the servers."""
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _Shared.grid = stack.enter_context(directories(place, BEFORE, Shape(2, 3, 3)))
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End them."""
    _Shared.cleanup.close()


class StockDirectoryTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """
        Every share of every directory is there and whole, over each transport; what is
        lost is repaired; and each program goes on with what the other one stored.
        """
        grid, all_whole = _Shared.grid, Health(MADE + 1, MADE + 1)
        grid.use("foolscap")
        grid.make(MADE)
        self.assertEqual((grid.check(), grid.short()), (all_whole, 0))
        grid.use("https")
        grid.lose(lambda paths: sorted(paths)[:1])
        self.assertEqual((grid.check(), grid.short()), (Health(MADE + 1, 0), MADE + 1))
        self.assertEqual(grid.repair(), MADE + 1)
        self.assertEqual((grid.check(), grid.short()), (all_whole, 0))
        grid.stop()
        grid.start(AFTER)
        grid.use("https")
        for number in range(MADE):
            grid.put(f"d{number}/later", b"said later")
            self.assertEqual(grid.names(f"d{number}"), ["file", "later", "text"])
        self.assertEqual((grid.check(), grid.short()), (all_whole, 0))
