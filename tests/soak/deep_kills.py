"""
Walks of a tree whose client or gateway is killed, and that continue where they were.

    python -m tests.soak.deep_kills [--kills 50] [--seed N] [--objects 2000] [--check]
    python -m tests.soak.deep_kills --command manifest|deep-check|check|repair [...]

A manifest, or with ``--check`` a deep check, of a tree on a grid of our own.  Again and
again its client, its gateway or both get SIGKILL at a random moment, and it is continued
behind the last line that came whole.  All lines together must be those of an unbroken one.

With ``--command`` the client is this command of truckee with ``--state``, whose output is
a file: ``check`` and ``repair`` read the lines of a manifest.  It waits for a gateway that
was killed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from attrs import define, field

from tests import warm
from tests.integration.deep_trees import TreeMaker, directory_of, packed_directory
from tests.processes import GridProcess, running, truckee
from tests.report import report

FILES = 20  # in each directory


@define(eq=False)
class Walks:
    """One grid, and a tree on it."""

    grid: GridProcess
    root: str
    kind: str
    chance: random.Random
    kills: dict[str, int] = field(factory=lambda: {"client": 0, "gateway": 0, "both": 0})

    def begin(self, cursor: str) -> subprocess.Popen[bytes]:
        """Let a client ask for what is behind *cursor*."""
        target = f"{self.grid.url}uri/{quote(self.root, safe='')}?t={self.kind}"
        form = ["--data", f"cursor={cursor}"]
        command = ["curl", "--silent", "--no-buffer", *form, target]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def whole(self) -> tuple[list[bytes], float]:
        """Return the lines of an unbroken walk, and how long it took."""
        begin = time.monotonic()
        with self.begin("") as client:
            lines = client.communicate()[0].splitlines()
        assert json.loads(lines[-1])["type"] == "stats"
        return lines, time.monotonic() - begin

    def part(self, cursor: str, after: float) -> list[bytes]:
        """Return the whole lines that came until somebody died, so many seconds later."""
        client = self.begin(cursor)
        victim = self.chance.choice(list(self.kills))
        try:
            output, _ = client.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            self.kills[victim] += 1
            if victim != "client":
                self.grid.process.kill()
                self.grid.process.wait()
            if victim != "gateway":
                client.kill()
            output, _ = client.communicate()
            if victim != "client":
                self.grid.start()
        lines = output.split(b"\n")
        return lines[:-1]  # what is behind the last end of a line is no line


@define(eq=False)
class Commands:
    """The same with a command that notes how far it is."""

    grid: GridProcess
    place: Path
    name: str
    chance: random.Random
    kills: dict[str, int] = field(factory=lambda: {"client": 0, "gateway": 0, "both": 0})
    resumed: int = 0
    wrong: int = 0
    rounds: int = 0

    def begin(self, output: Path, *more: str) -> subprocess.Popen[bytes]:
        """Start it; it appends to *output*."""
        node = ("-d", str(self.grid.directory))
        options = {
            "manifest": ("--json", "photos:"),
            "deep-check": ("--json", "photos:"),
            "check": ("-q",),
            "repair": ("-q",),
        }
        lines = self.place / "lines"
        source = lines if lines.exists() else Path("/dev/null")
        command = truckee(self.name, *node, *more, *options[self.name])
        with output.open("ab") as file, source.open("rb") as given:
            return warm.start(command, stdin=given, stdout=file, stderr=subprocess.DEVNULL)

    def prepare(self, root: str) -> None:
        """Give the tree a name, and make the lines that are read."""
        aliases = self.grid.directory / "private" / "aliases"
        aliases.write_text(f"photos: {root}\n")
        if self.name in ("check", "repair"):
            name, self.name = self.name, "manifest"
            self.begin(self.place / "manifest").wait()
            self.name = name
            (self.place / "manifest").rename(self.place / "lines")

    def run(self, kills: int) -> int:
        """Return the exit code."""
        begin = time.monotonic()
        assert self.begin(self.place / "whole").wait() == 0
        taken = time.monotonic() - begin
        expected = (self.place / "whole").read_bytes()
        while sum(self.kills.values()) < kills:
            self.rounds += 1
            output = self.place / f"output{self.rounds}"
            while not self._part(output, self.chance.uniform(0.0, taken)):
                pass
            if output.read_bytes() != expected:
                self.wrong += 1
                lines = output.read_bytes().count(b"\n")
                print(f"round {self.rounds}: {lines} lines, not those of an unbroken one")
            output.unlink()
        row: dict[str, object] = {
            "rounds": self.rounds,
            "lines each": expected.count(b"\n"),
            **{f"killed: {who}": count for who, count in self.kills.items()},
            "continued": self.resumed,
            "wrong": self.wrong,
        }
        report(f"truckee {self.name}, killed and continued", [row])
        return 1 if self.wrong else 0

    def _part(self, output: Path, after: float) -> bool:
        """Let it run until somebody dies *after* these seconds; return whether it ended."""
        state = self.place / "state"
        self.resumed += state.exists()
        client = self.begin(output, "--state", str(state))
        victim = self.chance.choice(list(self.kills))
        try:
            return client.wait(after) == 0
        except subprocess.TimeoutExpired:
            self.kills[victim] += 1
        if victim != "client":
            self.grid.kill()
            self.grid.start()
        if victim == "gateway":
            return client.wait() == 0
        client.kill()
        client.wait()
        # It removes its state when all is written, and does nothing after that.
        return output.stat().st_size > 0 and not state.exists()


def main() -> None:
    """Print what happened; fail when a line was lost, came twice or is another one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--check", action="store_true")
    names = ("manifest", "deep-check", "check", "repair")
    parser.add_argument("--command", choices=names)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as room:
        made = GridProcess.create(
            Path(room) / "node", needed=1, happy=1, total=1, storage_dirs=1
        )
        with running(made):
            if options.command:
                _keep_address(made)
                root = make_tree(made.url, options.objects)
                chance = random.Random(options.seed)
                commands = Commands(made, Path(room), options.command, chance)
                commands.prepare(root)
                sys.exit(commands.run(options.kills))
            kind = "stream-deep-check" if options.check else "stream-manifest"
            root = make_tree(made.url, options.objects)
            walks = Walks(made, root, kind, random.Random(options.seed))
            sys.exit(run(walks, options.kills))


