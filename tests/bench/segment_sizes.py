"""
What the size of a segment costs and gives.

    python -m tests.bench.segment_sizes [--kib 64,128,…] [--runs 3] [--thin-runs 2]
        [--mib 32] [--thin-mib 12] [--seeks 3] [--mbit 20] [--rtt 0.06]
        [--line fast|thin] [--directory DIR]

Ten storage servers of truckee, each a process, 3-of-10, over loopback and over a thin line
with that rate and round trip.  For each size a fresh gateway without a cache takes *runs*
files, each of which is read once from its first byte to its last and then at *seeks*
places, 64 KiB each.  Rates are of the file's bytes; 3.3 times as many go up.  *First byte*
is of a file that the gateway has not read before, *seek* one of a file that it knows.
*Seek bytes* came from the servers; *CPU* is the gateway's.  *Hashes* are all of a share
that is no data; *memory* is the peak over what the gateway had after a small file.
Medians.  The thin line takes root.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import define, field

from tests.bench.links import FAR_ADDRESS, thin_line
from tests.bench.player import bytes_from
from tests.bench.throughput import _make
from tests.integration.stock_grid import Grid, NodeProcess, grid
from tests.processes import curl, memory_of
from tests.report import report
from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.share import ShareLayout

KIB, MIB = 1 << 10, 1 << 20
SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)  # KiB
SOUGHT = 64 * KIB
_UPLOAD, _DOWNLOAD = "up, MB/s", "down, MB/s"
_UP_CPU, _DOWN_CPU = "up CPU, ms/MB", "down CPU, ms/MB"
_FIRST, _SEEK, _SENT = "first byte, ms", "seek, ms", "seek bytes, KiB"


@define(eq=False)
class Bench:
    """One size of segments on one line."""

    grid: Grid
    place: Path
    segment: int  # bytes
    size: int  # of a file, in bytes
    chance: random.Random
    _idle: int = field(init=False)  # bytes of memory
    found: dict[str, list[float]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        process = self.gateway.process.pid
        Path(f"/proc/{process}/clear_refs").write_text("5")  # its peak is now
        self._idle, _ = memory_of(process)

    @property
    def gateway(self) -> NodeProcess:
        """The one that is measured."""
        return self.grid.ours

    def run(self, seeks: int) -> None:
        """Measure one file."""
        source = self.place / "source"
        digest = _make(source, self.size)
        with self._measured(_UPLOAD, _UP_CPU):
            cap = curl("-T", str(source), f"{self.gateway.url}uri").decode()
        with self._measured(_DOWNLOAD, _DOWN_CPU):
            first, found = _read(self.gateway.file_url(cap))
        if found != digest:
            raise AssertionError("the file did not come back")
        self._note(_FIRST, 1000 * first)
        whole = max(1, self._geometry.segments - 1)
        for number in self.chance.sample(range(whole), min(seeks, whole)):
            self._seek(cap, source, number)
        self.grid.clear()

    def row(self, line: str) -> dict[str, object]:
        """Return what was measured."""
        _, peak = memory_of(self.gateway.process.pid)
        layout = ShareLayout.stock(self._geometry)
        hashes = layout.size - self._geometry.share_data_size
        return {
            "line": line,
            "segment, KiB": self.segment // KIB,
            **{name: median(values) for name, values in self.found.items()},
            "memory, MiB": (peak - self._idle) / MIB,
            "hashes, KiB a share": hashes / KIB,
            "hashes, % of a share": 100 * hashes / layout.size,
        }

    @property
    def _geometry(self) -> Geometry:
        return Encoding(max_segment_size=self.segment).geometry(self.size)

    @contextmanager
    def _measured(self, rate: str, cpu: str) -> Iterator[None]:
        """Note what the file takes that passes the gateway meanwhile."""
        used, started = self.gateway.cpu_time(), time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        megabytes = self.size / 1e6
        self._note(rate, megabytes / seconds)
        self._note(cpu, 1000 * (self.gateway.cpu_time() - used) / megabytes)

    def _seek(self, cap: str, source: Path, segment: int) -> None:
        """Read a little from within one segment."""
        start = segment * self._geometry.segment_size
        room = max(0, self._geometry.segment_length(segment) - SOUGHT)
        start += self.chance.randint(0, room)
        end = min(start + SOUGHT, self.size)
        before, started = self._sent(), time.perf_counter()
        body = curl("-r", f"{start}-{end - 1}", self.gateway.file_url(cap))
        self._note(_SEEK, 1000 * (time.perf_counter() - started))
        self._note(_SENT, (self._sent() - before) / KIB)
        with source.open("rb") as file:
            file.seek(start)
            if file.read(end - start) != body:
                raise AssertionError("other bytes came back")

    def _sent(self) -> int:
        return sum(map(bytes_from, self.grid.servers))

    def _note(self, what: str, value: float) -> None:
        self.found.setdefault(what, []).append(value)


def _read(url: str) -> tuple[float, str]:
    """Return the seconds to the first byte, and the hash of all."""
    state = hashlib.sha256()
    started = time.perf_counter()
    with subprocess.Popen(["curl", "-sfN", url], stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        state.update(reading.stdout.read(1))
        seconds = time.perf_counter() - started
        while chunk := reading.stdout.read(MIB):
            state.update(chunk)
    return seconds, state.hexdigest()


def _rows(on: Grid, line: str, size: int, runs: int, options: argparse.Namespace) -> None:
    """Print the table of one line."""
    config = on.ours.directory / "tahoe.cfg"
    plain = "\n".join(
        each for each in config.read_text().splitlines() if "segment_size" not in each
    )
    rows = []
    for kib in map(int, options.kib.split(",")):
        config.write_text(f"{plain}\n[client]\nshares.segment-size = {kib}KiB\n")
        on.start_gateways(("ours",))
        # What every file uses is loaded by the first one.
        cap = curl("-T", "-", f"{on.ours.url}uri", data=os.urandom(100_000)).decode()
        curl("-o", "/dev/null", on.ours.file_url(cap))
        place = config.parents[1]
        bench = Bench(on, place, kib * KIB, size, random.Random(options.seed))
        for _ in range(runs):
            bench.run(options.seeks)
        rows.append(bench.row(line))
        on.ours.stop()
    load = os.getloadavg()[0]
    report(f"segments, 3-of-10, {size >> 20} MiB, {line}, load {load:.1f}", rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kib", default=",".join(map(str, SIZES)), help="of segments")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--thin-runs", type=int, default=2)
    parser.add_argument("--mib", type=int, default=32, help="of a file")
    parser.add_argument("--thin-mib", type=int, default=12)
    parser.add_argument("--seeks", type=int, default=3)
    parser.add_argument("--mbit", type=float, default=20)
    parser.add_argument("--rtt", type=float, default=0.06, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--line", choices=("fast", "thin"), help="one of the two alone")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    if options.line is None:
        # What processes are forked from stays in the network where it was made.
        for line in ("fast", "thin"):
            again = [sys.executable, "-m", "tests.bench.segment_sizes", "--line", line]
            subprocess.run([*again, *sys.argv[1:]], check=True)
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        {"fast": _fast, "thin": _thin}[options.line](Path(name), options)


def _fast(place: Path, options: argparse.Namespace) -> None:
    with grid(place, kind="ours", gateways=(), cache=False) as on:
        _rows(on, "loopback", options.mib << 20, options.runs, options)


def _thin(place: Path, options: argparse.Namespace) -> None:
    name = f"{options.mbit:g} Mbit/s, {1000 * options.rtt:g} ms"
    with (
        thin_line(place, options.mbit, options.rtt) as link,
        grid(
            place,
            kind="ours",
            gateways=(),
            host=FAR_ADDRESS,
            prefix=link.far,
            cache=False,
        ) as on,
    ):
        _rows(on, name, options.thin_mib << 20, options.thin_runs, options)


if __name__ == "__main__":
    main()
