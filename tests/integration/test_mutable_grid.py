"""Mutable files and directories of our gateway and a stock one, on servers of both."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration import directory_crossing
from tests.integration.mutable_crossing import contend, cross
from tests.integration.stock_grid import (
    Grid,
    Program,
    Shape,
    configure,
    grid,
    reaches,
    write_node,
)
from tests.soak import WHOLE

SHAPE = Shape(3, 3, 5)
FILES, CHANGES, STEPS = (60, 100, 500) if WHOLE else (8, 10, 60)


class _Case:
    """A grid with servers of one kind."""

    kind: ClassVar[Program]
    grid: ClassVar[Grid]
    cleanup: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        with ExitStack() as stack:
            room = stack.enter_context(tempfile.TemporaryDirectory())
            cls.grid = stack.enter_context(
                grid(Path(room), servers=5, shape=SHAPE, kind=cls.kind)
            )
            cls.cleanup = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()


class StockServers(_Case, SynchronousTestCase):
    """Five stock servers."""

    kind = "stock"

    def test_cross(self) -> None:
        """Each reads, verifies, overwrites and changes what the other one made."""
        wrong = list(cross(self.grid.ours, self.grid.stock, SHAPE.needed, FILES))
        self.assertEqual(wrong, [])

    def test_contention(self) -> None:
        """
        Every change that was answered with success is there afterwards.

        A stock gateway that retries writes above what it had read before, and so may undo
        what others wrote meanwhile; so none takes part.
        """
        second = write_node(new_directory(self) / "second", self.grid.furl)
        configure(second, SHAPE)
        second.spawn("ours")
        try:
            second.wait_until(lambda: reaches(second, len(self.grid.servers)))
            found = contend([self.grid.ours, second], CHANGES)
        finally:
            second.stop()
        self.assertEqual(found.lost, [0, 0], found)
        self.assertEqual(found.succeeded, [CHANGES, CHANGES], found)

    def test_directory(self) -> None:
        """Whoever changes a directory, both gateways see the same in it."""
        wrong = list(directory_crossing.cross([self.grid.ours, self.grid.stock], STEPS))
        self.assertEqual(wrong, [])


class OurServers(_Case, SynchronousTestCase):
    """Five servers of ours."""

    kind = "ours"

    def test_cross(self) -> None:
        """The same."""
        count = FILES if WHOLE else 4
        wrong = list(cross(self.grid.ours, self.grid.stock, SHAPE.needed, count))
        self.assertEqual(wrong, [])
