"""
Uploads through a helper on one machine: ours, and a stock client with a stock helper.

    python -m tests.bench.helper_throughput [--mib 1024] [--runs 1] [--directory DIR]

Both use the same ten stock storage servers.  The memory is what each process has at most
during the upload, more than before it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.throughput import _digest, _make
from tests.integration.stock_grid import (
    NodeProcess,
    grid,
    reaches,
    use_helper,
    write_helper,
)
from tests.processes import curl
from tests.report import report

MIB = 1 << 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(directory))
        servers = stack.enter_context(grid(place, gateways=()))
        helpers: dict[str, NodeProcess] = {}
        for kind, gateway in (("ours", servers.ours), ("stock", servers.stock)):
            helper = write_helper(place / f"helper-{kind}", servers.furl)
            stack.callback(helper.stop)
            helper.spawn("ours" if kind == "ours" else "stock")
            helper.wait_until(partial(reaches, helper, len(servers.servers)))
            use_helper(gateway, helper.helper_furl)
            helpers[kind] = helper
        servers.start_gateways()
        time.sleep(2)
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(options.runs):
            for name, kind, how in (
                ("truckee, known size", "ours", "-T"),
                ("truckee, unknown size", "ours", "-T-"),
                ("stock client, stock helper", "stock", "-T"),
            ):
                gateway = servers.ours if kind == "ours" else servers.stock
                found = _run(gateway, helpers[kind], how, place / "source", options.mib)
                rows.setdefault(name, []).append(found)
                servers.clear()
    middle = {
        name: {column: median(run[column] for run in runs) for column in runs[0]}
        for name, runs in rows.items()
    }
    slowest = middle["stock client, stock helper"]["seconds"]
    report(
        f"through a helper, {options.mib} MiB, 3-of-10, ten stock servers",
        [
            {"what": name, "times faster": slowest / each["seconds"], **each}
            for name, each in middle.items()
        ],
    )


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


def _memory(node: NodeProcess, what: str) -> int:
    """Return bytes of resident memory, now or at the peak (Linux)."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
