"""
How much memory uploads take.

    python -m tests.bench.memory [--directory DIR] [--quick]

Each line is a fresh node; its peak is compared with what it used before the upload.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.source import put
from tests.processes import GridProcess, curl, running
from tests.report import report

MIB = 1 << 20
BUDGET = 128  # MiB, of the lines with many uploads; the default


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default=None)
    parser.add_argument("--quick", action="store_true", help="an eighth of the sizes")
    options = parser.parse_args()
    part = 8 if options.quick else 1
    rows = []
    config = f"[client]\nupload.memory-limit={BUDGET}MiB\n"
    for count, mib, chunked, limit in (
        (1, 4096, True, 64),
        (1, 4096, False, 64),
        (20, 128, True, BUDGET),
        (20, 128, False, BUDGET),
    ):
        size = mib * MIB // part
        with tempfile.TemporaryDirectory(dir=options.directory) as place:
            grid = GridProcess.create(Path(place) / "grid", config=config)
            with running(grid):
                # The first upload loads what every upload uses.
                curl("-T", "-", grid.url + "uri", data=b"x" * 100_000)
                idle, _ = grid.memory()
                _put_many(grid, count, size, chunked)
                _, peak = grid.memory()
        rows.append(
            {
                "uploads": count,
                "MiB each": size // MIB,
                "length": "unknown" if chunked else "known",
                "idle, MiB": idle / MIB,
                "peak over idle, MiB": (peak - idle) / MIB,
                "limit": limit,
            }
        )
    report("memory of uploads, 3-of-10, ten directories", rows)


def _put_many(grid: GridProcess, count: int, size: int, chunked: bool) -> None:
    with ThreadPoolExecutor(count) as pool:
        done = [
            pool.submit(put, grid.url + "uri", size, 0, chunked=chunked)
            for _ in range(count)
        ]
        for each in done:
            each.result()


if __name__ == "__main__":
    main()
