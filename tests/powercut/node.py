"""A grid in this process that is used, and what it promised to whom."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from attrs import define, field, frozen

from tests.grids import NOW, REACTOR
from tests.powercut.recorder import Recorder
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap
from truckee.codec.container import ContainerHeader
from truckee.codec.hashes import storage_index_of
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.durable import write_durably
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.uploader import Cap
from truckee.node.build import Node
from truckee.node.config import GridShape
from truckee.node.create import create_grid
from truckee.node.layout import NodeDirectory
from truckee.storage.interfaces import SlotChange, SlotRead, SlotSecrets, SlotWrite
from truckee.storage.share_leases import read_leases
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload

SEGMENT = 4096
SLOTS = (b"1" * 16, b"2" * 16)  # of mutable files
_CONFIG = f"""
[client]
shares._max_immutable_segment_size_for_testing = {SEGMENT}
cache.limit = 1MiB
"""


@frozen
class Created:
    """The node was made."""


@frozen
class Stored:
    """A file was stored."""

    cap: Cap = field(repr=False)
    data: bytes = field(repr=False)


@frozen
class Leased:
    """All shares of a file have a lease."""

    storage_index: bytes
    renew: bytes = field(repr=False)


@frozen
class Opened:
    """An upload is open and has these bytes, at least; with a cap it is stored."""

    handle: str = field(repr=False)
    data: bytes = field(repr=False)
    cap: Cap | None = field(default=None, repr=False)


@frozen
class Slotted:
    """A slot is being written; with *done* it has this content, or that of a later one."""

    storage_index: bytes
    data: bytes = field(repr=False)
    done: bool


@frozen
class Aborted:
    """An upload is being given up, or was."""

    handle: str = field(repr=False)


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1500):
        yield data[start : start + 1500]


def create(path: Path) -> None:
    """Make the node directory."""
    create_grid(NodeDirectory(path), GridShape(2, 2, 3), web_port="")
    # The operator's own edit.
    text = (path / "tahoe.cfg").read_text()
    text = text.replace("[client]\n", _CONFIG.lstrip(), 1)
    text = text.replace("reserved_space = 1G", "reserved_space = 0")
    write_durably(path / "tahoe.cfg", text.encode())


async def running(path: Path, boot: bytes) -> Node:
    """Return a node that was started, after some start of its machine."""
    node = Node(NodeDirectory(path), REACTOR, boot)
    await node.start()
    return node


async def read(node: Node, cap: Cap) -> bytes:
    """Return a file."""
    assert isinstance(cap, ChkReadCap)
    assert node.parts is not None
    download = (await node.parts.downloads.downloader.open(cap)).read(0, cap.size)
    try:
        return b"".join([piece async for piece in download])
    finally:
        download.stop()


def slots(node: Node) -> DiskSlots:
    """Return the slots in one of its directories, which a storage server has too."""
    server = node.local[0]

    async def room() -> int:
        return 1 << 30

    directory = SlotDirectory(server.directory)
    return DiskSlots("slots", bytes(20), directory, server._disk, lambda: NOW, room)


@define(eq=False)
class Workload:
    """One node that stores, opens, appends, leases and reads, and marks its promises."""

    node: Node
    chance: random.Random
    promise: Callable[[object], None]
    stored: list[Stored] = field(factory=list)
    open: list[tuple[OpenUpload, bytes]] = field(factory=list)

    async def steps(self, count: int) -> None:
        """Do *count* things, the first of each kind first."""
        kinds = [self.store, self.begin, self.append, self.lease, self.read, self.close]
        kinds += [self.write_slot, self.begin, self.begin, self.abort, self.write_slot]
        for number in range(count):
            await (kinds[number] if number < len(kinds) else self.chance.choice(kinds))()

    def data(self) -> bytes:
        return self.chance.randbytes(self.chance.randrange(100, 3 * SEGMENT))

    async def store(self) -> None:
        """Store a file; its size may not be known."""
        data = self.data()
        size = self.chance.choice([None, len(data)])
        assert self.node.parts is not None
        cap = await self.node.parts.uploader.upload(
            _bytes(data), UploadOptions(RandomKey(os.urandom(16)), size)
        )
        self.stored.append(Stored(cap, data))
        self.promise(self.stored[-1])

    async def begin(self) -> None:
        """Open an upload."""
        assert self.node.parts is not None
        upload = await self.node.parts.open_uploads.open(UploadOptions(RandomKey()))
        self.open.insert(0, (upload, b""))
        self.promise(Opened(upload.handle, b""))
        await self.append()

    async def append(self) -> None:
        """Bring an open upload a piece."""
        if self.open:
            upload, before = self.open.pop(0)
            data = self.data()
            await upload.append(len(before), _bytes(data))
            self.open.append((upload, before + data))
            self.promise(Opened(upload.handle, before + data))

    async def close(self) -> None:
        """Close an open upload."""
        if self.open:
            upload, data = self.open.pop(0)
            cap = await upload.close()
            self.promise(Opened(upload.handle, data, cap))
            self.stored.append(Stored(cap, data))
            self.promise(self.stored[-1])

    async def abort(self) -> None:
        """Give an open upload up."""
        if len(self.open) > 1:
            upload, _data = self.open.pop(0)
            self.promise(Aborted(upload.handle))
            await upload.abort()

    async def lease(self) -> None:
        """Add a lease of another gateway to all shares of a file."""
        cap = self.chance.choice(self.stored).cap
        assert isinstance(cap, ChkReadCap)
        index, secrets = storage_index_of(cap.key), LeaseSecrets(os.urandom(32), bytes(32))
        for server in self.node.local:
            await server.add_lease(index, secrets)
        self.promise(Leased(index, secrets.renew))

    async def write_slot(self) -> None:
        """Write the share of a mutable file, at once or over what is there."""
        index, data = self.chance.choice(SLOTS), self.data()
        self.promise(Slotted(index, data, done=False))
        change = SlotChange(writes=[SlotWrite(0, data)], new_length=len(data))
        secrets = SlotSecrets(b"w" * 32, LeaseSecrets(os.urandom(32), bytes(32)))
        await slots(self.node).test_and_write(index, secrets, {0: change}, [])
        self.promise(Slotted(index, data, done=True))

    async def read(self) -> None:
        """Read a file, which goes to the cache then."""
        await read(self.node, self.chance.choice(self.stored).cap)


async def record(path: Path, seed: int, count: int) -> Recorder:
    """Return all that a node did, from its creation to its end."""
    recorder, chance = Recorder(path), random.Random(seed)
    with recorder.recording():
        create(path)
        recorder.mark(Created())
        node = await running(path, b"first")
        try:
            await Workload(node, chance, recorder.mark).steps(count)
        finally:
            await node.stop()
    return recorder


async def broken(path: Path, promises: list[object], boot: bytes) -> list[str]:
    """Start the node that is left after a cut; return which promises are broken."""
    if not any(isinstance(each, Created) for each in promises):
        return []
    node = await running(path, boot)
    found = []
    try:
        latest = {each.handle: each for each in promises if isinstance(each, Opened)}
        for index in SLOTS:
            found += await _slot(node, index, promises)
        gone = {each.handle for each in promises if isinstance(each, Aborted)}
        for each in promises:
            if isinstance(each, Stored) and await _read(node, each) != each.data:
                found.append(f"{each}: lost")
            elif isinstance(each, Leased):
                found += _leases(node, each)
        for handle in latest.keys() - gone:
            found += await _open(node, latest[handle])
        found += _orphans(node)
    finally:
        await node.stop()
    return found


async def _read(node: Node, file: Stored) -> bytes | None:
    try:
        return await read(node, file.cap)
    except Exception:
        return None


def _leases(node: Node, promise: Leased) -> list[str]:
    found = []
    for server in node.local:
        for share in server.directory.shares(promise.storage_index).values():
            known = ContainerHeader(2, 0).stored(promise.renew)
            if not any(lease.renew == known for lease in read_leases(share.path)):
                found.append(f"{share.path.name}: no lease")
    return found


async def _slot(node: Node, index: bytes, promises: list[object]) -> list[str]:
    """A slot has what was promised last, or what was being written then."""
    writes = [p for p in promises if isinstance(p, Slotted) and p.storage_index == index]
    done = [place for place, each in enumerate(writes) if each.done]
    possible = {each.data for each in writes[done[-1] if done else 0 :]}
    if not done:
        possible.add(b"")
    answer = await slots(node).read(index, set(), [SlotRead(0, 1 << 20)])
    content = answer[0][0] if 0 in answer else b""
    return [] if content in possible else [f"slot: {len(content)} other bytes"]


async def _open(node: Node, promise: Opened) -> list[str]:
    assert node.parts is not None
    upload = node.parts.open_uploads.find(promise.handle)
    if promise.cap is not None or upload.state is not State.OPEN:
        # It was closed before the cut, and goes on by itself if it was not stored yet.
        cap = await upload.close()
        if promise.cap not in (None, cap):
            return [f"{promise}: another cap"]
        found = await _read(node, Stored(cap, promise.data))
        return [] if found == promise.data else [f"{promise}: not stored"]
    if upload.offset < len(promise.data):
        return [f"{promise}: {upload.offset} of {len(promise.data)} bytes"]
    found = b"".join([piece async for piece in upload.read_all(4096)])
    return [] if found.startswith(promise.data) else [f"{promise}: other bytes"]


def _orphans(node: Node) -> list[str]:
    """Return files of which some shares are there and others are not."""
    found: dict[str, set[str]] = {}
    slotted = {base32.encode(index) for index in SLOTS}
    for server in node.local:
        for path in (server.directory.root / "shares").glob("??/*/*"):
            if "incoming" not in path.parts and path.parent.name not in slotted:
                found.setdefault(path.parent.name, set()).add(path.name)
    return [
        f"{index}: shares {shares}" for index, shares in found.items() if len(shares) != 3
    ]
