"""
How soon a file of unknown length is on servers that are reached over HTTPS alone.

    python -m tests.bench.first_share_byte [--servers 10] [--mb 256] [--runs 10]

A client sends one segment, and waits until the first byte of it is on the disk of a server;
then it sends the rest.  Told are the milliseconds from the end of the segment to that byte,
what the gateway had in its spools meanwhile, and how much its memory grew with the rest.
All is on loopback.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from attrs import frozen

from tests.integration.stock_grid import MIB, NodeProcess, Shape, reaches, write_node
from tests.integration.transports import write_servers
from tests.ports import free_ports
from tests.processes import Wire, memory_of, opened
from tests.report import report

SEGMENT = MIB + 2  # bytes of the first one at 3-of-10


@frozen
class Upload:
    """What was seen of one."""

    seconds: float  # to the first byte of a share
    spooled: int  # files
    grown: int  # bytes of memory, at the peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--mb", type=int, default=256, help="of each file")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            write_node(place / f"server{number}", "", port, storage=True, web=False)
            for number, port in enumerate(free_ports(options.servers))
        ]
        shape = Shape(3, min(7, options.servers), 10)
        gateway = write_node(place / "gateway", "", shape=shape)
        for node in (*servers, gateway):
            stack.callback(partial(_stop, node))
        for server in servers:
            server.spawn("ours")
        for server in servers:
            server.wait_until((server.directory / "permutation-seed").exists)
        write_servers(gateway, servers, "https")
        gateway.spawn("ours")
        gateway.wait_until(partial(reaches, gateway, options.servers))
        uploads = [upload(gateway, servers, options.mb) for _ in range(options.runs)]
    row = {
        "servers": options.servers,
        "first byte, ms": 1000 * median(each.seconds for each in uploads),
        "at most, ms": 1000 * max(each.seconds for each in uploads),
        "spool files": max(each.spooled for each in uploads),
        # The first upload fills what all of them use.
        "memory grown, MiB": max(each.grown for each in uploads[1:]) / MIB,
    }
    report("unknown length over HTTPS", [row])


def _stop(node: NodeProcess) -> None:
    if node.running:
        node.stop()


def upload(gateway: NodeProcess, servers: Sequence[NodeProcess], size: int) -> Upload:
    """Store *size* MiB."""
    before, spooled = memory_of(gateway.process.pid)[1], 0
    with Wire(gateway.url, timeout=600) as wire:
        wire.request("PUT /uri", "Transfer-Encoding: chunked")
        wire.chunk(bytes(SEGMENT))
        begin = time.perf_counter()
        while not any(map(_written, servers)):
            time.sleep(0.001)
        seconds = time.perf_counter() - begin
        for _ in range(size - 1):
            wire.chunk(bytes(MIB))
            spooled = max(spooled, _spooled(gateway))
        wire.chunk(b"")
        reply = wire.reply()
    if reply.status != 200:
        raise AssertionError(reply.body)
    return Upload(seconds, spooled, memory_of(gateway.process.pid)[1] - before)


def _written(server: NodeProcess) -> bool:
    """Tell whether bytes of a share in progress are there."""
    incomplete = server.directory / "storage" / "incomplete"
    return any(path.stat().st_size > 100 for path in incomplete.rglob("*.*"))


def _spooled(gateway: NodeProcess) -> int:
    """Return how many files a gateway has open in its spools (Linux)."""
    spools = tuple(f"{gateway.directory}/{name}/" for name in ("tmp", "uploads"))
    return sum(name.startswith(spools) for _, name in opened(gateway.process.pid))


if __name__ == "__main__":
    main()
