"""
Gateways and storage servers that are killed while a mutable file is written.

    python -m tests.soak.mutable_kills [--kills 100] [--seed N] [--needed 2] [--servers 5]

One gateway and some storage servers of ours.  Again and again a file is overwritten, and at
a random moment the gateway, or one of the servers, gets SIGKILL; it is started again.  The
file must have the content before or the new one, and the new one if that was acknowledged.
Files are SDMF and MDMF, short ones and long ones that stream.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attrs import define, field

from tests.integration.stock_grid import Grid, NodeProcess, Shape, grid, reaches
from tests.processes import ask
from tests.report import report

# Kind of file, and the most bytes it has.
FILES = (("SDMF", 20_000), ("MDMF", 400_000), ("MDMF", 12 << 20))


@define
class Outcome:
    """What became of the kills of one kind."""

    kills: int = 0
    old: int = 0
    new: int = 0
    acknowledged: int = 0
    broken: list[str] = field(factory=list)


@define(eq=False)
class Kills:
    """One grid, and the files on it with the content that each must have."""

    grid: Grid
    chance: random.Random
    files: dict[str, bytes] = field(factory=dict)

    def make(self) -> list[tuple[str, int]]:
        """Make the files; return their caps, and how long they may become."""
        found = []
        for format, most in FILES:
            data = os.urandom(most // 2)
            cap = self.grid.ours.put(data, arguments=f"?format={format}")
            self.files[cap] = data
            found.append((cap, most))
        return found

    def kill_in_write(self, cap: str, most: int, node: NodeProcess, after: float) -> bool:
        """
        Overwrite a file, and kill *node* so many seconds later; tell if it was answered.

        :raises AssertionError: when the file is neither the old nor the new one.
        """
        old, new = self.files[cap], os.urandom(self.chance.randrange(1, most))
        source = self.grid.ours.directory / "source"
        source.write_bytes(new)
        url = self.grid.ours.file_url(cap)
        upload = [
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-T",
            str(source),
            url,
        ]
        with subprocess.Popen(upload, stdout=subprocess.PIPE) as client:
            time.sleep(after)
            node.kill()
            if node is not self.grid.ours:
                node.spawn("ours")
            told = client.communicate(timeout=300)[0]
        if node is self.grid.ours:
            node.spawn("ours")
        gateway = self.grid.ours
        gateway.wait_until(partial(reaches, gateway, len(self.grid.servers)))
        acknowledged = told == b"200"
        reply = ask(gateway.file_url(cap))  # it listens elsewhere now
        if reply.status != 200 or reply.body not in (old, new):
            text = reply.body[:200] if reply.status != 200 else b"other bytes"
            raise AssertionError(f"{reply.status} {text!r} after {after:.3f} s, {told!r}")
        if acknowledged and reply.body != new:
            raise AssertionError(f"an acknowledged version is lost, {after:.3f} s")
        self.files[cap] = reply.body
        return acknowledged


def run(kills: Kills, count: int) -> Sequence[Outcome]:
    """Return what became of *count* kills, of gateways and of servers."""
    outcomes = {"gateway": Outcome(), "storage server": Outcome()}
    caps = kills.make()
    for number in range(count):
        cap, most = caps[number % len(caps)]
        # How long a write takes undisturbed is known after one of them.
        begin = time.monotonic()
        data = os.urandom(most // 2)
        options = ("--request", "PUT", "--data-binary", "@-")
        reply = ask(*options, kills.grid.ours.file_url(cap), data=data)
        usual = time.monotonic() - begin
        if reply.status != 200:
            raise AssertionError(f"{reply.status} {reply.body[:300]!r}")
        kills.files[cap] = data
        kind = ("gateway", "storage server")[number // len(caps) % 2]
        nodes = [kills.grid.ours] if kind == "gateway" else kills.grid.servers
        outcome = outcomes[kind]
        outcome.kills += 1
        before = kills.files[cap]
        try:
            told = kills.kill_in_write(
                cap,
                most,
                kills.chance.choice(nodes),
                kills.chance.random() * 1.2 * usual,
            )
        except AssertionError as error:
            outcome.broken.append(str(error))
            break
        outcome.acknowledged += told
        outcome.old += kills.files[cap] == before
        outcome.new += kills.files[cap] != before
    report(
        f"{count} kills in writes of mutable files",
        [
            {
                "killed": kind,
                "kills": each.kills,
                "old version": each.old,
                "new version": each.new,
                "acknowledged": each.acknowledged,
                "broken": len(each.broken),
            }
            for kind, each in outcomes.items()
        ],
    )
    return list(outcomes.values())


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--needed", type=int, default=2)
    parser.add_argument("--servers", type=int, default=5)
    options = parser.parse_args()
    shape = Shape(options.needed, options.needed, options.servers)
    with (
        tempfile.TemporaryDirectory() as room,
        grid(
            Path(room),
            servers=options.servers,
            shape=shape,
            kind="ours",
            gateways=("ours",),
        ) as made,
    ):
        outcomes = run(Kills(made, random.Random(options.seed)), options.kills)
    for outcome in outcomes:
        for text in outcome.broken:
            print(text)
    sys.exit(any(outcome.broken for outcome in outcomes))


if __name__ == "__main__":
    main()
