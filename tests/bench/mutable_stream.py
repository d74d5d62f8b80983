"""
How much memory and time it takes to stream an MDMF file into directories.

``python -m tests.bench.mutable_stream --mib 256`` writes a file of that many MiB, 3-of-10,
into ten directories of this process, and a second version over it.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from truckee.codec.mutable_secrets import write_cap_of
from truckee.codec.rsa_keys import SigningKey
from truckee.flow.cpu import Workers
from truckee.mutable.publish import Publisher
from truckee.mutable.versions import Versions
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots

MIB = 1 << 20
REACTOR: Any = reactor


@define(eq=False)
class Source:
    """So many MiB of random bytes."""

    left: int
    _chunk: bytes = field(factory=lambda: os.urandom(MIB), repr=False)

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self._chunk


def server(root: Path, number: int, disk: Workers) -> DiskServer:
    """Return a server of slots over a directory."""
    seed = b"%020d" % number
    directory = ShareDirectory(root / str(number))
    made = DiskServer(
        name=f"s{number}",
        permutation_seed=seed,
        lease_seed=seed,
        directory=directory,
        disk=disk,
        now=REACTOR.seconds,
    )
    made.start()
    slots = SlotDirectory(directory)
    room = made.available_space
    made.slots = DiskSlots(made.name, seed, slots, disk, REACTOR.seconds, room)
    return made


def peak() -> float:
    """Return the most memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(mib: int, root: Path) -> None:
    """Print a line for each version."""
    cpu, disk = Workers(REACTOR, 2, "cpu"), Workers(REACTOR, 4, "disk")
    for each in (cpu, disk):
        each.start()
        REACTOR.addSystemEventTrigger("during", "shutdown", each.stop)
    servers = [server(root, number, disk) for number in range(10)]
    publisher = Publisher(lambda: servers, b"s" * 32, cpu, REACTOR, os.urandom)
    key = await cpu.run(SigningKey.generate)
    cap, known = write_cap_of("MDMF", key), Versions()
    gc.collect()
    idle = peak()
    for _ in range(2):
        start = time.monotonic()
        done = await publisher.publish(cap, key, known, Source(mib), 3, 10)
        seconds = time.monotonic() - start
        known = Versions(shares=dict(done.placed))
        print(
            f"{mib} MiB, version {done.prefix.sequence}: {mib / seconds:.1f} MiB/s, "
            f"{peak() - idle:.0f} MiB over {idle:.0f} when idle"
        )


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        task.react(
            lambda _: Deferred.fromCoroutine(measure(options.mib, Path(place))),
        )


if __name__ == "__main__":
    main()