def _keep_address(grid: GridProcess) -> None:
    """Let it listen at the same address after each start."""
    config = grid.directory / "tahoe.cfg"
    port = urlsplit(grid.url).port
    config.write_text(config.read_text().replace("tcp:0:", f"tcp:{port}:"))


def run(walks: Walks, kills: int) -> int:
    """Return the exit code."""
    expected, taken = walks.whole()
    rounds = wrong = resumed = 0
    while sum(walks.kills.values()) < kills:
        rounds += 1
        lines: list[bytes] = []
        cursor = ""
        while not lines or json.loads(lines[-1])["type"] != "stats":
            more = walks.part(cursor, walks.chance.uniform(0.0, taken))
            lines += more
            resumed += bool(cursor)
            if lines:
                cursor = json.loads(lines[-1])["cursor"]
        if lines != expected:
            wrong += 1
            print(f"round {rounds}: {len(lines)} lines instead of {len(expected)}")
    row: dict[str, object] = {
        "walks": rounds,
        "lines each": len(expected),
        **{f"killed: {who}": count for who, count in walks.kills.items()},
        "continued": resumed,
        "wrong": wrong,
    }
    report("walks that were killed and continued", [row])
    return 1 if wrong else 0


def make_tree(url: str, objects: int) -> str:
    """Return the cap of a tree of three levels, in which one file is linked everywhere."""
    maker = TreeMaker(url)
    shared = maker.put("", b"everywhere" * 100)
    numbers = iter(range(objects))

    def leaf() -> str:
        caps = [
            (f"f{n:03}", maker.put("", b"%d " % next(numbers) * 50)) for n in range(FILES)
        ]
        return directory_of(maker.put("", packed_directory([*caps, ("shared", shared)])))

    branches = []
    for number in range(max(1, objects // (FILES * 10))):
        leaves = [(f"leaf{n}", leaf()) for n in range(10)]
        branches.append(
            (f"branch{number:03}", directory_of(maker.put("", packed_directory(leaves))))
        )
    return directory_of(maker.put("", packed_directory(branches)))


if __name__ == "__main__":
    main()
