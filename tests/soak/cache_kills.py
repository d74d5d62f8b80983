"""
A gateway that is killed at random moments while it fills, empties and reads its cache.

    python -m tests.soak.cache_kills [--kills 100] [--seed N] [--directory DIR]

Readers take random ranges of files that do not all fit into the cache; every byte is
compared.  At a random moment the process dies; then some entries are torn, as when the
system had crashed; then the next process reads on.  After each kill the cache is no larger
than it may be, and nothing of what the files say is in it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field

from tests.grids import files_below
from tests.processes import GridProcess, curl
from tests.report import report
from truckee.codec.geometry import round_up

MIB = 1 << 20
LIMIT = 6 * MIB
FILES = 4
SIZE = 4 * MIB  # of each file
SEGMENT = 128 << 10
CANARY = b"the canary sings in plaintext"
READERS = 4


@define
class Outcome:
    """What was seen."""

    kills: int = 0
    ranges: int = 0  # that came whole
    wrong: int = 0  # that had another byte
    torn: int = 0  # entries
    leaks: int = 0  # entries in which something can be read
    largest: int = 0  # bytes of the cache


@define(eq=False)
class Kills:
    """One node, and what is done to it."""

    grid: GridProcess
    chance: random.Random
    outcome: Outcome = field(factory=Outcome)
    files: dict[str, bytes] = field(factory=dict, repr=False)  # by cap

    @classmethod
    def create(cls, place: Path, seed: int) -> Kills:
        """Make a node with files that are larger than its cache."""
        config = (
            f"[client]\ncache.limit = {LIMIT}\n"
            f"shares._max_immutable_segment_size_for_testing = {SEGMENT}\n"
        )
        grid = GridProcess.create(
            place / "node", needed=2, happy=2, total=3, storage_dirs=3, config=config
        )
        kills = cls(grid, random.Random(seed))
        grid.start()
        for _ in range(FILES):
            data = kills.chance.randbytes(SIZE // 2 - 7)
            data = CANARY * 1000 + data + CANARY * ((SIZE - len(data)) // len(CANARY))
            cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
            kills.files[cap] = data
        grid.kill()
        return kills

    def run(self, kills: int) -> Outcome:
        """Kill it so often; return what was seen."""
        for _ in range(kills):
            self.grid.start()
            until = time.monotonic() + self.chance.uniform(0.05, 1.5)
            seeds = [self.chance.random() for _ in range(READERS)]
            with ThreadPoolExecutor(READERS) as pool:
                readers = [pool.submit(self._read, seed, until + 1.0) for seed in seeds]
                time.sleep(max(0.0, until - time.monotonic()))
                self.grid.kill()
                for each in readers:
                    each.result()
            self.outcome.kills += 1
            self._look()
            self._tear()
        return self.outcome

    def _read(self, seed: float, until: float) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            cap, data = chance.choice(list(self.files.items()))
            start = chance.randrange(len(data))
            end = min(len(data), start + chance.choice([1, 1000, SEGMENT, MIB]))
            try:
                got = _range(self.grid.url, cap, start, end)
            except (OSError, HTTPException):
                return  # it died
            self.outcome.ranges += 1
            if got != data[start:end]:
                self.outcome.wrong += 1

    def _entries(self) -> Sequence[Path]:
        return files_below(self.grid.directory / "cache")

    def _look(self) -> None:
        entries = self._entries()
        space = sum(round_up(path.stat().st_size, 4096) for path in entries)
        self.outcome.largest = max(self.outcome.largest, space)
        keys = [cap.split(":")[2].encode() for cap in self.files]
        for path in entries:
            held = path.read_bytes() + str(path).encode()
            self.outcome.leaks += any(each in held for each in (CANARY, *keys))

    def _tear(self) -> None:
        """Have some entries as a crash of the system leaves them."""
        entries = self._entries()
        for path in self.chance.sample(entries, min(len(entries), 5)):
            data = path.read_bytes() or b"x"  # one was just begun
            at = self.chance.randrange(len(data))
            flipped = bytes([data[at] ^ 1])
            path.write_bytes(
                self.chance.choice(
                    [
                        data[:at],
                        data[:at] + bytes(len(data) - at),
                        data[:at] + flipped + data[at + 1 :],
                    ]
                )
            )
            self.outcome.torn += 1


def _range(url: str, cap: str, start: int, end: int) -> bytes:
    """Return a range; an error when it did not come whole."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        header = {"Range": f"bytes={start}-{end - 1}"}
        connection.request("GET", f"/uri/{cap}", headers=header)
        answer = connection.getresponse()
        if answer.status != 206:
            raise AssertionError(f"status {answer.status}")
        return answer.read()
    finally:
        connection.close()


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        kills = Kills.create(Path(name), options.seed)
        with suppress(KeyboardInterrupt):
            kills.run(options.kills)
    seen = kills.outcome
    row: dict[str, object] = {
        "kills": seen.kills,
        "ranges": seen.ranges,
        "wrong": seen.wrong,
        "torn entries": seen.torn,
        "leaks": seen.leaks,
        "largest, MiB": seen.largest / MIB,
        "limit, MiB": LIMIT / MIB,
    }
    report("a cache whose gateway is killed", [row])


if __name__ == "__main__":
    main()
