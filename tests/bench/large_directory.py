"""
One directory with very many children.

    python -m tests.bench.large_directory [--children 100000] [--format SDMF]
        [--directory DIR]

Its gateway has ten storage directories of its own.  Listing it as JSON and as a page is
measured beside fetching it and reading all its entries here, in one process, with nothing
around it; adding a child, and making an immutable directory of a list, by its time and by
the gateway's memory over idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.processes import GridProcess, curl, running
from tests.report import report
from truckee.codec.caps import ChkReadCap, DirectoryCap, MutableWriteCap, parse_cap
from truckee.codec.directory_table import parse_table
from truckee.tree.directories import Directory

MIB = 1 << 20
_AT_ONCE = 40_000  # children in one request


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--children", type=int, default=100_000)
    parser.add_argument("--format", choices=("SDMF", "MDMF"), default="SDMF")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    room = tempfile.TemporaryDirectory(dir=options.directory)
    with room, running(GridProcess.create(Path(room.name) / "node")) as node:
        _measure(node, options)


def _measure(node: GridProcess, options: argparse.Namespace) -> None:
    cap = curl("-X", "POST", f"{node.url}uri?t=mkdir&format={options.format}").decode()
    for children in _children(options.children):
        data = json.dumps(children).encode()
        curl("--data-binary", "@-", f"{node.url}uri/{cap}?t=set_children", data=data)
    # What was made is forgotten, and the peak begins anew.
    node.stop()
    node.start()
    curl(f"{node.url}uri/URI:LIT:nbswy3dp")
    idle, _ = node.memory()
    rows = []

    def add(name: str, seconds: float, first: float | None, peak: int) -> None:
        start = "" if first is None else f"{first:.2f}"
        row = {"what": name, "seconds": f"{seconds:.2f}", "first s": start}
        rows.append({**row, "MiB over idle": f"{(peak - idle) / MIB:.0f}"})

    started = time.perf_counter()
    curl("-T", "-", f"{node.url}uri/{cap}/one-more", data=b"x")
    add("one child added", time.perf_counter() - started, None, node.memory()[1])
    started = time.perf_counter()
    bytes_of = _fetched(node, cap)
    fetched = time.perf_counter() - started
    parsed = parse_cap(cap)
    assert isinstance(parsed, DirectoryCap)
    count = sum(1 for _ in Directory(parsed, parse_table(bytes_of)).links())
    both = time.perf_counter() - started
    assert count == options.children + 1, count
    add("fetched", fetched, None, node.memory()[1])
    add("fetched, and all entries read", both, None, node.memory()[1])
    for name, path in (("JSON", "?t=json"), ("page", "/")):
        seconds, first = _listed(f"{node.url}uri/{cap}{path}")
        add(name, seconds, first, node.memory()[1])
        print(f"{name}: {seconds / both:.2f} of fetching and reading")
    rows.append(_made_of_list(node, options.children))
    report("large_directory", rows)


def _children(count: int) -> Iterator[dict[str, object]]:
    """Give the children in parts."""
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(count, start + _AT_ONCE))
        caps = [ChkReadCap(os.urandom(16), os.urandom(32), 3, 10, 1 << 20) for _ in numbers]
        yield {
            f"file-{number:08d}.dat": ["filenode", {"ro_uri": str(cap), "metadata": {}}]
            for number, cap in zip(numbers, caps, strict=True)
        }


def _made_of_list(node: GridProcess, count: int) -> dict[str, str]:
    """Return how an immutable directory is made of a list of *count* children."""
    children: dict[str, object] = {}
    for some in _children(count):
        children |= some
    # In no order, as programs list directories.
    data = json.dumps(dict(reversed(children.items()))).encode()
    node.stop()
    node.start()
    curl(f"{node.url}uri/URI:LIT:nbswy3dp")
    idle, _ = node.memory()
    started = time.perf_counter()
    curl("--data-binary", "@-", f"{node.url}uri?t=mkdir-immutable", data=data)
    seconds = time.perf_counter() - started
    return {
        "what": f"an immutable one, of {len(data) / MIB:.0f} MiB of JSON",
        "seconds": f"{seconds:.2f}",
        "first s": "",
        "MiB over idle": f"{(node.memory()[1] - idle) / MIB:.0f}",
    }


def _fetched(node: GridProcess, cap: str) -> bytes:
    parsed = parse_cap(cap)
    assert isinstance(parsed, DirectoryCap)
    assert isinstance(parsed.inner, MutableWriteCap)
    return curl(f"{node.url}uri/{parsed.inner.read_cap()}")


def _listed(url: str) -> tuple[float, float]:
    """Return the seconds until all of an answer came, and until its first bytes did."""
    started = time.perf_counter()
    with subprocess.Popen(["curl", "-sS", "-N", url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(2000)
        first = time.perf_counter() - started
        while process.stdout.read(1 << 20):
            pass
    return time.perf_counter() - started, first


if __name__ == "__main__":
    main()
