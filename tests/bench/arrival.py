"""
When the first share byte is on the disk, and when the answer comes.

    python -m tests.bench.arrival [--directory DIR] [--quick]

The first: a source of 8 MiB/s, 256 MiB; from the moment the first full segment was sent
until a share file has data.  The second: a source of 32 MiB/s; from the last byte sent to
the last byte of the answer.  The reference is the bare loop over one segment in the same
run, which is the least that both need.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.bench.bare import SEGMENT, bare_upload
from tests.bench.source import put
from tests.processes import GridProcess, curl, running
from tests.report import report

MIB = 1 << 20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    parser.add_argument("--quick", action="store_true", help="an eighth of the sizes")
    options = parser.parse_args()
    part = 8 if options.quick else 1
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        bare = bare_upload(Path(place), SEGMENT, sync=True)
        with running(GridProcess.create(Path(place) / "grid")) as grid:
            report(
                "first share byte, source at 8 MiB/s",
                [
                    _arrival(grid, 256 * MIB // part, chunked, bare)
                    for chunked in (False, True)
                ],
            )
            report(
                "last byte to answer, source at 32 MiB/s",
                [
                    _done(grid, size // part, chunked, bare)
                    for size in (64 * MIB, 2048 * MIB)
                    for chunked in (False, True)
                ],
            )


def _arrival(grid: GridProcess, size: int, chunked: bool, bare: float) -> dict[str, object]:
    seen: list[float] = []

    def look() -> None:
        if not seen and any(path.stat().st_size > 12 for path in grid.incoming()):
            seen.append(time.perf_counter())

    sent = put(grid.url + "uri", size, 8 * MIB, chunked=chunked, meanwhile=look)
    _forget(grid, sent.body)
    after = seen[0] - sent.first_segment
    return {
        "length": "unknown" if chunked else "known",
        "MiB": size // MIB,
        "ms after the first segment": after * 1e3,
        "limit": 250,
        "bare segment, ms": bare * 1e3,
        "s before the last byte": sent.last_byte - seen[0],
    }


def _done(grid: GridProcess, size: int, chunked: bool, bare: float) -> dict[str, object]:
    sent = put(grid.url + "uri", size, 32 * MIB, chunked=chunked)
    _forget(grid, sent.body)
    return {
        "length": "unknown" if chunked else "known",
        "MiB": size // MIB,
        "ms to the answer": (sent.answer - sent.last_byte) * 1e3,
        "limit": 500,
        "bare segment, ms": bare * 1e3,
    }


def _forget(grid: GridProcess, cap: bytes) -> None:
    """See that the file is there, and make room for the next."""
    curl("--range", "0-99", f"{grid.url}uri/{cap.decode()}")
    for share in grid.shares():
        share.unlink()


if __name__ == "__main__":
    main()
