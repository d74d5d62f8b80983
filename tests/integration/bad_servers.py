"""
A stock storage server that goes bad in the middle of a transfer, and gets well again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from attrs import define, field

from tests.integration.stock_grid import Grid, NodeProcess, connected, reaches
from tests.processes import START_TIME, eventually
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, parse_cap
from truckee.grid.placement import happiness

What = Literal["frozen", "slow", "full", "killed"]

# Of a slow server: it runs for a hundredth of the time.
PERIOD = 0.2  # seconds
AWAKE = PERIOD / 100

# A transfer that takes longer than this has failed.
LIMIT = 60.0  # seconds


@contextmanager
def frozen(server: NodeProcess) -> Iterator[None]:
    """Let it answer nothing, with all its connections open."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@contextmanager
def slow(server: NodeProcess) -> Iterator[None]:
    """Let it run for a hundredth of the time."""
    pid = server.process.pid
    over = threading.Event()

    def nap() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGCONT)
            time.sleep(AWAKE)
            os.kill(pid, signal.SIGSTOP)
            over.wait(PERIOD - AWAKE)
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=nap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def killed(server: NodeProcess) -> Iterator[None]:
    """Let it die at this very moment."""
    server.kill()
    try:
        yield
    finally:
        server.spawn("stock")
        server.wait_until(server.listens)


@contextmanager
def full(grid: Grid, server: NodeProcess) -> Iterator[None]:
    """Let it run with no space to give; the gateway is connected to it."""
    config = server.directory / "tahoe.cfg"
    before = config.read_text()
    try:
        changed = before.replace("reserved_space = 0", "reserved_space = 1000T")
        _restart(grid, server, changed)
        yield
    finally:
        _restart(grid, server, before)


def _restart(grid: Grid, server: NodeProcess, config: str) -> None:
    server.stop()
    # Over HTTPS, which it may have come back by, nobody notices before the next look.
    eventually(lambda: connected(grid.ours) < len(grid.servers), 2 * START_TIME)
    (server.directory / "tahoe.cfg").write_text(config)
    server.spawn("stock")
    server.wait_until(server.listens)
    _wait_for_all(grid)


def _wait_for_all(grid: Grid) -> None:
    eventually(partial(reaches, grid.ours, len(grid.servers)), START_TIME)


def settle(grid: Grid) -> None:
    """Return when all servers take shares of our gateway again."""
    _wait_for_all(grid)

    def all_take_one() -> bool:
        cap = grid.ours.put(os.urandom(1000))
        found = happy(grid, cap)
        for share in _shares_of(grid, cap):
            share.unlink()
        return found == len(grid.servers)

    eventually(all_take_one, START_TIME)
    # What was given up while it was being written is aborted, or forgotten.
    eventually(lambda: not any(each.incoming() for each in grid.servers), START_TIME)


def happy(grid: Grid, cap: str) -> int:
    """Return the happiness of a file, as the servers' disks say."""
    holders: dict[int, set[Path]] = {}
    for share in _shares_of(grid, cap):
        holders.setdefault(int(share.name), set()).add(share.parents[3])
    return happiness(holders)


def _shares_of(grid: Grid, cap: str) -> list[Path]:
    parsed = parse_cap(cap)
    assert isinstance(parsed, ChkReadCap)
    name = base32.encode(parsed.storage_index)
    return [
        path
        for server in grid.servers
        for path in server.shares()
        if path.parent.name == name
    ]


@define
class Request:
    """What became of one request to a gateway."""

    seconds: float
    code: int  # of the program that made it; 0 if all went well
    output: bytes = field(repr=False)  # of an upload
    missed: bool = False  # it was over before the server went bad

    @property
    def text(self) -> str:
        """The output for people; the cap, if all went well."""
        return self.output.decode(errors="replace")


@define
class Trouble:
    """One server of *grid*, and how it goes bad."""

    grid: Grid
    server: NodeProcess
    what: What

    def bad(self) -> AbstractContextManager[None]:
        """Return what makes it bad, and well again."""
        return {
            "frozen": partial(frozen, self.server),
            "slow": partial(slow, self.server),
            "killed": partial(killed, self.server),
            "full": partial(full, self.grid, self.server),
        }[self.what]()

    @contextmanager
    def during(
        self, start: Callable[[], subprocess.Popen[bytes]], moment: float | None
    ) -> Iterator[Request]:
        """
        Do what *start* starts, with the server bad from *moment* on, or from before.

        *moment* is in seconds.  Give what became of it, while the server is still bad.
        """
        if moment is None:
            with self.bad():
                yield finish(start)
            return
        began = time.perf_counter()
        process = start()
        time.sleep(moment)
        missed = process.poll() is not None
        with self.bad():
            done = _finish(process, began)
            done.missed = missed
            yield done


def finish(start: Callable[[], subprocess.Popen[bytes]]) -> Request:
    """Return what became of what *start* starts."""
    began = time.perf_counter()
    return _finish(start(), began)


def _finish(process: subprocess.Popen[bytes], began: float) -> Request:
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return Request(time.perf_counter() - began, process.returncode, output)


def upload(gateway: NodeProcess, source: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start to store a file; its output is the cap, or an error."""
    command = ["curl", "-sS", "--fail-with-body", *options, "-T", str(source)]
    return subprocess.Popen([*command, f"{gateway.url}uri"], stdout=subprocess.PIPE)


def download(
    gateway: NodeProcess, cap: str, target: Path, *options: str
) -> subprocess.Popen[bytes]:
    """Start to read a file into *target*."""
    command = ["curl", "-sS", "--fail", *options, "-o", str(target)]
    return subprocess.Popen([*command, gateway.file_url(cap)], stdout=subprocess.PIPE)


def random_file(path: Path, size: int, chance: random.Random) -> None:
    """Fill *path* with bytes that no other file has."""
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(chance.randbytes(min(1 << 20, size - start)))
