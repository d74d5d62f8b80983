"""
How many round trips it takes to the first byte of a download.

    python -m tests.bench.first_byte [--rtt 0.1] [--mb 20] [--runs 3]

Gateways stand at the near end of a line with that round trip, ten stock servers at the far
end.  Ours and a stock gateway read the same file, each cold: it was started again and has
connections to all servers, and nothing of the file.  The first byte of the whole file, and
of its last 64 KiB, are told beside those of 64 KiB in its middle, which are in one segment.
Times are divided by the round trip; what the machine needs is in them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.links import FAR_ADDRESS, Link, thin_line
from tests.bench.thin_line import force_foolscap
from tests.bench.throughput import _make
from tests.integration.stock_grid import NodeProcess, Program, grid, reaches
from tests.processes import curl
from tests.report import report

KIB = 1024
ASKED = {
    "64 KiB in one segment": "bytes=10485760-10551295",
    "whole file": "",
    "last 64 KiB": "bytes=-65536",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt", type=float, default=0.1, help="seconds")
    parser.add_argument("--mbit", type=float, default=200, help="of the line")
    parser.add_argument("--mb", type=int, default=20, help="of the file")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        link: Link = stack.enter_context(thin_line(place, options.mbit, options.rtt))
        on = stack.enter_context(
            grid(place, gateways=(), host=FAR_ADDRESS, prefix=link.far)
        )
        force_foolscap(on.stock)
        config = on.ours.directory / "tahoe.cfg"
        config.write_text(config.read_text() + "[client]\ncache.limit = 0\n")
        on.start_gateways(("ours", "stock"))
        _make(place / "source", options.mb * 1_000_000)
        cap = curl("-T", str(place / "source"), f"{on.ours.url}uri").decode()
        nodes: tuple[tuple[Program, NodeProcess], ...] = (
            ("ours", on.ours),
            ("stock", on.stock),
        )
        trips: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.runs):
            for what, wanted in ASKED.items():
                for program, gateway in nodes:
                    gateway.stop()
                    gateway.spawn(program)
                    gateway.wait_until(lambda: reaches(gateway, 10))  # noqa: B023
                    time.sleep(2.0)  # what a start does in the background
                    seconds = first_byte(gateway.file_url(cap), wanted)
                    trips.setdefault((program, what), []).append(seconds / options.rtt)
    rows = [
        {
            "gateway": program,
            "first byte of": what,
            "round trips": median(found),
            "of one segment's": median(found) / median(trips[program, next(iter(ASKED))]),
        }
        for (program, what), found in sorted(trips.items())
    ]
    report(f"first byte, {options.rtt * 1000:g} ms", rows)


def first_byte(url: str, wanted: str) -> float:
    """Return the seconds from the request to the first byte of the file."""
    started = time.perf_counter()
    command = ["curl", "-sfN", *(["-H", f"Range: {wanted}"] if wanted else []), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        if not reading.stdout.read(1):
            raise AssertionError("nothing came")
        seconds = time.perf_counter() - started
        reading.kill()
    return seconds


if __name__ == "__main__":
    main()
