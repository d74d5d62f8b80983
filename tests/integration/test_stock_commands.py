"""Stock's ``tahoe`` command with our gateways does what it does with stock's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from difflib import unified_diff
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock_command_rows import TABLE
from tests.integration.stock_commands import Seen, Terminal, make_files, normal
from tests.integration.stock_grid import Grid, Shape, grid
from tests.integration.stock_requests import REQUESTS, seen
from tests.processes import SharedNode

SHAPE = Shape(2, 3, 3)


class _Shared:
    """The nodes of this module, and what was seen of stock's gateway."""

    cleanup = ExitStack()
    place: Path
    grid: Grid
    stock: list[Seen]


embedded = SharedNode(happy=3, config="[client]\ncache.limit = 0\n")


def setUpModule() -> None:
    """Type all commands for stock's gateway."""
    with ExitStack() as stack:
        place = _Shared.place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # What was read is not kept: so what is lost is missed.
        made = _Shared.grid = stack.enter_context(
            grid(place, servers=3, shape=SHAPE, cache=False)
        )
        _Shared.stock = _type("stock", made.stock.directory, _shares_of_grid)
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End all."""
    embedded.close()
    _Shared.cleanup.close()


def _shares_of_grid() -> Iterable[Path]:
    return [path for server in _Shared.grid.servers for path in server.shares()]


def _type(name: str, node: Path, shares: Callable[[], Iterable[Path]]) -> list[Seen]:
    """Type all commands for the gateway of a *node* directory, whose *shares* are there."""
    place = _Shared.place / f"files-{name}"
    place.mkdir()
    make_files(place)

    def lose() -> None:
        lowest: dict[str, Path] = {}
        for path in sorted(shares(), key=lambda path: int(path.name)):
            lowest.setdefault(path.parent.name, path)
        for path in lowest.values():
            path.unlink()

    return list(Terminal(place, node, lose).run(TABLE))


class StockCommandTests(SynchronousTestCase):
    def _check(self, found: list[Seen]) -> None:
        wrong = []
        for row, stock, ours in zip(TABLE, _Shared.stock, found, strict=True):
            wanted = row.expected(str(stock)).splitlines()
            lines = unified_diff(wanted, str(ours).splitlines(), "wanted", "ours", n=2)
            if different := "\n".join(lines):
                wrong.append(f"tahoe {row.command}\n{different}")
        self.assertEqual(wrong, [], "\n\n".join(wrong))

    def test_stock_grid(self) -> None:
        """With our gateway on stock's servers."""
        node = _Shared.grid.ours.directory
        self._check(_type("ours", node, _shares_of_grid))

    def test_embedded_grid(self) -> None:
        """With our gateway on storage directories of its own."""
        self._check(_type("embedded", embedded().directory, embedded().shares))

    def test_reasons(self) -> None:
        """Where ours answers otherwise there is a reason, and stock still answers so."""
        for row, stock in zip(TABLE, _Shared.stock, strict=True):
            self.assertEqual(bool(row.why), bool(row.ours), row.command)
            if row.ours:
                self.assertNotEqual(row.expected(str(stock)), str(stock), row.command)

    def test_commands_work(self) -> None:
        """Stock's gateway does most of what is typed, so that there is much to compare."""
        failed = [
            row.command for row, seen in zip(TABLE, _Shared.stock, strict=True) if seen.code
        ]
        self.assertLess(len(failed), len(TABLE) // 2, failed)


class RequestTests(SynchronousTestCase):
    def test_answers(self) -> None:
        """
        Our gateway answers requests with stock's statuses, but where a row says why; and
        forms lead where they lead with stock's.
        """
        made = _Shared.grid
        stock, ours = (
            list(seen(gateway.url, REQUESTS)) for gateway in (made.stock, made.ours)
        )
        wrong = [
            f"{each.method} {each.path}: {theirs} of stock, {found} of ours"
            for each, theirs, found in zip(REQUESTS, stock, ours, strict=True)
            if not each.is_right(theirs.status, found.status) or theirs.leads != found.leads
        ]
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertTrue(all(bool(each.why) == bool(each.ours) for each in REQUESTS))


class NormalTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """What is compared is not normalised away."""
        for one, other in (
            ("a 1000", "a 1001"),
            ("URI:LIT:nbswy3dp", "URI:LIT:nbswy3dq"),
            (
                f"URI:CHK:{'a' * 26}:{'b' * 52}:2:3:9",
                f"URI:CHK:{'a' * 26}:{'b' * 52}:2:3:8",
            ),
            (f"URI:SSK:{'a' * 26}:{'b' * 52}", f"URI:MDMF:{'a' * 26}:{'b' * 52}"),
            ('{"size": 1}', '{"size": 2}'),
            ("exit 1", "exit 2"),
            ("Error: 404 Not Found", "Error: 400 Bad Request"),
        ):
            self.assertNotEqual(normal(one), normal(other))

    def test_same(self) -> None:
        """What is another one each time is."""
        for one, other in (
            (
                f"URI:CHK:{'a' * 26}:{'b' * 52}:2:3:9",
                f"URI:CHK:{'c' * 26}:{'d' * 52}:2:3:9",
            ),
            ('{"b": 1, "ctime": 1.5}', '{"ctime": 2.5, "b": 1}'),
            ("b'one reason'", "b'another'"),
        ):
            self.assertEqual(normal(one), normal(other))
