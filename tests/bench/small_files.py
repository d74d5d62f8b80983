"""
Many small files, through a truckee gateway and ten truckee servers, beside stock's.

    python -m tests.bench.small_files [--files 1000] [--kib 20] [--clients 16] [--runs 3]
        [--directory DIR] [--transport foolscap|https|auto] [--calls]

Every node is a process of its own, and all of both grids run all the time.  Runs alternate,
so that what else the machine does falls on both.  Each file is one ``PUT /uri`` with other
content; clients keep their connections.  --calls counts system calls of the gateway and of
one server in a pass of its own; it needs strace, and the right to trace processes.  A file
that a gateway refuses, as stock's does when servers are slow, is sent again and counted.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from attrs import define, field

from tests.bench.own_stack import NAMES, Cost, Stack, add_transport, both_stacks
from tests.report import report

_COUNTED = "fsync,fdatasync,sendto,recvfrom,epoll_wait,futex"


@define
class Measured(Cost):
    """What each run took; the processor's time in milliseconds for a file."""

    rates: list[float] = field(factory=list)  # files a second
    slowest: list[float] = field(factory=list)  # milliseconds that one of a hundred took
    refused: int = 0  # files in all runs, which were sent again


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--kib", type=int, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    add_transport(parser)
    parser.add_argument("--calls", action="store_true", help="count system calls")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        both_stacks(Path(directory), options.transport) as stacks,
    ):
        measured = {stack.kind: Measured() for stack in stacks}
        for stack in stacks:
            _put_all(stack, options, options.files // 10)
        for _ in range(options.runs):
            for stack in stacks:
                _run(stack, measured[stack.kind], options)
        stock = measured["stock"]
        report(
            f"{options.files} files of {options.kib} KiB, {options.clients} at a time, over"
            f" {options.transport}, 3-of-10, medians of {options.runs}",
            [
                {
                    "what": NAMES[kind],
                    "files/s": median(each.rates),
                    "of stock's": median(each.rates) / median(stock.rates),
                    "refused": each.refused,
                    "99 % of files, ms": median(each.slowest),
                    "gateway CPU ms/file": median(each.gateway),
                    "servers CPU ms/file": median(each.servers),
                    "whole CPU ms/file": each.whole,
                    "whole CPU / stock's": each.whole / stock.whole,
                }
                for kind, each in measured.items()
            ],
        )
        if options.calls:
            report(
                "system calls for a file (of a server: of one of ten)",
                [row for stack in stacks for row in _calls(stack, options)],
            )


def _run(stack: Stack, measured: Measured, options: argparse.Namespace) -> None:
    with measured.counted(stack, 1000 / options.files):
        started = time.perf_counter()
        times, refused = _put_all(stack, options, options.files)
        measured.rates.append(options.files / (time.perf_counter() - started))
    measured.refused += refused
    measured.slowest.append(1000 * sorted(times)[int(0.99 * len(times))])
    stack.nodes.clear()


def _put_all(
    stack: Stack, options: argparse.Namespace, count: int
) -> tuple[list[float], int]:
    """Store *count* files; return how many seconds each took, and how often one failed."""
    address = urlsplit(stack.gateway.url)
    left, refused = iter(range(count)), []

    def client() -> list[float]:
        times = []
        connection = HTTPConnection(address.hostname or "", address.port)
        for _ in left:
            started = time.perf_counter()
            data, cap = os.urandom(options.kib << 10), b""
            while not cap.startswith(b"URI:CHK:"):
                if cap:
                    refused.append(cap)
                if len(refused) > count:
                    raise AssertionError(f"too many files failed: {cap[-500:]!r}")
                connection.request("PUT", "/uri", data)
                cap = connection.getresponse().read()
            times.append(time.perf_counter() - started)
        connection.close()
        return times

    with ThreadPoolExecutor(options.clients) as clients:
        done = [clients.submit(client) for _ in range(options.clients)]
        return [each for one in done for each in one.result()], len(refused)


def _calls(stack: Stack, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the system calls of the gateway and of one server, for each file."""
    count = max(1, options.files // 4)
    server = stack.nodes.servers[0]
    ends = {"gateway": stack.gateway, "server": server}
    with tempfile.TemporaryDirectory() as place:
        paths = {end: Path(place) / end for end in ends}
        with ExitStack() as traces:
            for end, node in ends.items():
                traces.enter_context(_traced(node.process.pid, paths[end]))
            _put_all(stack, options, count)
            stack.settle()
        for end, path in paths.items():
            found = re.findall(
                r"^ .* ([0-9]+) +(?:[0-9]+ +)?(\w+)$", path.read_text(), re.M
            )
            calls = {name: int(number) for number, name in found}
            yield {
                "what": f"{NAMES[stack.kind]}, {end}",
                **{name: calls.get(name, 0) / count for name in _COUNTED.split(",")},
            }


@contextmanager
def _traced(process: int, path: Path) -> Iterator[None]:
    """Count system calls of *process* until the end; *path* gets the table."""
    command = ["strace", "-c", "-f", "-e", f"trace={_COUNTED}", "-o", str(path)]
    with subprocess.Popen(
        [*command, "-p", str(process)], stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stderr is not None
        if "attached" not in (said := tracer.stderr.readline()):
            raise RuntimeError(f"strace does not trace: {said}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()


if __name__ == "__main__":
    main()
