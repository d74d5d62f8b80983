"""Every promise of ``docs/security.md`` names a test, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "security.md"
# tests/a/test_b.py, or tests/a/test_b.py::Class, or tests/a/test_b.py::Class::test_c
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?(?:::(\w+))?`")


def promises() -> list[tuple[str, str]]:
    """Return (promise, what stands in its test column) of each row of the page's tables."""
    rows = []
    in_table = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            in_table = False
        elif cells[-1] == "test":
            in_table = True
        elif in_table and not set(cells[0]) <= {"-"}:
            rows.append((cells[0], cells[-1]))
    return rows


def names_in(tree: ast.Module) -> set[tuple[str, str]]:
    """Return (class, "") and (class, method) of each test class in a module."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found.add((node.name, ""))
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add((node.name, member.name))
    return found


class SecurityPageTests(SynchronousTestCase):
    def test_there_are_promises(self) -> None:
        """The tables are found at all."""
        self.assertGreater(len(promises()), 20)

    def test_each_promise_names_tests_that_exist(self) -> None:
        """No promise without proof, and no proof that was renamed away."""
        for promise, column in promises():
            named = _TEST.findall(column)
            self.assertTrue(named, f"no test: {promise}")
            for path, group, test in named:
                file = TOP / path
                self.assertTrue(file.is_file(), f"{path}: {promise}")
                if group:
                    tree = ast.parse(file.read_text(encoding="utf-8"))
                    self.assertIn((group, test), names_in(tree), promise)
