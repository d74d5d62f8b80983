"""Each command in bad surroundings: one sentence, its code, and no word of Python's."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.forked import Forks
from tests.hostile.storage_surroundings import storage
from tests.hostile.surroundings import Case, Places, all_cases
from tests.processes import Done, GridProcess, running

_PYTHON = re.compile(
    r"Traceback|Errno|Exception|\bNone\b|<class|object at 0x|codec|Codepoint|literal|"
    r"[a-z]Error\b|Unhandled|fault of truckee"
)


def fault_of(case: Case, done: Done) -> str:
    """Return what is wrong with how a command ended, if anything is."""
    lines = done.errors.splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    if done.code != case.code:
        return f"code {done.code} instead of {case.code}"
    if found := _PYTHON.search(done.errors):
        return f"it says {found[0]!r}"
    if "\x1b" in done.errors:
        return "it moves the cursor"
    if case.silent:
        return ""
    usage = case.code == 2 and lines[:1] and lines[0].startswith("Usage: ")
    if len(errors) != 1 or (len(lines) != 1 and not usage):
        return f"it says {len(lines)} lines"
    missing = [words for words in case.words if words not in done.errors]
    return f"it does not say {missing}" if missing else ""


def run_cases(chosen: Callable[[Sequence[Case]], Sequence[Case]]) -> tuple[int, list[str]]:
    """Run the *chosen* cases; return how many they were, and the faults."""
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        top.chmod(0o755)
        grid = GridProcess.create(top / "grid", needed=1, happy=1, total=1, storage_dirs=1)
        stack.enter_context(running(grid))
        place = top / "place"
        place.mkdir()
        places = Places(place, grid.url)
        table = [*all_cases(places, stack), *storage(places, grid.directory)]
        cases = chosen(table)
        forks = Forks()
        stack.callback(forks.close)
        faults = []
        for case in cases:
            done = forks.run(case.around, *case.arguments)
            fault = fault_of(case, done)
            if fault:
                faults.append(f"{case.name}: {fault}: {done.code} {done.errors}")
        return len(cases), faults


class SurroundingsTests(SynchronousTestCase):
    def test_commands(self) -> None:
        """Two thirds of the table; tests/soak/surroundings.py runs the whole."""
        count, faults = run_cases(lambda cases: [*cases[::3], *cases[1::3]])
        self.assertEqual(faults, [])
        self.assertGreaterEqual(count, 200)
