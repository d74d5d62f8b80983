"""
How long a start and a sweep take with many shares in progress that nobody writes.

python -m tests.bench.kept_shares [SHARES [DIRECTORY]]
"""

from __future__ import annotations

import resource
import sys
import time
from os import urandom
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from tests.grids import REACTOR
from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.storage.kept_shares import KEEP, KeptShares
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory


def make(root: Path, count: int) -> None:
    """Have *count* kept shares, each of another file."""
    for _ in range(count):
        name = base32.encode(urandom(16))
        place = root / "incomplete" / name[:2] / name
        place.mkdir(parents=True)
        (place / f"0.{base32.encode(urandom(10))}").write_bytes(bytes(12 + 100))


def peak() -> float:
    """Return the most memory that was used, in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@define(eq=False)
class Pulse:
    """The longest time for which the reactor did nothing else, in seconds."""

    longest: float = field(default=0.0, init=False)
    _last: float = field(factory=time.perf_counter, init=False)

    def beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


async def measure(root: Path) -> None:
    workers = Workers(REACTOR, 4, "disk")
    workers.start()
    now = time.time()
    disk = DiskServer(
        name="disk",
        permutation_seed=b"p" * 20,
        lease_seed=b"l" * 20,
        directory=ShareDirectory(root),
        disk=workers,
        now=lambda: now,
    )
    kept = KeptShares(disk, workers, lambda: now)
    before, begun = peak(), time.perf_counter()
    kept.start()
    took = time.perf_counter() - begun
    print(f"start: {took:.2f} s, {kept.totals}, {peak() - before:.1f} MiB more memory")
    for what, later in (("none is old", 0.0), ("all are old", KEEP + 1)):
        now += later
        pulse = Pulse()
        beating = LoopingCall(pulse.beat)
        beating.start(0.001)
        begun = time.perf_counter()
        await kept.sweep()
        took = time.perf_counter() - begun
        beating.stop()
        print(
            f"sweep, {what}: {took:.2f} s, {kept.totals}, {peak() - before:.1f} MiB more "
            f"memory, the reactor busy for {1000 * pulse.longest:.0f} ms at most"
        )
    workers.stop()


def main(shares: str = "10000", directory: str | None = None) -> None:
    with TemporaryDirectory(dir=directory) as place:
        make(Path(place), int(shares))
        react(lambda _: Deferred.fromCoroutine(measure(Path(place))))


if __name__ == "__main__":
    main(*sys.argv[1:])
