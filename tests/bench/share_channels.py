"""
The ways in which bytes of shares go between our nodes, beside each other.

    python -m tests.bench.share_channels [--mib 100] [--runs 5] [--directory DIR]

Three grids, each of ten truckee servers in processes of their own and a gateway: over
foolscap alone, over HTTPS alone, and over foolscap with share channels.  Runs alternate.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.own_stack import Measured, Stack, put
from tests.bench.throughput import _make, get, hash_of
from tests.integration.stock_grid import grid
from tests.report import report

# What the gateway's configuration says, in [node] and in [client].
WAYS = {
    "foolscap": ("share-channels = false", "storage.transport = foolscap"),
    "HTTPS": ("share-channels = false", "storage.transport = https"),
    "share channels": ("share-channels = true", "storage.transport = foolscap"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(directory))
        stacks = {way: _running(stack, place / way.replace(" ", "-"), way) for way in WAYS}
        measured = _measure(stacks, place / "source", options)
    size = options.mib << 20
    report(
        f"ways of share bytes, {options.mib} MiB, 3-of-10, ten servers in processes of"
        f" their own, medians of {options.runs}",
        [
            {
                "what": f"{what}, {way}",
                "seconds": median(each.seconds),
                "MB/s": size / 1e6 / median(each.seconds),
                "gateway CPU s": median(each.gateway),
                "servers CPU s": median(each.servers),
                "whole CPU s": each.whole,
                "of foolscap's": each.whole / measured[what, "foolscap"].whole,
            }
            for (what, way), each in sorted(measured.items(), reverse=True)
        ],
    )


def _running(stack: ExitStack, place: Path, way: str) -> Stack:
    """Return a running grid whose gateway uses this way."""
    place.mkdir()
    found = Stack("ours", stack.enter_context(grid(place, kind="ours", gateways=())))
    node, client = WAYS[way]
    config = found.gateway.directory / "tahoe.cfg"
    text = config.read_text().replace("[node]\n", f"[node]\n{node}\n")
    config.write_text(text.replace("[client]\n", f"[client]\n{client}\n"))
    found.nodes.start_gateways(["ours"])
    return found


def _measure(
    stacks: dict[str, Stack], source: Path, options: argparse.Namespace
) -> dict[tuple[str, str], Measured]:
    measured: dict[tuple[str, str], Measured] = {}
    back = source.with_name("back")
    for _ in range(options.runs):
        for way, stack in stacks.items():
            digest = _make(source, options.mib << 20)
            up = measured.setdefault(("upload", way), Measured())
            cap = up.run(stack, lambda: put(stack, source))  # noqa: B023
            down = measured.setdefault(("download", way), Measured())
            url = stack.gateway.file_url(cap)
            down.run(stack, lambda: get(url, back))  # noqa: B023
            if hash_of(back) != digest:
                raise AssertionError("the file did not come back")
            stack.nodes.clear()
    return measured


if __name__ == "__main__":
    main()
