"""
Whole trees on ten stock storage servers, through a stock gateway and through ours.

    python -m tests.bench.deep_operations [--objects 5000] [--runs 1] [--directory DIR]
    python -m tests.bench.deep_operations --memory [--objects 1000000]

Of a tree of mutable directories with 49 files of 1 KiB in each: a manifest, a deep check,
and one that verifies every byte, with the processor time of the gateway.  The gateways
alternate, ours has no cache, and both must tell the same of each path.

With ``--memory`` a tree of immutable directories with 1,000 files in each, of which nothing
but the directories is stored, on a grid of our own in one process: the first line, lines a
second and the memory over idle at the peak, of a manifest and of a deep check; and the
memory at the peak of the commands that ask for these, and of ``truckee check`` of a file
with the lines of the manifest.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import define, field

from tests.integration.deep_trees import TreeMaker, directory_of, packed_directory
from tests.integration.stock_grid import NodeProcess, grid
from tests.processes import GridProcess, memory_of, running, truckee
from tests.report import report
from truckee.codec import base32

FILES = 49  # in each directory
MANY = 1000
OPERATIONS = {
    "manifest": "stream-manifest",
    "deep check": "stream-deep-check",
    "deep check, verify": "stream-deep-check&verify=true",
}


@define
class Measured:
    """What was measured of one gateway, by operation."""

    rates: dict[str, list[float]] = field(factory=dict)  # objects a second
    cpu: dict[str, list[float]] = field(factory=dict)  # milliseconds an object


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=None)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as room:
        if options.memory:
            _memory(Path(room), options.objects or 1_000_000)
        else:
            _beside(Path(room), options.objects or 5000, options.runs)


def _beside(place: Path, objects: int, runs: int) -> None:
    with grid(place, cache=False) as made:
        gateways = {"ours": made.ours, "stock": made.stock}
        root = make_tree(made.ours, objects)
        found = {name: Measured() for name in gateways}
        for _ in range(runs):
            for operation, kind in OPERATIONS.items():
                told = [
                    _timed(gateway, root, operation, kind, found[name])
                    for name, gateway in gateways.items()
                ]
                assert told[0] == told[1], f"{operation}: the gateways tell differently"
        report(f"{objects:,} objects on ten stock servers", list(_rows(found)))


def make_tree(gateway: NodeProcess, objects: int) -> str:
    """Return the cap of a tree."""
    maker, count = TreeMaker(gateway.url), objects // (FILES + 1)
    with ThreadPoolExecutor(4) as pool:
        data = [b"%d " % number * 128 for number in range(count * FILES)]
        files = list(pool.map(lambda each: maker.put("", each), data))

        def fill(number: int) -> str:
            caps = files[number * FILES : (number + 1) * FILES]
            children = {
                f"f{n}": ["filenode", {"ro_uri": cap}] for n, cap in enumerate(caps)
            }
            return maker.post("?t=mkdir-with-children", json.dumps(children).encode())

        directories = list(pool.map(fill, range(count)))
    links = {f"d{n}": ["dirnode", {"rw_uri": cap}] for n, cap in enumerate(directories)}
    return maker.post("?t=mkdir-with-children", json.dumps(links).encode())


def _timed(
    gateway: NodeProcess, root: str, operation: str, kind: str, found: Measured
) -> dict[str, Any]:
    """Return what is told of each path, whether it is healthy."""
    cpu, begin = gateway.cpu_time(), time.monotonic()
    lines = list(lines_of(gateway.url, root, kind))
    taken = time.monotonic() - begin
    count = len(lines) - 1
    found.rates.setdefault(operation, []).append(count / taken)
    used = (gateway.cpu_time() - cpu) / count * 1000
    found.cpu.setdefault(operation, []).append(used)
    units = map(json.loads, lines[:-1])
    return {
        "/".join(each["path"]): each.get("check-results", {})
        .get("results", {})
        .get("healthy")
        for each in units
    }


def lines_of(url: str, root: str, kind: str) -> Iterator[bytes]:
    """Give the lines of an answer as they come."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=3600)
    connection.request("POST", f"/uri/{quote(root, safe='')}?t={kind}")
    with connection.getresponse() as answer:
        assert answer.status == 200, answer.read()
        yield from answer


def _rows(found: dict[str, Measured]) -> Iterator[dict[str, object]]:
    for operation in OPERATIONS:
        rates = {name: median(each.rates[operation]) for name, each in found.items()}
        cpu = {name: median(each.cpu[operation]) for name, each in found.items()}
        yield {
            "operation": operation,
            "objects/s, ours": rates["ours"],
            "stock": rates["stock"],
            "ratio": rates["ours"] / rates["stock"],
            "CPU ms/object, ours": cpu["ours"],
            "stock ": cpu["stock"],
        }


def _memory(place: Path, objects: int) -> None:
    made = GridProcess.create(place / "node", needed=1, happy=1, total=1, storage_dirs=1)
    with running(made):
        root = _make_large(made.url, objects)
        rows: list[dict[str, object]] = []
        for operation, kind in list(OPERATIONS.items())[:2]:
            made.process.terminate()
            made.process.wait()
            made.start()
            idle, _peak = memory_of(made.process.pid)
            begin, first, count = time.monotonic(), 0.0, 0
            for _line in lines_of(made.url, root, kind):
                first = first or time.monotonic() - begin
                count += 1
            taken = time.monotonic() - begin
            more = (memory_of(made.process.pid)[1] - idle) / (1 << 20)
            rows.append(
                {
                    "operation": operation,
                    "lines": count,
                    "first line, s": first,
                    "lines/s": count / taken,
                    "MiB over idle": more,
                }
            )
        report(f"{objects:,} objects, a grid of our own", rows)
        report("its commands", list(_commands(made, root, place)))


def _commands(made: GridProcess, root: str, place: Path) -> Iterator[dict[str, object]]:
    """Give a row for each command, and leave nothing behind but its output."""
    (made.directory / "private" / "aliases").write_text(f"tree: {root}\n")
    lines = place / "manifest"
    lines.touch()
    for name, arguments in (
        ("manifest", ["tree:"]),
        ("deep-check", ["--json", "tree:"]),
        ("check", ["-q"]),
    ):
        command = truckee(name, "-d", str(made.directory), *arguments)
        with (place / name).open("wb") as output, lines.open("rb") as given:
            begin, peak = time.monotonic(), 0
            process = subprocess.Popen(command, stdin=given, stdout=output)
            while process.poll() is None:
                with suppress(KeyError, OSError):  # it has just ended
                    peak = memory_of(process.pid)[1]
                time.sleep(0.05)
        taken = time.monotonic() - begin
        with (place / name).open("rb") as output:
            count = sum(1 for _ in output)
        yield {
            "command": name,
            "lines": count,
            "lines/s": count / taken,
            "MiB at the peak": peak / (1 << 20),
        }


def _make_large(url: str, objects: int) -> str:
    """Return the cap of a tree whose directories alone are stored."""
    maker, chance = TreeMaker(url), random.Random(1)

    def file() -> str:
        key, tree = (base32.encode(chance.randbytes(size)) for size in (16, 32))
        return f"URI:CHK:{key}:{tree}:1:1:{chance.randrange(100, 10_000_000)}"

    def store(caps: Iterator[tuple[str, str]]) -> str:
        return directory_of(maker.put("", packed_directory(caps)))

    directories = [
        (f"d{number:06}", store((f"file{n:04}", file()) for n in range(MANY)))
        for number in range(objects // MANY)
    ]
    return store(iter(directories))


if __name__ == "__main__":
    main()
