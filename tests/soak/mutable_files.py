"""
Mutable files of our gateway and of stock's, made and changed by both, and by both at once.

    python -m tests.soak.mutable_files [--files 40] [--changes 100] [--kinds stock,ours]
        [--shapes 0,1,2,3,4] [--transport foolscap]

For each kind of ten storage servers and each of five shapes (k, N), *files* files cross
from one gateway to the other: each is made by one, read, verified and overwritten by the
other, written at an offset, grown, shrunk, and verified by both.  Then two gateways of ours
make *changes* changes each to one file at once, and once more together with one of stock.
A stock gateway that retries writes above what it had read before, which may undo what
others wrote: what is lost beside it is told apart.  The exit code is 1 when anything was
wrong, or a change was lost that was answered with success while none of stock wrote.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.integration.mutable_crossing import Contention, contend, cross
from tests.integration.stock_grid import (
    SHAPES,
    Grid,
    NodeProcess,
    Program,
    configure,
    grid,
    reaches,
    write_node,
)
from tests.integration.transports import Transport, write_servers
from tests.report import report


def second_gateway(made: Grid, directory: Path) -> NodeProcess:
    """Return another gateway of ours on the same grid, which runs."""
    node = write_node(directory / "second", made.furl)
    configure(node, SHAPES[0])
    node.spawn("ours")
    node.wait_until(partial(reaches, node, len(made.servers)))
    return node


def run(
    kind: Program, chosen: list[int], files: int, changes: int, transport: Transport
) -> tuple[list[str], int]:
    """Print what was seen with servers of one *kind*; return what was wrong, and lost."""
    wrong: list[str] = []
    lost = 0
    with tempfile.TemporaryDirectory() as room, grid(Path(room), kind=kind) as made:
        rows: list[dict[str, object]] = []
        made.ours.stop()
        write_servers(made.ours, made.servers, transport)
        made.start_gateways(("ours",))
        for number in chosen:
            shape, began = SHAPES[number], time.monotonic()
            made.restart_gateways(shape)
            found = list(cross(made.ours, made.stock, shape.needed, files, number * 1000))
            wrong += [f"{shape.needed}-of-{shape.total}: {each}" for each in found]
            rows.append(
                {
                    "servers": kind,
                    "ours over": transport,
                    "shape": f"{shape.needed}-of-{shape.total}",
                    "files": files,
                    "wrong": len(found),
                    "seconds": time.monotonic() - began,
                }
            )
        report("mutable files that cross", rows)
        if changes:
            made.restart_gateways(SHAPES[0])
            second = second_gateway(made, Path(room))
            try:
                alone = contend([made.ours, second], changes)
                beside = contend([made.ours, second, made.stock], changes)
            finally:
                second.stop()
            lost = sum(alone.lost)
            _report(f"alone, servers of {kind}", alone)
            _report(f"beside stock, servers of {kind}", beside)
    return wrong, lost


def _report(where: str, seen: Contention) -> None:
    names = ("ours", "ours, the second", "stock")
    report(
        f"changes to one file at once, {where}",
        [
            {"gateway": name, "answered 200": done, "of these lost": lost, "refused": no}
            for name, done, lost, no in zip(
                names, seen.succeeded, seen.lost, seen.refused, strict=False
            )
        ],
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=40, help="of each shape")
    parser.add_argument("--changes", type=int, default=100, help="of each gateway")
    parser.add_argument("--kinds", default="stock,ours", help="of the servers")
    parser.add_argument("--shapes", default="0,1,2,3,4", help=f"0 to {len(SHAPES) - 1}")
    parser.add_argument(
        "--transport",
        choices=("foolscap", "https"),
        default="foolscap",
        help="of our first gateway; the others choose for themselves",
    )
    options = parser.parse_args()
    kinds: list[Program] = [
        "ours" if each == "ours" else "stock" for each in options.kinds.split(",")
    ]
    wrong: list[str] = []
    lost = 0
    for kind in kinds:
        shapes = [int(each) for each in options.shapes.split(",")]
        found, gone = run(kind, shapes, options.files, options.changes, options.transport)
        wrong += found
        lost += gone
    for each in wrong:
        print(each)
    sys.exit(bool(wrong or lost))


if __name__ == "__main__":
    main()
