"""Whole trees: what the commands of stock print against us, and against a stock gateway."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.deep_trees import TreeMaker
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import Grid, NodeProcess, Shape, grid


class _Shared:
    """The nodes of this module, and a tree."""

    cleanup = ExitStack()
    grid: Grid
    root: str


def setUpModule() -> None:
    """Run the nodes, and make a tree."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = stack.enter_context(grid(place, servers=3, shape=Shape(1, 3, 3)))
        _Shared.grid = made
        _Shared.root = TreeMaker(made.stock.url).make()
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End them."""
    _Shared.cleanup.close()


def shares_of(index: str) -> list[Path]:
    """Return the shares under a storage index."""
    shares = [share for server in _Shared.grid.servers for share in server.shares()]
    return sorted(share for share in shares if share.parent.name == index)


class StockCommandTests(SynchronousTestCase):
    def tahoe(
        self, gateway: NodeProcess, command: str, *options: str
    ) -> tuple[int, str, str]:
        """Return how a command of stock ended, and what it printed."""
        target = ["--node-url", gateway.url, *options, _Shared.root]
        done = warm.run(
            [TAHOE, "-d", str(gateway.directory), command, *target],
            check=False,
            capture_output=True,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def both(self, command: str, *options: str) -> Any:
        """Return what a command printed, which is the same against both."""
        stock, ours = (
            self.tahoe(gateway, command, *options)
            for gateway in (_Shared.grid.stock, _Shared.grid.ours)
        )
        if options == ("--raw",) and command != "stats":
            self.assertEqual(self.plain(ours[1]), self.plain(stock[1]))
        else:
            self.assertEqual(ours, stock)
        return ours

    def plain(self, printed: str) -> list[Any]:
        """Return lines without what is ours alone, and without the order of servers."""
        found = [json.loads(line) for line in printed.splitlines() if line]
        for each in found:
            each.pop("cursor", None)
            results = each.get("check-results", {}).get("results", {})
            if "servers-responding" in results:
                results["servers-responding"].sort()
        return found

    def test_whole(self) -> None:
        """Of a tree that is whole, every command and option prints the same."""
        for option in ("", "--raw", "--repair-cap"):
            code, printed, _errors = self.both("manifest", *option.split())
            self.assertEqual(code, 0)
            self.assertGreater(len(printed.splitlines()), 10)
        for option in ("-v", "--raw", "--verify --add-lease -v"):
            self.assertEqual(self.both("deep-check", *option.split())[0], 0)
        for option in ("", "--raw"):
            self.assertIn("count-files", self.both("stats", *option.split())[1])

    def test_damaged(self) -> None:
        """What is missing is told in the same words; our repair leaves nothing to tell."""
        found = {
            "/".join(each["path"]): each["storage-index"]
            for each in self.plain(self.tahoe(_Shared.grid.ours, "manifest", "--raw")[1])
            if each["type"] != "stats"
        }

        for path in ("zfile", "a", "aab/f1", "m"):
            shares_of(found[path])[0].unlink()
        share = shares_of(found["a/g1"])[0]
        data = bytearray(share.read_bytes())
        data[200] ^= 1
        share.write_bytes(data)
        for options, told in (((), "4 unhealthy"), (("--verify",), "5 unhealthy")):
            stock, ours = (
                self.tahoe(gateway, "deep-check", *options)[1]
                for gateway in (_Shared.grid.stock, _Shared.grid.ours)
            )
            self.assertEqual(ours, stock)
            self.assertIn(told, ours)
        repaired = self.tahoe(_Shared.grid.ours, "deep-check", "--verify", "--repair")
        self.assertEqual(repaired[0], 0)
        self.assertIn("5 repairs attempted, 5 successful, 0 failed", repaired[1])
        whole = self.tahoe(_Shared.grid.stock, "deep-check", "--verify")
        self.assertIn(" 0 unhealthy", whole[1])
