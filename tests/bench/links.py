"""A home and a far network, joined by a thin line.  Needs root, a C compiler and ``ip``."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import SkipTest

from attrs import define

_SOURCE = Path(__file__).with_name("link.c")
HOME_ADDRESS, FAR_ADDRESS = "10.97.0.1", "10.97.0.2"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


@define(eq=False)
class Link:
    """The line; this process is at home, and what has *far* before its command is not."""

    home: str  # names of the namespaces
    _far: str
    process: subprocess.Popen[str]

    @property
    def far(self) -> Sequence[str]:
        """What goes before a command that runs at the other end."""
        return ["ip", "netns", "exec", self._far]

    def sent(self) -> int:
        """Return the bytes that left home over the line, with all headers."""
        told = _ip("-n", self.home, "-s", "-j", "link", "show", "thin")
        return int(json.loads(told)[0]["stats64"]["tx"]["bytes"])

    def down(self) -> None:
        """Carry nothing from now on."""
        self.process.send_signal(signal.SIGSTOP)

    def up(self) -> None:
        """Carry packets again."""
        self.process.send_signal(signal.SIGCONT)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@contextmanager
def thin_line(
    directory: Path, mbit: float, round_trip: float, queue: int = 256_000
) -> Iterator[Link]:
    """
    Join two new networks and take this process to the one at home.

    The line carries *mbit* each way, an answer takes *round_trip* seconds, and *queue*
    bytes can wait in front of it.
    """
    if os.geteuid() != 0:
        raise SkipTest("making networks takes root")
    for tool in ("ip", "cc"):
        if shutil.which(tool) is None:
            raise SkipTest(f"{tool} is not installed")
    program = directory / "link"
    subprocess.run(["cc", "-O2", "-o", program, _SOURCE], check=True)
    names = [f"truckee-{end}-{os.getpid()}" for end in ("home", "far")]
    with ExitStack() as stack:
        for name in names:
            try:
                _ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                raise SkipTest(f"no network can be made: {error.stderr}") from None
            stack.callback(_ip, "netns", "del", name)
        rate = mbit * 1e6 / 8
        process = subprocess.Popen(
            [program, *names, str(round_trip / 2), str(rate), str(queue)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SkipTest("this system has no TUN devices")
        ends = (HOME_ADDRESS, FAR_ADDRESS)
        for name, address, peer in zip(names, ends, reversed(ends), strict=True):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", address, "peer", peer, "dev", "thin")
            _ip("-n", name, "link", "set", "thin", "mtu", "1500", "up")
        stack.enter_context(_inside(names[0]))
        yield Link(names[0], names[1], process)


@contextmanager
def _inside(name: str) -> Iterator[None]:
    """Take this thread, and what it starts, to another network for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter a network")
        yield
    finally:
        libc.setns(before, _NEW_NETWORK)
        os.close(before)
        os.close(there)
