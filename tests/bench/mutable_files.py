"""
Mutable files on ten stock storage servers, through a stock gateway and through ours.

    python -m tests.bench.mutable_files [--mib 64] [--small 20] [--runs 1] [--only ours]
        [--directory DIR]

An MDMF file of *mib* MiB goes up and down, each time another one, with the gateway's
processor time and its memory over idle.  Then *small* SDMF files of 10 KiB are made,
overwritten and read, one after the other.  The gateways alternate.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from attrs import define, field

from tests.bench.throughput import _digest, _make
from tests.integration.stock_grid import Grid, NodeProcess, grid
from tests.processes import curl, memory_of
from tests.report import report

MIB = 1 << 20
SMALL = 10 << 10  # bytes


@define
class Measured:
    """What was measured of one gateway."""

    seconds: dict[str, list[float]] = field(factory=dict)
    cpu: dict[str, list[float]] = field(factory=dict)  # seconds of the gateway's time
    memory: dict[str, int] = field(factory=dict)  # bytes over idle, at the peak


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--small", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", choices=("ours", "stock"), default=None)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as room:
        place = Path(room)
        with grid(place) as made:
            gateways = {"ours": made.ours, "stock": made.stock}
            if options.only:
                gateways = {options.only: gateways[options.only]}
            for gateway in gateways.values():
                # The first file loads what every file uses.
                curl("-T", "-", f"{gateway.url}uri?format=MDMF", data=b"x" * 100_000)
            found = {name: Measured() for name in gateways}
            for _ in range(options.runs if options.mib else 0):
                for name, gateway in gateways.items():
                    _long(made, gateway, found[name], place / "source", options.mib)
            for _ in range(options.small):
                for name, gateway in gateways.items():
                    _short(gateway, found[name])
            _report(found, options)


def _long(
    made: Grid, gateway: NodeProcess, found: Measured, source: Path, mib: int
) -> None:
    """Let one long file go up and down."""
    digest = _make(source, mib * MIB)
    idle, _ = memory_of(gateway.process.pid)
    with _Timed(gateway, found, "MDMF up"):
        upload = ["-T", str(source), f"{gateway.url}uri?format=MDMF"]
        cap = curl(*upload).decode()
    found.memory["MDMF up"] = memory_of(gateway.process.pid)[1] - idle
    with _Timed(gateway, found, "MDMF down"):
        back = _digest(gateway.file_url(cap))
    found.memory["MDMF down"] = memory_of(gateway.process.pid)[1] - idle
    if back != digest:
        raise AssertionError("the file did not come back")
    made.clear()


def _short(gateway: NodeProcess, found: Measured) -> None:
    """Make, overwrite and read one short file."""
    first, second = os.urandom(SMALL), os.urandom(SMALL)
    with _Timed(gateway, found, "SDMF made"):
        cap = curl("-T", "-", f"{gateway.url}uri?format=SDMF", data=first).decode()
    with _Timed(gateway, found, "SDMF overwritten"):
        curl("-T", "-", gateway.file_url(cap), data=second)
    with _Timed(gateway, found, "SDMF read"):
        back = curl(gateway.file_url(cap))
    if back != second:
        raise AssertionError("the file did not come back")


@define
class _Timed:
    """Measures what is done within."""

    gateway: NodeProcess
    found: Measured
    what: str
    began: float = field(default=0.0, init=False)
    cpu: float = field(default=0.0, init=False)

    def __enter__(self) -> None:
        self.cpu = self.gateway.cpu_time()
        self.began = time.perf_counter()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            seconds = time.perf_counter() - self.began
            self.found.seconds.setdefault(self.what, []).append(seconds)
            cpu = self.gateway.cpu_time() - self.cpu
            self.found.cpu.setdefault(self.what, []).append(cpu)


def _report(found: dict[str, Measured], options: argparse.Namespace) -> None:
    ours = found.get("ours", next(iter(found.values())))
    rows: list[dict[str, object]] = []
    for what in ours.seconds:
        for name, each in found.items():
            seconds = median(each.seconds[what])
            rows.append(
                {
                    "what": f"{what}, {name}",
                    "seconds": seconds,
                    "MB/s": options.mib * MIB / 1e6 / seconds if "MDMF" in what else "",
                    "CPU seconds": median(each.cpu[what]),
                    "over idle, MiB": each.memory.get(what, 0) / MIB or "",
                    "seconds / ours": seconds / median(ours.seconds[what]),
                }
            )
    report(f"mutable files, MDMF of {options.mib} MiB, SDMF of 10 KiB", rows)


if __name__ == "__main__":
    main()
