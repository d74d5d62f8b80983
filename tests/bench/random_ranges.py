"""
Random ranges of 64 KiB in a large file, through a stock gateway and through ours.

    python -m tests.bench.random_ranges [--mib 1024] [--ranges 60] [--starts 5]
        [--directory DIR]

Ten stock servers, 3-of-10.  The gateways alternate on the same ranges.  *first* is the
first range after a gateway was started, *cold* one whose segment it has not seen, *warm*
one that it was asked for before.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from attrs import define, field

from tests.bench.throughput import _make
from tests.integration.stock_grid import Grid, NodeProcess, Program, grid, reaches
from tests.processes import curl
from tests.report import report

LENGTH = 64 << 10  # bytes
SEGMENT = 1048578  # bytes, at 3-of-10

GATEWAYS: Sequence[Program] = ("stock", "ours")


@define
class Bench:
    """One file, and what its ranges took."""

    grid: Grid
    source: Path
    cap: str
    chance: random.Random
    seconds: dict[tuple[str, str], list[float]] = field(factory=dict)

    def gateway(self, name: Program) -> NodeProcess:
        """Return a gateway."""
        return self.grid.stock if name == "stock" else self.grid.ours

    def first(self, starts: int) -> None:
        """Measure the first range of fresh processes."""
        for _ in range(starts):
            for name in GATEWAYS:
                gateway = self.gateway(name)
                gateway.stop()
                gateway.spawn(name)
                gateway.wait_until(partial(reaches, gateway, len(self.grid.servers)))
                time.sleep(1.0)  # what a start does in the background
                _answer(f"{gateway.url}?t=json", {})
            [offset] = self._offsets(1)
            for name in GATEWAYS:
                self._range("first", name, offset)

    def again(self, count: int) -> None:
        """Measure ranges in segments that are new, and the same once more."""
        offsets = self._offsets(count)
        for how in ("cold", "warm"):
            for offset in offsets:
                for name in self.chance.sample(GATEWAYS, 2):
                    self._range(how, name, offset)

    def _offsets(self, count: int) -> list[int]:
        """Return where ranges begin, each in a segment of its own and not across two."""
        segments = self.source.stat().st_size // SEGMENT
        return [
            number * SEGMENT + self.chance.randrange(SEGMENT - LENGTH)
            for number in self.chance.sample(range(segments), count)
        ]

    def _range(self, how: str, name: Program, offset: int) -> None:
        url = self.gateway(name).file_url(self.cap)
        started = time.perf_counter()
        body = _answer(url, {"Range": f"bytes={offset}-{offset + LENGTH - 1}"})
        taken = time.perf_counter() - started
        with self.source.open("rb") as file:
            file.seek(offset)
            if file.read(LENGTH) != body:
                raise AssertionError("other bytes came back")
        self.seconds.setdefault((how, name), []).append(taken)


def _answer(url: str, headers: dict[str, str]) -> bytes:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", target, headers=headers)
    body = connection.getresponse().read()
    connection.close()
    return body


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--ranges", type=int, default=60)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name, grid(Path(name)) as on:
        source = Path(name) / "source"
        _make(source, options.mib << 20)
        cap = curl("-T", str(source), f"{on.ours.url}uri").decode()
        bench = Bench(on, source, cap, random.Random(options.seed))
        bench.first(options.starts)
        bench.again(options.ranges)
    rows = []
    for (how, gateway), times in bench.seconds.items():
        stock = median(bench.seconds[how, "stock"])
        rows.append(
            {
                "range": how,
                "gateway": gateway,
                "ranges": len(times),
                "median, ms": 1000 * median(times),
                "90 %, ms": 1000 * quantiles(times, n=10)[-1],
                "of stock's median": median(times) / stock,
            }
        )
    report(f"64 KiB of {options.mib} MiB, 3-of-10, ten stock servers", rows)


if __name__ == "__main__":
    main()
