"""
What one bad server among ten costs.

    python -m tests.bench.bad_server [--mib 50] [--runs 20] [--what frozen,slow,full,killed]
        [--direction upload,download] [--seed N] [--directory DIR] [--keep-log FILE]

Ten stock servers, 3-of-10, happiness 7, our gateway.  Healthy and bad runs alternate, so
that what else the machine does falls on both.  In each bad run another server, chosen at
random, is frozen or killed at a random moment of the upload, or is full or runs for a
hundredth of the time from before it.  Each file is new, and is read back while the server
is still bad.

In a download the server goes bad at a random moment in each case, and is one of those that
the gateway read from when all were well: it is nothing to a download what becomes of the
others.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median

from attrs import define, field

from tests.integration.bad_servers import (
    Request,
    Trouble,
    What,
    download,
    finish,
    happy,
    random_file,
    settle,
    upload,
)
from tests.integration.stock_grid import Grid, NodeProcess, Shape, grid
from tests.report import report

MIB = 1 << 20
KINDS: tuple[What, ...] = ("frozen", "slow", "full", "killed")
# These are so from before an upload; the others happen in the middle of it.
FROM_THE_BEGINNING = ("slow", "full")
# A full server gives what it has like any other.
NOT_OF_DOWNLOADS = "full"


@define
class Runs:
    """What the runs of one kind were."""

    name: str
    healthy: list[float] = field(factory=list)  # seconds
    bad: list[float] = field(factory=list)
    extra: list[float] = field(factory=list)  # than the healthy run before
    back: list[float] = field(factory=list)  # to read an upload back with the server bad
    happiness: list[int] = field(factory=list)
    failures: list[str] = field(factory=list)

    def fail(self, reason: str) -> None:
        """Count a run as failed."""
        self.failures.append(reason)
        print(f"{self.name} FAILED: {reason}", file=sys.stderr, flush=True)

    def line(self) -> dict[str, object]:
        """Return a line of the table."""
        return {
            "what": self.name,
            "runs": len(self.bad),
            "healthy, s": median(self.healthy),
            "bad, s": median(self.bad),
            "bad / healthy": median(self.bad) / median(self.healthy),
            "bad - healthy, s": median(self.extra),
            "worst healthy, s": max(self.healthy),
            "worst bad, s": max(self.bad),
            "failed": len(self.failures),
            "least happiness": min(self.happiness, default="-"),
            "median": median(self.happiness) if self.happiness else "-",
            "read back, s": median(self.back) if self.back else "-",
        }


@define
class Bench:
    """The runs of one table."""

    grid: Grid
    place: Path
    size: int
    chance: random.Random

    @property
    def source(self) -> Path:
        """The file that is stored."""
        return self.place / "source"

    @property
    def target(self) -> Path:
        """Where it is read to."""
        return self.place / "target"

    def uploads(self, what: What, count: int) -> dict[str, object]:
        """Return a line of the table."""
        runs = Runs(f"upload, {what}")
        self._upload(Runs(""))  # the first one loads what all of them use
        while len(runs.bad) < count:
            self._upload(runs)
            self._upload_with(runs, what)
        return runs.line()

    def downloads(self, what: What, count: int) -> dict[str, object]:
        """Return a line of the table."""
        runs = Runs(f"download, {what}")
        random_file(self.source, self.size, self.chance)
        cap = finish(partial(upload, self.grid.ours, self.source)).text
        self._download(Runs(""), cap)
        while len(runs.bad) < count:
            self._download_with(runs, cap, what, self._download(runs, cap))
        self.grid.clear()
        return runs.line()

    def _upload(self, runs: Runs) -> None:
        random_file(self.source, self.size, self.chance)
        done = finish(partial(upload, self.grid.ours, self.source))
        runs.healthy.append(done.seconds)
        if done.code != 0:
            runs.fail(f"healthy: {done.text}")
        self.grid.clear()

    def _upload_with(self, runs: Runs, what: What) -> None:
        random_file(self.source, self.size, self.chance)
        trouble = Trouble(self.grid, self.chance.choice(self.grid.servers), what)
        moment = None if what in FROM_THE_BEGINNING else self._moment(runs)
        start = partial(upload, self.grid.ours, self.source)
        with trouble.during(start, moment) as done:
            where = f"{trouble.server.directory.name} at {moment or 0.0:.2f} s"
            self._tell(runs, done, where)
            if done.missed:
                pass
            elif done.code != 0:
                runs.fail(f"{where}: {done.text}")
            else:
                runs.happiness.append(happy(self.grid, done.text))
                if runs.happiness[-1] < Shape().happy:
                    runs.fail(f"{where}: the happiness is {runs.happiness[-1]}")
                self._read(runs, done.text, runs.back)
        settle(self.grid)
        self.grid.clear()

    def _download(self, runs: Runs, cap: str) -> list[NodeProcess]:
        """Read the file; return the servers that this was from."""
        before = [_bytes_read(server) for server in self.grid.servers]
        self._read(runs, cap, runs.healthy)
        after = [_bytes_read(server) for server in self.grid.servers]
        # Reads are spread, and what only proves a share is little.
        least = self.size / 100
        return [
            server
            for server, first, last in zip(self.grid.servers, before, after, strict=True)
            if last - first > least
        ]

    def _download_with(
        self, runs: Runs, cap: str, what: What, servers: Sequence[NodeProcess]
    ) -> None:
        trouble = Trouble(self.grid, self.chance.choice(servers), what)
        moment = self._moment(runs)
        start = partial(download, self.grid.ours, cap, self.target)
        with trouble.during(start, moment) as done:
            where = f"{trouble.server.directory.name} at {moment:.2f} s"
            self._tell(runs, done, where)
            if not done.missed:
                self._check(runs, done, where)
        settle(self.grid)

    def _read(self, runs: Runs, cap: str, times: list[float]) -> None:
        done = finish(partial(download, self.grid.ours, cap, self.target))
        times.append(done.seconds)
        self._check(runs, done, "read")

    def _check(self, runs: Runs, done: Request, where: str) -> None:
        if done.code != 0:
            runs.fail(f"{where}: curl says {done.code}")
        elif _digest(self.source) != _digest(self.target):
            runs.fail(f"{where}: other bytes came back")

    def _moment(self, runs: Runs) -> float:
        """Return a random moment of a transfer, in seconds from its beginning."""
        return self.chance.uniform(0.0, 0.95) * median(runs.healthy)

    def _tell(self, runs: Runs, done: Request, where: str) -> None:
        healthy = runs.healthy[-1]
        if not done.missed:  # else it was no bad run
            runs.bad.append(done.seconds)
            runs.extra.append(done.seconds - healthy)
        missed = "missed " if done.missed else ""
        text = f"{runs.name} {missed}{where}: {done.seconds:.2f} s, healthy {healthy:.2f} s"
        print(text, file=sys.stderr, flush=True)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _bytes_read(server: NodeProcess) -> int:
    """Return the bytes a process has read from files (Linux)."""
    lines = Path(f"/proc/{server.process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=50)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--what", default=",".join(KINDS))
    parser.add_argument("--direction", default="upload,download")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    parser.add_argument("--keep-log", default=None, help="where to keep the gateway's log")
    options = parser.parse_args()
    kinds = [each for each in KINDS if each in options.what.split(",")]
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        place = Path(name)
        with grid(place, gateways=("ours",), cache=False) as servers:
            chance = random.Random(options.seed)
            bench = Bench(servers, place, options.mib * MIB, chance)
            rows = []
            try:
                if "upload" in options.direction:
                    rows += [bench.uploads(kind, options.runs) for kind in kinds]
                if "download" in options.direction:
                    reading = [kind for kind in kinds if kind != NOT_OF_DOWNLOADS]
                    rows += [bench.downloads(kind, options.runs) for kind in reading]
            finally:
                if options.keep_log is not None:
                    Path(options.keep_log).write_text(servers.ours.log())
        report(f"one bad server of ten, {options.mib} MiB, 3-of-10, happiness 7", rows)


if __name__ == "__main__":
    main()
