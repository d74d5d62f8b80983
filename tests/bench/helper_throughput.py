"""
Uploads through a helper on one machine: ours, and a stock client with a stock helper.

    python -m tests.bench.helper_throughput [--mib 1024] [--runs 1] [--own]
        [--layers] [--directory DIR]

Both use the same ten stock storage servers; with --own ours uses ten truckee servers, and
nothing of it is stock.  Each run is of all three, in turn.  The memory is what each process
has at most during the upload, more than before it.  --layers tells which layers our
gateway's and our helper's processor time goes to; it needs py-spy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import get_args

from tests.bench.layers import recording, rows
from tests.bench.throughput import _digest, _make
from tests.integration.stock_grid import (
    Grid,
    NodeProcess,
    Program,
    grid,
    reaches,
    use_helper,
    write_helper,
)
from tests.processes import curl
from tests.report import report

MIB = 1 << 20
WAYS: tuple[tuple[str, Program, str], ...] = (
    ("truckee, known size", "ours", "-T"),
    ("truckee, unknown size", "ours", "-T-"),
    ("stock client, stock helper", "stock", "-T"),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--own", action="store_true", help="on truckee's servers")
    parser.add_argument("--layers", action="store_true", help="where the CPU time goes")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(directory))
        grids = _grids(stack, place, options.own)
        helpers = {kind: _helper(stack, place, made, kind) for kind, made in grids.items()}
        time.sleep(2)
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(options.runs):
            for name, kind, how in WAYS:
                made, source = grids[kind], place / "source"
                found = _run(_gateway(made, kind), helpers[kind], how, source, options.mib)
                runs.setdefault(name, []).append(found)
                made.clear()
        _print(runs, options)
        for name, kind, how in WAYS:
            if options.layers and kind == "ours":
                _print_layers(name, how, grids[kind], helpers[kind], place, options.mib)


def _gateway(made: Grid, kind: Program) -> NodeProcess:
    return made.ours if kind == "ours" else made.stock


def _print(runs: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    middle = {
        name: {column: median(run[column] for run in each) for column in each[0]}
        for name, each in runs.items()
    }
    slowest = middle["stock client, stock helper"]["seconds"]
    servers = "ten servers of its own program each" if options.own else "ten stock servers"
    report(
        f"through a helper, {options.mib} MiB, 3-of-10, {servers}",
        [
            {"what": name, "times faster": slowest / each["seconds"], **each}
            for name, each in middle.items()
        ],
    )


def _grids(stack: ExitStack, place: Path, own: bool) -> dict[Program, Grid]:
    """Return the grid of each program, which is the same one unless each has its own."""
    made: dict[Program, Grid] = {}
    for kind in get_args(Program):
        if own or not made:
            room = place / f"grid-{kind}"
            room.mkdir()
            program: Program = kind if own else "stock"
            made[kind] = stack.enter_context(grid(room, kind=program, gateways=()))
        else:
            made[kind] = next(iter(made.values()))
    return made


def _helper(stack: ExitStack, place: Path, made: Grid, kind: Program) -> NodeProcess:
    """Run a helper on a grid, and the gateway that uses it."""
    helper = write_helper(place / f"helper-{kind}", made.furl)
    stack.callback(helper.stop)
    helper.spawn(kind)
    helper.wait_until(partial(reaches, helper, len(made.servers)))
    use_helper(_gateway(made, kind), helper.helper_furl)
    made.start_gateways([kind])
    return helper


def _run(
    gateway: NodeProcess, helper: NodeProcess, how: str, source: Path, mib: int
) -> dict[str, float]:
    digest = _make(source, mib * MIB)
    nodes = {"gateway": gateway, "helper": helper}
    curl("-T", "-", f"{gateway.url}uri", data=b"x" * 3_000_000)  # loads what it uses
    idle = {name: _memory(node, "VmRSS") for name, node in nodes.items()}
    cpu = {name: node.cpu_time() for name, node in nodes.items()}
    for node in nodes.values():
        Path(f"/proc/{node.process.pid}/clear_refs").write_text("5")  # forget the peak
    started = time.perf_counter()
    if how == "-T-":
        cap = curl("-T", "-", f"{gateway.url}uri", data=source.read_bytes()).decode()
    else:
        cap = curl("-T", str(source), f"{gateway.url}uri").decode()
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "MB/s": mib * MIB / 1e6 / seconds}
    for name, node in nodes.items():
        found[f"{name} CPU s"] = node.cpu_time() - cpu[name]
        found[f"{name} MiB over idle"] = (_memory(node, "VmHWM") - idle[name]) / MIB
    if _digest(gateway.file_url(cap)) != digest:
        raise AssertionError("the file did not come back")
    return found


def _print_layers(
    name: str, how: str, made: Grid, helper: NodeProcess, place: Path, mib: int
) -> None:
    """Sample gateway and helper during one more upload."""
    nodes = {"gateway": made.ours, "helper": helper}
    with ExitStack() as recordings:
        sampled = {
            end: recordings.enter_context(
                recording(node.process.pid, place / f"samples-{end}")
            )
            for end, node in nodes.items()
        }
        found = _run(made.ours, helper, how, place / "source", mib)
    for end, each in sampled.items():
        cost = 1000 * found[f"{end} CPU s"] / mib
        report(f"layers of the {end}, {name}", rows(each.layers, cost))
    made.clear()


def _memory(node: NodeProcess, what: str) -> int:
    """Return bytes of resident memory, now or at the peak (Linux)."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
