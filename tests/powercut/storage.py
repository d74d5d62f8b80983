"""A storage server and helper in this process that starts and stops, and its identity."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import field, frozen

from tests.grids import REACTOR, pause
from tests.ports import free_ports
from tests.powercut.recorder import Recorder
from truckee.node.build import Node
from truckee.node.create import create_node
from truckee.node.layout import NodeDirectory

# What others know a node by, and what must not change.
_NAMES = (
    "private/convergence",
    "private/secret",
    "private/node.pem",
    "private/node.privkey",
    "private/storage.furl",
    "private/helper.furl",
    "permutation-seed",
)


@frozen
class Created:
    """The node was made."""


@frozen
class Announced:
    """It is known to others by this, and by announcements up to *number*."""

    files: dict[str, bytes] = field(repr=False)
    number: int


def _identity(path: Path) -> Announced:
    files = {name: (path / name).read_bytes() for name in _NAMES}
    return Announced(files, int((path / "announcement-seqnum").read_text()))


async def _run(path: Path) -> None:
    """Start the node and stop it."""
    node = Node(NodeDirectory(path), REACTOR, os.urandom(16))
    try:
        await node.start()
    finally:
        await node.stop()
        await pause()  # until its connections know that they are closed


async def record(path: Path, starts: int) -> Recorder:
    """Return all that a node did in some starts, from its creation on."""
    [port] = free_ports(1)
    place = f"tcp:127.0.0.1:{port}"
    config = (
        f"[node]\nnickname = n\ntub.port = tcp:{port}:interface=127.0.0.1\n"
        f"tub.location = {place}\n[storage]\nenabled = true\n[helper]\nenabled = true\n"
    )
    recorder = Recorder(path)
    with recorder.recording():
        create_node(NodeDirectory(path), config)
        recorder.mark(Created())
        for _ in range(starts):
            await _run(path)
            recorder.mark(_identity(path))
    return recorder


async def broken(path: Path, promises: list[object]) -> list[str]:
    """Start the node that is left after a cut; return what is not as it was known."""
    if not promises:
        return []
    await _run(path)
    now, found = _identity(path), []
    for each in promises:
        if isinstance(each, Announced):
            found += [name for name in _NAMES if each.files[name] != now.files[name]]
            if now.number <= each.number:
                found.append(f"number {now.number} after {each.number}")
    return found
