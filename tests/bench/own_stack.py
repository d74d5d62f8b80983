"""
Ten truckee servers and a truckee gateway beside ten stock servers and a stock gateway.

    python -m tests.bench.own_stack [--mib 100] [--runs 5] [--directory DIR]
        [--transport foolscap|https|auto] [--layers]

Every node is a process of its own, and all of both grids run all the time.  Runs alternate,
so that what else the machine does falls on both.  Each file is new.  The stock gateway
reaches its servers over HTTPS, as it does by itself.  --layers tells which layers the
processor time of the truckee gateway and of three of its servers goes to; it needs py-spy,
and the right to trace processes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import get_args

from attrs import define, field, frozen

from tests.bench.layers import merge, recording, rows
from tests.bench.throughput import _digest, _make, get, hash_of
from tests.integration.stock_grid import Grid, NodeProcess, Program, grid, reaches
from tests.processes import curl
from tests.report import report

_UP, _DOWN = "upload", "download"
NAMES = {"ours": "truckee", "stock": "stock"}
# A download asks three servers of ten, so one alone may see nothing of it.
_SAMPLED_SERVERS = 3
# What is still done after the answer is over once all processes rest for so long.
_REST = 0.3  # seconds
_AT_REST = 0.03  # seconds of processor time in it


@frozen(eq=False)
class Stack:
    """A grid of one program, and its gateway."""

    kind: Program
    nodes: Grid

    @property
    def gateway(self) -> NodeProcess:
        """What clients talk to."""
        return self.nodes.ours if self.kind == "ours" else self.nodes.stock

    def cpu(self) -> tuple[float, float]:
        """Return the processor seconds of the gateway and of all servers."""
        servers = sum(server.cpu_time() for server in self.nodes.servers)
        return self.gateway.cpu_time(), servers

    def settle(self) -> tuple[float, float]:
        """Wait until nothing is done any more; return the processor seconds then."""
        before = self.cpu()
        while True:
            time.sleep(_REST)
            after = self.cpu()
            if sum(after) - sum(before) <= _AT_REST:
                return after
            before = after


@define
class Cost:
    """The processor time that each run took at both ends; in seconds, unless scaled."""

    gateway: list[float] = field(factory=list)
    servers: list[float] = field(factory=list)  # of all of them

    @contextmanager
    def counted(self, stack: Stack, scale: float = 1.0) -> Iterator[None]:
        """Count what is done within with *stack*, and after it, as one run."""
        gateway, servers = stack.settle()
        yield
        gateway_after, servers_after = stack.settle()
        self.gateway.append(scale * (gateway_after - gateway))
        self.servers.append(scale * (servers_after - servers))

    @property
    def whole(self) -> float:
        """Return the median of the processor time at both ends."""
        return median(map(sum, zip(self.gateway, self.servers, strict=True)))


@define
class Measured(Cost):
    """What each run took."""

    seconds: list[float] = field(factory=list)

    def run(self, stack: Stack, work: Callable[[], str]) -> str:
        """Do *work* with *stack*, and return what it returns."""
        with self.counted(stack):
            started = time.perf_counter()
            result = work()
            self.seconds.append(time.perf_counter() - started)
        return result


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    add_transport(parser)
    parser.add_argument("--layers", action="store_true", help="where the CPU time goes")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        both_stacks(Path(directory), options.transport) as stacks,
    ):
        source = Path(directory) / "source"
        measured = _measure(stacks, source, options.mib << 20, options.runs)
        _print(measured, options)
        if options.layers:
            ours = next(stack for stack in stacks if stack.kind == "ours")
            _print_layers(ours, source, measured, options)


def add_transport(parser: argparse.ArgumentParser) -> None:
    """Add the option for what the truckee gateway reaches its servers over."""
    parser.add_argument(
        "--transport", choices=("foolscap", "https", "auto"), default="auto"
    )


@contextmanager
def both_stacks(
    directory: Path, transport: str = "auto", servers: int = 10
) -> Iterator[Sequence[Stack]]:
    """Run both grids; the truckee gateway reaches its servers over *transport*."""
    with ExitStack() as running:
        stacks = []
        for kind in get_args(Program):
            place = directory / kind
            place.mkdir()
            # It starts below, once it has its settings.
            nodes = grid(place, servers=servers, kind=kind, gateways=())
            stacks.append(Stack(kind, running.enter_context(nodes)))
        for stack in stacks:
            if stack.kind == "ours":
                with (stack.gateway.directory / "tahoe.cfg").open("a") as config:
                    config.write(f"[client]\nstorage.transport = {transport}\n")
            stack.nodes.start_gateways([stack.kind])
        for stack in stacks:
            stack.gateway.wait_until(lambda: reaches(stack.gateway, servers))  # noqa: B023
        yield stacks


def _measure(
    stacks: Sequence[Stack], source: Path, size: int, runs: int
) -> dict[tuple[str, str], Measured]:
    """Return what uploads and downloads took, by direction and program."""
    measured: dict[tuple[str, str], Measured] = {}
    back = source.with_name("back")
    for _ in range(runs):
        for stack in stacks:
            digest = _make(source, size)
            up = measured.setdefault((_UP, stack.kind), Measured())
            cap = up.run(stack, lambda: put(stack, source))  # noqa: B023
            down = measured.setdefault((_DOWN, stack.kind), Measured())
            url = stack.gateway.file_url(cap)
            down.run(stack, lambda: get(url, back))  # noqa: B023
            if hash_of(back) != digest:
                raise AssertionError("the file did not come back")
            stack.nodes.clear()
    return measured


def put(stack: Stack, source: Path) -> str:
    """Have the gateway store a file; return its cap."""
    return curl("-T", str(source), f"{stack.gateway.url}uri").decode()


def _print(measured: dict[tuple[str, str], Measured], options: argparse.Namespace) -> None:
    size = options.mib << 20
    table = []
    for what in (_UP, _DOWN):
        stock = measured[what, "stock"]
        for kind in ("stock", "ours"):
            each = measured[what, kind]
            table.append(
                {
                    "what": f"{what}, {NAMES[kind]}",
                    "seconds": median(each.seconds),
                    "MB/s": size / 1e6 / median(each.seconds),
                    "gateway CPU s": median(each.gateway),
                    "servers CPU s": median(each.servers),
                    "whole CPU s": each.whole,
                    "stock s / s": median(stock.seconds) / median(each.seconds),
                    "whole CPU / stock's": each.whole / stock.whole,
                }
            )
    report(
        f"own stack over {options.transport}, {options.mib} MiB, 3-of-10, ten servers in"
        f" processes of their own, medians of {options.runs}",
        table,
    )


def _print_layers(
    stack: Stack,
    source: Path,
    measured: dict[tuple[str, str], Measured],
    options: argparse.Namespace,
) -> None:
    """Sample both ends during as many uploads and downloads as were measured."""
    size = options.mib << 20
    caps = []

    def upload() -> None:
        for _ in range(options.runs):
            _make(source, size)
            caps.append(put(stack, source))
        stack.settle()

    def download() -> None:
        for cap in caps:
            _digest(stack.gateway.file_url(cap))

    for what, work in ((_UP, upload), (_DOWN, download)):
        each = measured[what, "ours"]
        with ExitStack() as recordings:
            sampled = [
                recordings.enter_context(recording(node.process.pid, place))
                for node, place in _sampled(stack, source)
            ]
            work()
        gateway, *servers = (each.layers for each in sampled)
        for end, layers, seconds in (
            ("the gateway", gateway, each.gateway),
            (f"{_SAMPLED_SERVERS} servers", merge(servers), each.servers),
        ):
            cost = 1000 * median(seconds) / options.mib
            report(f"layers of {end}, {what}", rows(layers, cost))


def _sampled(stack: Stack, source: Path) -> Iterator[tuple[NodeProcess, Path]]:
    """Yield the gateway and some servers, and where their samples go."""
    for node in (stack.gateway, *stack.nodes.servers[:_SAMPLED_SERVERS]):
        yield node, source.with_name(f"samples-{node.directory.name}")


if __name__ == "__main__":
    main()
