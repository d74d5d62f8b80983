"""
What an honest client notices while a node is attacked.

    python -m tests.bench.hostile [--only NAME] [--seconds 15] [--source DIR] [--list]

Each attack of ``tests/hostile`` meets a fresh node.  Beside it a client stores, reads and
asks twenty times a second, each time on a new connection; how long it waits is counted from
the moment a request was due, so that all who would have come during a freeze count.  Memory
and descriptors are those of the node's process over what it had before.  "back" is the time
after the attack's end until the descriptors are back, memory is within the bound, and the
client is served in time again.  With ``--source`` the node is that of another work tree,
which has its own ``.venv``: for figures before and after.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import pkgutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from attrs import define, field

import tests.hostile
from tests.hostile.attack import Attack, Node, Stop
from tests.hostile.honest import EVERY, Wait, at_most, be_honest
from tests.report import report

MIB = 1 << 20

# What has to hold.
MOST_WAIT = 0.3  # seconds, at the 99th percentile
MOST_MEMORY = 128  # MiB over idle
MOST_BACK = 60.0  # seconds

# Before the attack, so that what is loaded at the first use is part of "idle".
WARM_UP = 4.0
# Descriptors that the honest client and the node itself may have at any moment.
SLACK = 12

# Everything here has one thread, and children have to see what is already there.
fork = multiprocessing.get_context("fork")


class Nothing(Attack):
    """No attack: how long the honest client waits anyway."""

    name = "(nothing)"

    def run(self, node: Node, stop: Stop) -> None:
        stop.wait()


def attacks() -> list[Attack]:
    """Return all attacks there are."""
    found: list[Attack] = []
    for module in pkgutil.iter_modules(tests.hostile.__path__, "tests.hostile."):
        if module.name.endswith("_attacks"):
            found += importlib.import_module(module.name).ATTACKS
    return found


@define(eq=False)
class Watch:
    """A process, and what it needed at most."""

    pid: int
    idle_memory: int = field(init=False)  # bytes
    idle_descriptors: int = field(init=False)
    descriptors: int = field(default=0, init=False)  # the most

    def begin(self) -> None:
        """From now on everything is over idle."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # forget the peak so far
        self.idle_memory = self._memory("VmRSS")
        self.idle_descriptors = self._count()

    def look(self) -> None:
        """Count descriptors now."""
        self.descriptors = max(self.descriptors, self._count())

    @property
    def memory_peak(self) -> float:
        """MiB over idle, at the most."""
        return (self._memory("VmHWM") - self.idle_memory) / MIB

    @property
    def is_back(self) -> bool:
        """Whether it needs no more than before."""
        memory = (self._memory("VmRSS") - self.idle_memory) / MIB
        return memory <= MOST_MEMORY and self._count() <= self.idle_descriptors + SLACK

    def _count(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _memory(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def measure(attack: Attack, seconds: float, place: Path) -> dict[str, object]:
    """Return the line of the table for *attack*."""
    with attack.serve(place) as node:
        stop_honest, stop_attack = fork.Event(), fork.Event()
        ours, theirs = fork.Pipe(duplex=False)
        honest = fork.Process(target=be_honest, args=(node.url, stop_honest, theirs.send))
        attacker = fork.Process(target=attack.run, args=(node, stop_attack))
        watch = Watch(node.process.pid)
        waits: list[Wait] = []
        honest.start()
        try:
            _listen(ours, waits, time.monotonic() + WARM_UP)
            waits.clear()
            watch.begin()
            attacker.start()
            begin = time.monotonic()
            end = begin + seconds
            while time.monotonic() < end:
                _listen(ours, waits, time.monotonic() + 0.1)
                watch.look()
                if node.process.poll() is not None:
                    raise AssertionError(f"{attack.name}: the node died")
            stop_attack.set()
            attacker.join(10)
            if attacker.is_alive():
                attacker.kill()
            back = _wait_until_back(watch, ours, waits)
            waits += _unanswered(waits, begin)
        finally:
            stop_honest.set()
            stop_attack.set()
            for child in (honest, attacker):
                if child.pid is not None:
                    child.join(5)
                    child.kill()
        p99, memory = at_most(waits, 0.99), watch.memory_peak
        held = p99 <= MOST_WAIT and memory <= MOST_MEMORY and back is not None
        return {
            "attack": attack.name,
            "p50, s": at_most(waits, 0.5),
            "p99, s": p99,
            "max, s": at_most(waits, 1.0),
            "refused": sum(wait.failures for wait in waits),
            "RSS over idle, MiB": memory,
            "descriptors": watch.descriptors - watch.idle_descriptors,
            "back, s": "never" if back is None else round(back, 1),
            "held": "yes" if held else "NO",
        }


def _listen(pipe: Connection, waits: list[Wait], until: float) -> None:
    """Take what the honest client says until that time."""
    while pipe.poll(max(0.0, until - time.monotonic())):
        waits.append(pipe.recv())


def _unanswered(waits: list[Wait], begin: float) -> list[Wait]:
    """Return what was due since the last answer: it waited until now, at least."""
    last, now = max((wait.due for wait in waits), default=begin) + EVERY, time.monotonic()
    missing = int(max(0.0, now - 1.0 - last) / EVERY)
    return [Wait(last + n * EVERY, now - last - n * EVERY, 0) for n in range(missing)]


def _wait_until_back(watch: Watch, pipe: Connection, waits: list[Wait]) -> float | None:
    """Return the seconds until all is as before; None if that takes too long."""
    begin = time.monotonic()
    while time.monotonic() < begin + MOST_BACK:
        now = time.monotonic()
        _listen(pipe, waits, now + 0.5)
        served = [wait for wait in waits if wait.due >= now]
        if watch.is_back and served and at_most(served, 1.0) <= MOST_WAIT:
            return now - begin
    return None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=None, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--source", type=Path, default=None, metavar="DIR")
    parser.add_argument("--directory", default=None, help="where the nodes are made")
    parser.add_argument("--list", action="store_true", help="print the names of attacks")
    options = parser.parse_args()
    if options.source is not None:
        python = options.source.resolve() / ".venv" / "bin" / "python"
        os.environ["TRUCKEE_PYTHON"] = str(python)
    chosen = [Nothing(), *attacks()]
    if options.list:
        print("\n".join(each.name for each in chosen))
        return
    if options.only is not None:
        chosen = [each for each in chosen if each.name in options.only]
    rows = []
    for attack in chosen:
        with tempfile.TemporaryDirectory(dir=options.directory) as place:
            rows.append(measure(attack, options.seconds, Path(place)))
        print({name: rows[-1][name] for name in rows[-1]}, flush=True)
    report(f"hostile, {options.seconds:g} s each", rows)


if __name__ == "__main__":
    main()
