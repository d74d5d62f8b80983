"""
Download of one large file from ten stock servers, and from a grid in one process.

    python -m tests.bench.sequential [--mib 1024] [--runs 3] [--directory DIR]

The stock gateway and ours alternate on the same servers; ours with its cache empty, and
once more with the file in it.  The grid in one process stands beside a bare loop of block
hashes, segment hash and decryption, on the same cores; once with a client that hashes what
it takes, to compare it, and once with one that does nothing with it.  Memory is what the
gateway had at its peak over what it had before.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.bench.bare import bare_download
from tests.bench.throughput import _digest, _make
from tests.integration.stock_grid import NodeProcess, Program, grid, reaches
from tests.processes import GridProcess, curl, running
from tests.report import report

MIB = 1 << 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    size = options.mib << 20
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        place = Path(name)
        digest = _make(place / "source", size)

        def measure(what: str, url: str, resident: Callable[[], tuple[int, int]]) -> None:
            idle, _ = resident()
            started = time.perf_counter()
            if _digest(url) != digest:
                raise AssertionError("the file did not come back")
            seconds.setdefault(what, []).append(time.perf_counter() - started)
            memory.setdefault(what, []).append((resident()[1] - idle) / MIB)

        with running(GridProcess.create(place / "one")) as one:
            cap = curl("-T", str(place / "source"), f"{one.url}uri").decode()
            for _ in range(options.runs):
                seconds.setdefault("bare loop", []).append(bare_download(place, size))
                one.stop()
                one.start()
                curl("-r", "0-9", f"{one.url}uri/{cap}")
                measure("grid in one process", f"{one.url}uri/{cap}", one.memory)
                started = time.perf_counter()
                curl("-o", "/dev/null", f"{one.url}uri/{cap}")
                taken = time.perf_counter() - started
                seconds.setdefault("the same, taken only", []).append(taken)
            for share in one.shares():
                share.unlink()
        with grid(place) as on:
            config = on.ours.directory / "tahoe.cfg"
            config.write_text(config.read_text() + f"[client]\ncache.limit = {2 * size}\n")
            cap = curl("-T", str(place / "source"), f"{on.ours.url}uri").decode()
            nodes: tuple[tuple[Program, NodeProcess], ...] = (
                ("stock", on.stock),
                ("ours", on.ours),
            )
            for _ in range(options.runs):
                for program, gateway in nodes:
                    gateway.stop()
                    for entry in (on.ours.directory / "cache").glob("*/*"):
                        entry.unlink()
                    gateway.spawn(program)
                    gateway.wait_until(lambda: reaches(gateway, 10))  # noqa: B023
                    time.sleep(1.0)  # what a start does in the background
                    resident = _memory_of(gateway)
                    measure(program, gateway.file_url(cap), resident)
                    if program == "ours":
                        measure("ours, again", gateway.file_url(cap), resident)
    rows = [
        {
            "what": what,
            "seconds": median(times),
            "MB/s": size / 1e6 / median(times),
            "stock's time / this": median(seconds["stock"]) / median(times),
            "bare loop / this": median(seconds["bare loop"]) / median(times),
            "peak over idle, MiB": median(memory[what]) if what in memory else "-",
        }
        for what, times in seconds.items()
    ]
    report(f"sequential GET of {options.mib} MiB, 3-of-10", rows)


def _memory_of(node: NodeProcess) -> Callable[[], tuple[int, int]]:
    def resident() -> tuple[int, int]:
        status = Path(f"/proc/{node.process.pid}/status").read_text()
        found = dict(re.findall(r"(VmRSS|VmHWM):\s+([0-9]+) kB", status))
        return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024

    return resident


if __name__ == "__main__":
    main()
