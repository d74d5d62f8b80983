"""
git-annex's own test of a remote, on a gateway of ours and on one of stock.

    python -m tests.soak.real_clients [--gateways ours,stock] [--size SIZE]

It is ``git annex testremote --fast`` on a remote of type tahoe, which calls stock's
``tahoe`` for each key.  Such a remote keeps what it has, so tests that remove a key fail
with every gateway.  The exit code is 1 when others fail with ours than with stock's, or,
where that was not tried, others than these.  It takes git-annex, and some minutes.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.integration.git_annex import INSTALLED, Repository
from tests.integration.stock import stock_node
from tests.processes import GridProcess, running
from tests.report import report

RESULT = re.compile(r"^( *)(\S.*?): +(OK|FAIL)\b")
HEADING = re.compile(r"^( *)(\S.*?)$")
REMOVALS = ("removeKey when present", "removeKey when not present", "present False")


@frozen
class Outcome:
    """What git-annex said."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float

    def row(self, gateway: str) -> dict[str, object]:
        """Return what is printed of it."""
        return {
            "gateway": gateway,
            "tests": len(self.passed) + len(self.failed),
            "passed": len(self.passed),
            "failed": len(self.failed),
            "of them removals": sum(map(is_removal, self.failed)),
            "seconds": self.seconds,
        }


def is_removal(name: str) -> bool:
    """Return whether a test takes a key away, or looks whether it is gone then."""
    return name.rpartition(" / ")[2] in REMOVALS


@contextmanager
def gateway(which: str, room: Path) -> Iterator[str]:
    """Run one over one storage directory; give its URL."""
    if which == "stock":
        storage = room / "storage"
        storage.mkdir()
        with stock_node(room / "node", storage, (1, 1, 1)) as node:
            yield node.url
        return
    made = GridProcess.create(room / "node", needed=1, happy=1, total=1, storage_dirs=1)
    with running(made) as ours:
        yield ours.url


def try_remote(url: str, room: Path, size: str) -> Outcome:
    """Return what ``testremote`` does with the gateway at *url*; its words are printed."""
    repository = Repository(room / "annex")
    repository.create(url)
    begin = time.monotonic()
    # Those that fail are counted from what is printed.
    said = repository.git(
        "annex", "testremote", "grid", "--fast", f"--size={size}", check=False
    )
    print(said)
    return parse(said, time.monotonic() - begin)


def parse(said: str, seconds: float) -> Outcome:
    """Return what *said*, a tree of tests by indentation, tells."""
    above: list[tuple[int, str]] = []
    passed: list[str] = []
    failed: list[str] = []
    for line in said.splitlines():
        found = RESULT.match(line)
        heading = found or HEADING.match(line)
        if heading is None:
            continue
        depth = len(heading[1])
        above = [each for each in above if each[0] < depth]
        if found is None:
            above.append((depth, heading[2]))
            continue
        name = " / ".join([*(text for _, text in above), found[2]])
        (passed if found[3] == "OK" else failed).append(name)
    return Outcome(tuple(passed), tuple(failed), seconds)


def main() -> None:
    """Print the table, and what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", default="ours,stock")
    parser.add_argument("--size", default="1MiB", help="of the keys")
    options = parser.parse_args()
    if not INSTALLED:
        raise SystemExit("git-annex is not installed")
    outcomes: dict[str, Outcome] = {}
    for which in options.gateways.split(","):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            room = Path(name)
            with gateway(which, room) as url:
                outcomes[which] = try_remote(url, room, options.size)
    report("git-annex", [each.row(which) for which, each in outcomes.items()])
    for which, each in outcomes.items():
        for name in each.failed:
            print(f"failed with {which}: {name}")
    ours, stock = outcomes.get("ours"), outcomes.get("stock")
    if ours is None:
        raise SystemExit(0)
    if stock is None:
        raise SystemExit(not ours.passed or not all(map(is_removal, ours.failed)))
    raise SystemExit(not ours.passed or sorted(ours.failed) != sorted(stock.failed))


if __name__ == "__main__":
    main()
