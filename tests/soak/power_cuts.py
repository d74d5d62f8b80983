"""
A node whose power is cut at random moments.

    python -m tests.soak.power_cuts [--cuts 200] [--seed N] [--ext4]

What a node does from its creation on is recorded: files that are stored, uploads that are
opened, fed, closed and aborted, leases, slots, reads into the cache.  Then, for each cut, a
disk is made that has what was synced by some moment and any part of what was not (see
``tests/powercut/disk.py``); the node is started on it, and what it had promised by that
moment is looked for.  A tenth as many cuts go to a storage server and helper, which has to
be the same afterwards to those that know it.  With ``--ext4`` the first is done with a real
file system in a file, of which a copy is taken while the node writes; that takes root, and
fewer cuts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.powercut import ext4, node, storage
from tests.powercut.replay import Broken, cut_at
from tests.report import report

RECORDINGS = 8  # in one run, of a node each
STEPS = 25  # things that each of them does


async def model(cuts: int, seed: int) -> list[Broken]:
    """Return the cuts of the model after which something was missing."""
    chance, broken = random.Random(seed), []
    for number in range(RECORDINGS):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            recorder = await node.record(Path(place), chance.randrange(1 << 32), STEPS)
        count = len(range(number, cuts, RECORDINGS))
        for _ in range(count):
            step = chance.randrange(len(recorder.steps) + 1)
            check = partial(node.broken, boot=b"second")
            found = await cut_at(recorder, step, chance.randrange(1 << 32), check)
            broken += [found] if found else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        recorder = await storage.record(Path(place), starts=3)
    for _ in range(cuts // 10):
        step = chance.randrange(len(recorder.steps) + 1)
        found = await cut_at(recorder, step, chance.randrange(1 << 32), storage.broken)
        broken += [found] if found else []
    return broken


async def main(arguments: argparse.Namespace) -> None:
    """Cut, and print what was found."""
    run = ext4.cuts if arguments.ext4 else model
    broken = await run(arguments.cuts, arguments.seed)
    for each in broken:
        print(f"after step {each.step}:", *each.what, sep="\n  ")
    row = {"cuts": arguments.cuts, "seed": arguments.seed, "broken": len(broken)}
    report("power_cuts", [row])
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--ext4", action="store_true")
    given = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(given)))
