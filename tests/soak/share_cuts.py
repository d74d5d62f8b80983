"""
Uploads straight to servers, without a helper, that are cut at random moments.

    python -m tests.soak.share_cuts [--cuts 300] [--seed N] [--rate 4] [--https]

Gateway and servers are killed and started again, all lines between them are reset, or
silent for some seconds.  A client goes on with its open upload until it has a cap: in the
end there must be the right file.  Each line counts what goes to its server; what carries a
file is measured beforehand, without cuts, and what is beyond that is told for each cut and
share.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from attrs import define, field

from tests.integration.lined_grid import SERVERS, Lined, lined
from tests.integration.stock_grid import content, reaches
from tests.processes import Reply, ask
from tests.report import report
from tests.soak.upload_cuts import Upload

MIB = 1 << 20
KINDS = ("gateway killed", "server killed", "lines reset", "lines silent")
PATIENCE = 300.0  # seconds for a file, whatever happens to it


@define
class Cuts:
    """What became of the cuts of one kind."""

    kind: str
    count: int = 0
    failures: int = 0
    again: list[float] = field(factory=list)  # bytes of each share, of rounds of this kind

    def line(self) -> dict[str, object]:
        """Return a line of the table."""
        return {
            "what": self.kind,
            "cuts": self.count,
            "failed": self.failures,
            "sent again, a share and cut, median KiB": round(
                median(self.again or [0]) / 1024
            ),
            "most KiB": round(max(self.again, default=0) / 1024),
        }


@define(eq=False)
class Client(threading.Thread):
    """Brings one file, again and again, until it has a cap."""

    upload: Upload
    patience: float = PATIENCE  # seconds
    cap: str = ""
    trouble: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        end = time.monotonic() + self.patience
        while not self.cap and time.monotonic() < end:
            try:
                reply = self._bring()
            except (AssertionError, OSError, KeyError, IndexError) as error:
                self.trouble = repr(error)
                time.sleep(0.2)
                continue
            if reply.status == 200:
                self.cap = self.upload.cap(reply)
            self.trouble = f"{reply.status} {reply.body[:200]!r}"

    def _bring(self) -> Reply:
        return self.upload.bring(self.upload.offset(), len(self.upload.data))


@define(eq=False)
class Soak:
    """One run."""

    grid: Lined
    chance: random.Random
    rate: float  # bytes per second on each line
    carried: float = 0.0  # bytes on all lines for each byte of a file
    cuts: dict[str, Cuts] = field(factory=lambda: {kind: Cuts(kind) for kind in KINDS})
    _seed: int = 0

    @property
    def count(self) -> int:
        """Cuts so far."""
        return sum(each.count for each in self.cuts.values())

    def measure(self) -> None:
        """Find out what carries a file when nothing is cut."""
        for known in (True, False):
            data = self._content(8 * MIB)
            before = self.grid.sent()
            cap = self._store(data, known, [])
            self._check(cap, data)
            self.carried = max(self.carried, (self.grid.sent() - before) / len(data))
        print(f"{self.carried:.3f} bytes on the lines for each of a file", flush=True)

    def round(self) -> None:
        """Store one file, cut some times on its way."""
        data = self._content(self.chance.randint(4 * MIB, 16 * MIB))
        kinds = [self.chance.choice(KINDS) for _ in range(self.chance.randint(1, 4))]
        before = self.grid.sent()
        try:
            cap = self._store(data, self.chance.random() < 0.5, kinds)
            self._check(cap, data)
        except AssertionError as error:
            for kind in kinds:
                self.cuts[kind].failures += 1
            print(f"FAILED: {kinds} {error}", file=sys.stderr, flush=True)
            return
        again = self.grid.sent() - before - self.carried * len(data)
        for kind in kinds:
            self.cuts[kind].again.append(max(0.0, again / SERVERS / len(kinds)))

    def _check(self, cap: str, data: bytes) -> None:
        gateway = self.grid.gateway
        gateway.wait_until(lambda: reaches(gateway, SERVERS))
        found = ask(f"{gateway.url}uri/{cap}")
        assert found.status == 200, f"{found.status} {found.body[:200]!r}"
        assert found.body == data, "another file came back"

    def _content(self, size: int) -> bytes:
        self._seed += 1
        return content(self._seed, size)

    def _store(self, data: bytes, known: bool, kinds: list[str]) -> str:
        for line in self.grid.lines:
            line.rate = self.rate
        upload = Upload(self.grid.gateway, "handle", len(data) if known else None, data)
        upload.open("random")
        client = Client(upload)
        client.start()
        for kind in kinds:
            time.sleep(self.chance.uniform(0.1, 2.0))
            self.cuts[kind].count += 1
            self._cut(kind)
        client.join(PATIENCE + 60.0)
        for line in self.grid.lines:
            line.rate = 0.0
        assert client.cap, client.trouble
        return client.cap

    def _cut(self, kind: str) -> None:
        if kind == "gateway killed":
            self.grid.gateway.kill()
            self.grid.start(self.grid.gateway)
        elif kind == "server killed":
            server = self.chance.choice(self.grid.servers)
            server.kill()
            self.grid.start(server)
        elif kind == "lines reset":
            for line in self.grid.lines:
                line.reset()
        else:
            for line in self.grid.lines:
                line.silent = True
            time.sleep(self.chance.uniform(0.5, 4.0))
            for line in self.grid.lines:
                line.silent = False


def main() -> None:
    """Print the table; exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2.0, help="MB/s of each line")
    parser.add_argument("--https", action="store_true", help="and not foolscap")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lined(Path(name), options.https) as grid:
        soak = Soak(grid, random.Random(options.seed), options.rate * 1e6)
        soak.measure()
        while soak.count < options.cuts:
            soak.round()
            print(f"{soak.count} cuts", file=sys.stderr, flush=True)
    report("uploads straight to servers, cut", [each.line() for each in soak.cuts.values()])
    raise SystemExit(any(each.failures for each in soak.cuts.values()))


if __name__ == "__main__":
    main()
