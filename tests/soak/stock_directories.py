"""
Directories of a stock gateway on our storage servers, and on ours and stock ones together.

    python -m tests.soak.stock_directories [--directories 100] [--servers 10] [--ours 10,5]
        [--transports foolscap,https] [--place DIR]

A stock gateway makes directories in a directory, fills and renames them, over one
transport alone.  Every byte is checked; two shares of each are lost, and repaired; then
each server is run by the other program over the same directory, and all is checked and
written once more.  "short" counts on the disks: directories of which a share is missing or
is an old one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.integration import stock_grid
from tests.integration.directories import Directories, directories
from tests.integration.stock_grid import Program, Shape
from tests.integration.transports import Transport
from tests.report import report

TRANSPORTS: Sequence[Transport] = ("foolscap", "https")


def run(
    grid: Directories, programs: Sequence[Program], transport: Transport, count: int
) -> dict[str, object]:
    """Return what was seen."""
    begin, chance = time.monotonic(), random.Random(count)
    grid.use(transport)
    grid.make(count)
    made, short_made = grid.check(), grid.short()
    grid.lose(lambda paths: chance.sample(sorted(paths), min(2, len(paths) - 1)))
    lost = grid.check()
    grid.repair()
    repaired, short_repaired = grid.check(), grid.short()
    grid.stop()
    grid.start([other(program) for program in programs])
    grid.use(transport)
    taken = grid.check()
    for number in range(count):
        grid.put(f"d{number}/later", b"said later")
    rewritten, short_rewritten = grid.check(), grid.short()
    listed = count - sum(
        grid.names(f"d{number}") != ["file", "later", "text"] for number in range(count)
    )
    return {
        "servers of ours": programs.count("ours"),
        "of stock": programs.count("stock"),
        "transport": transport,
        # The directory that they are in counts too.
        "directories": made.directories,
        "whole": made.whole,
        "short": short_made,
        "after a loss": lost.whole,
        "repaired": repaired.whole,
        "still short": short_repaired,
        "with the other program": taken.whole,
        "written again": rewritten.whole,
        "short then": short_rewritten,
        "listed right": listed,
        "seconds": time.monotonic() - begin,
    }


def other(program: Program) -> Program:
    """Return the other program."""
    return "ours" if program == "stock" else "stock"


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directories", type=int, default=100)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--ours", default="10,5", help="how many of them are ours")
    parser.add_argument("--transports", default=",".join(TRANSPORTS))
    parser.add_argument("--place", default=None, help="where the nodes are made")
    options = parser.parse_args()
    # So many nodes start slowly, on a busy machine more so.
    stock_grid.START_TIME = 900.0  # type: ignore[attr-defined]
    shape = Shape(3, min(7, options.servers), options.servers)
    rows = []
    for ours in map(int, options.ours.split(",")):
        for transport in (each for each in TRANSPORTS if each in options.transports):
            stock = options.servers - ours
            programs: list[Program] = []
            programs += ["ours"] * ours
            programs += ["stock"] * stock
            with (
                tempfile.TemporaryDirectory(dir=options.place) as name,
                directories(Path(name), programs, shape) as grid,
            ):
                rows.append(run(grid, programs, transport, options.directories))
                report("directories of a stock gateway", rows[-1:])
    report("directories of a stock gateway, all", rows)


if __name__ == "__main__":
    main()
