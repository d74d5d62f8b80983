"""
Upload and download of one large file beside the bare loop of the same primitives.

    python -m tests.bench.throughput [--mib 1024] [--runs 3] [--directory DIR]

Runs alternate, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench.bare import bare_upload
from tests.processes import GridProcess, curl, running
from tests.report import report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    size = options.mib << 20
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        source = Path(place) / "source"
        digest = _make(source, size)
        with running(GridProcess.create(Path(place) / "grid")) as grid:
            for _ in range(options.runs):
                bare = bare_upload(Path(place), size, sync=False)
                seconds.setdefault("bare loop", []).append(bare)
                bare = bare_upload(Path(place), size, sync=True)
                seconds.setdefault("bare loop, durable", []).append(bare)
                before = grid.cpu_time()
                started = time.perf_counter()
                cap = curl("-T", str(source), grid.url + "uri").decode()
                seconds.setdefault("truckee PUT, durable", []).append(
                    time.perf_counter() - started
                )
                seconds.setdefault("  its processor time", []).append(
                    grid.cpu_time() - before
                )
                before, started = grid.cpu_time(), time.perf_counter()
                found = _digest(f"{grid.url}uri/{cap}")
                seconds.setdefault("truckee GET", []).append(time.perf_counter() - started)
                seconds.setdefault("  the GET's processor time", []).append(
                    grid.cpu_time() - before
                )
                if found != digest:
                    raise AssertionError("the file did not come back")
                for share in grid.shares():
                    share.unlink()
    base = median(seconds["bare loop"])
    durable = median(seconds["bare loop, durable"])
    report(
        f"throughput, {options.mib} MiB, 3-of-10, ten directories",
        [
            {
                "what": name,
                "seconds": median(times),
                "MB/s": size / 1e6 / median(times),
                "of the bare loop": base / median(times),
                "of the durable one": durable / median(times),
            }
            for name, times in seconds.items()
        ],
    )


def _make(path: Path, size: int) -> str:
    """Fill *path* with random bytes and return their hash."""
    state = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size >> 20):
            data = os.urandom(1 << 20)
            state.update(data)
            file.write(data)
    return state.hexdigest()


def _digest(url: str) -> str:
    state = hashlib.sha256()
    with subprocess.Popen(["curl", "-sf", url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            state.update(chunk)
    return state.hexdigest()


def get(url: str, place: Path) -> str:
    """Write a file of a gateway to *place*; what is in it is looked at later."""
    return curl("-o", str(place), url).decode()


def hash_of(place: Path) -> str:
    """Return the hash of a file, as ``_make`` does."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
