"""
A deep check during which one server of ten is frozen.

    python -m tests.soak.frozen_server [--objects 5000] [--verify]

On ten stock servers a tree of mutable directories with 49 files in each is checked while
all servers are well, while one is frozen from the start, and while one is frozen in the
middle, each of these between two healthy checks.  Shows how much longer it takes, and in
how many lines the results name the server that did not answer.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.deep_operations import lines_of, make_tree
from tests.integration.stock_grid import Grid, NodeProcess, grid, reaches
from tests.report import report

VICTIM = 4


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args()
    kind = "stream-deep-check" + ("&verify=true" if options.verify else "")
    with (
        tempfile.TemporaryDirectory() as room,
        grid(Path(room), cache=False, gateways=("ours",)) as made,
    ):
        root = make_tree(made.ours, options.objects)
        _compare(made, root, kind)


def _compare(made: Grid, root: str, kind: str) -> None:
    half = sum(1 for _ in lines_of(made.ours.url, root, "stream-manifest")) // 2
    before, rows = _checked(made, root, kind, None), []
    for name, after in (("from the start", 0), ("in the middle", half)):
        frozen = _checked(made, root, kind, after)
        behind = _checked(made, root, kind, None)
        healthy = (before["seconds"] + behind["seconds"]) / 2
        rows.append(
            {
                "frozen": name,
                "lines": frozen["lines"],
                "healthy, s": healthy,
                "frozen, s": frozen["seconds"],
                "ratio": frozen["seconds"] / healthy,
                "longest wait, s": frozen["longest"],
                "not healthy": frozen["sick"],
                "naming it": frozen["named"],
                "not healthy, before and after": before["sick"] + behind["sick"],
            }
        )
        print(rows[-1], flush=True)
        before = behind
    report("deep checks with a frozen server", rows)


def _checked(made: Grid, root: str, kind: str, after: int | None) -> dict[str, Any]:
    """Return what a deep check was like; a server is frozen *after* so many lines."""
    victim = made.servers[VICTIM]
    found: dict[str, Any] = {"lines": 0, "sick": 0, "named": 0, "longest": 0.0}
    begin = last = time.monotonic()
    with _thawed(made, victim):
        if after == 0:
            victim.process.send_signal(signal.SIGSTOP)
        for line in lines_of(made.ours.url, root, kind):
            now = time.monotonic()
            found["longest"], last = max(found["longest"], now - last), now
            found["lines"] += 1
            if found["lines"] == after:
                victim.process.send_signal(signal.SIGSTOP)
            results = json.loads(line).get("check-results", {}).get("results", {})
            found["sick"] += results.get("healthy") is False
            found["named"] += bool(results.get("servers-not-responding"))
        found["seconds"] = time.monotonic() - begin
    return found


@contextmanager
def _thawed(made: Grid, victim: NodeProcess) -> Iterator[None]:
    """Let *victim* run at the end, until the gateway has it again."""
    try:
        yield
    finally:
        victim.process.send_signal(signal.SIGCONT)
        made.ours.wait_until(partial(reaches, made.ours, len(made.servers)))


if __name__ == "__main__":
    main()
