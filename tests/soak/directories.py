"""
One directory on ten stock servers, changed by our gateway and a stock one in turns.

    python -m tests.soak.directories [--steps 1000] [--children 50] [--gateways 5]

After each of *steps* random operations both gateways must tell the same of it.  Then
*gateways* of each program link *children* children each in one directory at once: those
that were answered with success must be there.  The exit code is 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.integration.directory_crossing import cross, fill
from tests.integration.stock_grid import (
    Grid,
    NodeProcess,
    Program,
    grid,
    reaches,
    write_node,
)
from tests.report import report


def more_gateways(
    made: Grid, room: Path, program: Program, count: int
) -> list[NodeProcess]:
    """Return other gateways on the same grid, which run."""
    nodes = [write_node(room / f"{program}{n}", made.furl) for n in range(count)]
    for node in nodes:
        node.spawn(program)
    for node in nodes:
        node.wait_until(partial(reaches, node, len(made.servers)))
    return nodes


def run(steps: int, children: int, gateways: int) -> Sequence[str]:
    """Print what was seen; return what was wrong."""
    with tempfile.TemporaryDirectory() as name, grid(Path(name)) as made:
        wrong = list(cross([made.ours, made.stock], steps))
        rows = [{"operations": steps, "seen otherwise by one": len(wrong)}]
        report("one directory, two gateways in turns", rows)
        ours, stock = [made.ours], [made.stock]
        try:
            ours += more_gateways(made, Path(name), "ours", gateways - 1)
            stock += more_gateways(made, Path(name), "stock", gateways - 1)
            done, lost = fill([*ours, *stock], gateways, children)
        finally:
            for node in (*ours[1:], *stock[1:]):
                node.stop()
        linked: list[dict[str, object]] = [
            {
                "gateways": f"{gateways} of {program}",
                "children": gateways * children,
                "answered with success": sum(answered),
                "of these lost": sum(name.split()[0] in numbers for name in lost),
            }
            for program, answered, numbers in (
                ("truckee", done[:gateways], {str(n) for n in range(gateways)}),
                ("stock", done[gateways:], {str(n) for n in range(gateways, 2 * gateways)}),
            )
        ]
        report(f"one directory, {2 * gateways} gateways at once", linked)
        return wrong + [f"a child that was linked is not there: {name}" for name in lost]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--children", type=int, default=50, help="of each gateway")
    parser.add_argument("--gateways", type=int, default=5, help="of each program")
    options = parser.parse_args()
    wrong = run(options.steps, options.children, options.gateways)
    for each in wrong:
        print(each)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
