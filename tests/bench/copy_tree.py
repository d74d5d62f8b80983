"""
A tree of small files into the same ten stock servers, by tahoe and by truckee.

    python -m tests.bench.copy_tree [--directories 50] [--files 20] [--kib 20] [--runs 3]

Each command speaks to each gateway, and each run copies new files.  Processor time is that
of the command, the gateway and the servers; on a machine that does other things it says
more than the clock does.  Then the times of ``ls``, of processes that begin as a user's do.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import define, field, frozen

from tests.integration.stock import TAHOE
from tests.integration.stock_grid import Grid, NodeProcess, grid
from tests.processes import ask, truckee
from tests.report import report


@define
class Taken:
    """What each run took, in seconds."""

    clock: list[float] = field(factory=list)
    command: list[float] = field(factory=list)  # of processor time, as below
    gateway: list[float] = field(factory=list)
    servers: list[float] = field(factory=list)


@frozen
class Way:
    """A command and the gateway it speaks to."""

    name: str
    program: Sequence[str]
    gateway: NodeProcess
    other: NodeProcess  # a gateway that does nothing meanwhile
    servers: Sequence[NodeProcess]

    def run(self, taken: Taken, *arguments: str) -> None:
        """Run a command, and add what it takes."""
        name, *rest = arguments
        given = [name, "-d", str(self.gateway.directory), *rest]
        if self.program[0] == str(TAHOE):
            given = ["-d", str(self.gateway.directory), name, *rest]
        # A stock gateway asks its servers each second how they are.
        self.other.process.send_signal(signal.SIGSTOP)
        try:
            started, before = time.perf_counter(), self._used()
            subprocess.run([*self.program, *given], check=True, stdout=subprocess.DEVNULL)
            taken.clock.append(time.perf_counter() - started)
            used = [now - then for now, then in zip(self._used(), before, strict=True)]
        finally:
            self.other.process.send_signal(signal.SIGCONT)
        for times, seconds in zip(
            (taken.command, taken.gateway, taken.servers), used, strict=True
        ):
            times.append(seconds)

    def _used(self) -> tuple[float, float, float]:
        """Return the processor time of commands, the gateway and all servers."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        servers = sum(node.cpu_time() for node in self.servers)
        return used.ru_utime + used.ru_stime, self.gateway.cpu_time(), servers


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directories", type=int, default=50)
    parser.add_argument("--files", type=int, default=20, help="in each")
    parser.add_argument("--kib", type=int, default=20, help="of each file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lists", type=int, default=10)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(directory))
        servers = stack.enter_context(grid(place))
        ways = _ways(servers)
        _copy(ways, place / "tree", options)
        _list(ways, options.lists)


def _ways(servers: Grid) -> list[Way]:
    """Return what is compared; each gateway has an alias."""
    for gateway in (servers.stock, servers.ours):
        cap = ask("-X", "POST", f"{gateway.url}uri?t=mkdir").text
        (gateway.directory / "private" / "aliases").write_text(f"tahoe: {cap}\n")
    kinds = (("stock", servers.stock, servers.ours), ("our", servers.ours, servers.stock))
    return [
        Way(f"{name}, {kind} gateway", program, gateway, other, servers.servers)
        for kind, gateway, other in kinds
        for name, program in (("tahoe", [str(TAHOE)]), ("truckee", truckee()))
    ]


def _copy(ways: Sequence[Way], tree: Path, options: argparse.Namespace) -> None:
    count = options.directories * options.files
    there: dict[str, Taken] = {way.name: Taken() for way in ways}
    back: dict[str, Taken] = {way.name: Taken() for way in ways}
    for run in range(options.runs):
        for way in ways:
            top = tree / f"{run}-{way.name.replace(', ', '-').replace(' ', '-')}"
            _make(top, options)
            way.run(there[way.name], "cp", "-r", str(top), "tahoe:")
            target = f"{top}-back"
            way.run(back[way.name], "cp", "-r", f"tahoe:{top.name}", target)
            subprocess.run(["diff", "-r", top, f"{target}/{top.name}"], check=True)
    title = (
        f"cp -r, {count} files of {options.kib} KiB in {options.directories} directories, "
        "3-of-10, ten stock servers"
    )
    report(title, _rows("in", ways, there) + _rows("out", ways, back))


def _rows(
    what: str, ways: Sequence[Way], taken: dict[str, Taken]
) -> list[dict[str, object]]:
    first = taken[ways[0].name]
    return [
        {
            "what": f"{what}, {way.name}",
            "seconds": median(each.clock),
            "tahoe's / these": median(first.clock) / median(each.clock),
            "CPU seconds: command": median(each.command),
            "gateway": median(each.gateway),
            "servers": median(each.servers),
        }
        for way in ways
        for each in (taken[way.name],)
    ]


def _make(top: Path, options: argparse.Namespace) -> None:
    source = random.Random()
    for number in range(options.directories):
        directory = top / f"directory {number}"
        directory.mkdir(parents=True)
        for name in range(options.files):
            (directory / f"file {name}").write_bytes(source.randbytes(options.kib << 10))


def _list(ways: Sequence[Way], runs: int) -> None:
    taken: dict[str, Taken] = {way.name: Taken() for way in ways}
    for _ in range(runs):
        for way in ways:
            way.run(taken[way.name], "ls", "tahoe:")
    report(f"ls, {runs} runs", _rows("ls", ways, taken))


if __name__ == "__main__":
    main()
