"""The servers of slots that pass the suite: ours, and stock ones over both transports."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from foolscap.api import flushEventualQueue
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.contracts.slot_server import SlotServerContract, writes
from tests.contracts.slots_like_stock import compare
from tests.contracts.test_storage_server import certificate as certificate_of
from tests.grids import REACTOR, new_directory, new_workers
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import NodeProcess, write_node
from tests.ports import free_ports
from tests.soak import WHOLE
from tests.storage.gbs_served import (
    SWISSNUM,
    certificate,
    listen,
    new_client,
    stop,
    tub_id,
)
from truckee.codec import base32
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.node.tub import make_tub
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_schema import Nurl, nurls_of
from truckee.storage.gbs_server import GbsStorage, certificate_hash
from truckee.storage.interfaces import (
    ILocalSlots,
    ISlotReader,
    ISlotServer,
    IStorageServer,
)
from truckee.storage.limited import LimitedServer
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots

NODE_ID = b"n" * 20
# Random ones, to a stock server and to ours.
REQUESTS = 3000 if WHOLE else 120


def new_disk(
    case: TestCase, node_id: bytes = NODE_ID, root: Path | None = None
) -> tuple[DiskServer, DiskSlots]:
    """Return a server over a directory, and its slots."""
    directory = ShareDirectory(root or new_directory(case))
    workers = new_workers(case)
    now = REACTOR.seconds
    server = DiskServer(
        name="disk",
        permutation_seed=b"p" * 20,
        lease_seed=node_id,
        directory=directory,
        disk=workers,
        now=now,
    )
    server.start()
    room = server.available_space
    slots = DiskSlots("disk", node_id, SlotDirectory(directory), workers, now, room)
    server.slots = slots
    return server, slots


async def foolscap_server(case: TestCase, furl: str, name: str = "ours") -> FoolscapServer:
    """Return a client that is connected until the test ends; its key is that of *name*."""
    remote = await new_tub(case, name).getReference(furl)
    server = FoolscapServer("far", b"p" * 20, b"l" * 20, remote)
    server.hear(durable=False, max_slot_share=MAX_SHARE_SIZE)
    return server


async def foolscap_client(case: TestCase, furl: str) -> ISlotServer:
    """Return the slots of a server that is connected until the test ends."""
    return slots_of(await foolscap_server(case, furl))


def slots_of(server: IStorageServer) -> ISlotServer:
    """Return the slots of a server that has some."""
    assert server.slots is not None
    return server.slots


def serve_foolscap(case: TestCase, disk: DiskServer, slots: DiskSlots) -> str:
    """Serve a directory until the test ends; return its furl."""
    tub = new_tub(case, "theirs")
    port = free_ports(1)[0]
    tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
    tub.setLocation(f"tcp:127.0.0.1:{port}")
    return str(tub.registerReference(FoolscapStorage(disk, REACTOR, slots)))


def new_tub(case: TestCase, name: str) -> Any:
    """Return a tub that lives as long as the test; those of one name have one key."""
    tub = make_tub(certificate_of(name))
    tub.startService()
    case.addCleanup(stop_tub, tub)
    return tub


def stop_tub(tub: Any) -> Deferred[None]:
    """End its connections, and let those who watch them hear of it."""
    stopped: Deferred[None] = tub.stopService()
    return stopped.addCallback(flushEventualQueue)


async def gbs_client(case: TestCase, nurl: Nurl, tubid: bytes) -> ISlotServer:
    """Return the slots of a server that is reached until the test ends."""
    server = new_client(case, nurl, lease_seed=tubid)
    await server.version()
    return slots_of(server)


class DiskSlotsTests(SlotServerContract):
    """In this process."""

    async def new_server(self) -> ISlotServer:
        disk, self.slots = new_disk(self)
        self.root, self.node_id = disk.directory.root, NODE_ID
        return self.slots

    async def test_readers(self) -> None:
        """A share that is open stays as it was."""
        verifyObject(ILocalSlots, self.slots)
        self.assertIsNone(await self.slots.open(self.index, 0))
        await self.store()
        reader = await self.slots.open(self.index, 0)
        assert reader is not None
        verifyObject(ISlotReader, reader)
        await self.write({0: writes((0, b"new"), (10, b"more"))})
        self.assertEqual(reader.length, 10)
        self.assertEqual(await reader.read(1, 4), b"1234")
        await reader.close()
        await reader.close()


class LimitedTests(SlotServerContract):
    """In this process, with an end to every wait."""

    async def new_server(self) -> ISlotServer:
        disk, _ = new_disk(self)
        self.root, self.node_id = disk.directory.root, NODE_ID
        return slots_of(LimitedServer(disk, REACTOR))


class FoolscapTests(SlotServerContract):
    """Ours, over foolscap."""

    async def new_server(self) -> ISlotServer:
        disk, slots = new_disk(self)
        self.root, self.node_id = disk.directory.root, NODE_ID
        return await foolscap_client(self, serve_foolscap(self, disk, slots))


class GbsTests(SlotServerContract):
    """Ours, over HTTPS."""

    async def new_server(self) -> ISlotServer:
        disk, slots = new_disk(self)
        self.root, self.node_id = disk.directory.root, NODE_ID
        storage = GbsStorage(disk, SWISSNUM, REACTOR, slots)
        nurl = listen(self, storage.https(certificate()), certificate())
        self.addCleanup(stop, storage)
        return await gbs_client(self, nurl, tub_id())


class StockNode:
    """A stock storage server, which all tests of this module use."""

    node: NodeProcess
    cleanup = ExitStack()


def setUpModule() -> None:
    """Run it."""
    if not TAHOE.exists():
        return
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_ports(1)[0]
        StockNode.node = write_node(room / "stock", "", port, storage=True, web=False)
        StockNode.node.spawn("stock")
        stack.callback(StockNode.node.stop)
        StockNode.node.wait_until(StockNode.node.listens)
        StockNode.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    StockNode.cleanup.close()


def tub_of(node: NodeProcess) -> bytes:
    """Return the 20 bytes that name a node."""
    return base32.decode(node.furl.removeprefix("pb://").partition("@")[0])


class _StockTests(SlotServerContract):
    def stock(self) -> NodeProcess:
        """Return the server, and set where its shares are."""
        if not TAHOE.exists():
            self.skipTest("tahoe-lafs is not installed")
        node = StockNode.node
        self.root = node.directory / "storage"
        self.node_id = tub_of(node)
        return node


class StockFoolscapTests(_StockTests):
    """A stock server, over foolscap."""

    async def new_server(self) -> ISlotServer:
        return await foolscap_client(self, self.stock().furl)


class StockGbsTests(_StockTests):
    """A stock server, over HTTPS."""

    async def new_server(self) -> ISlotServer:
        node = self.stock()
        key = certificate_hash((node.directory / "private" / "node.pem").read_bytes())
        (nurl,) = nurls_of(node.furl, key)
        return await gbs_client(self, nurl, self.node_id)

    def check_bad_enabler(self, error: Exception) -> None:
        """The status says it all."""
        self.assertEqual(getattr(error, "nodeid", ""), "?")


class LikeStockTests(TestCase):
    timeout = 600

    async def test_random_requests(self) -> None:
        """A stock server and ours give the same answers and leave the same bytes."""
        if not TAHOE.exists():
            self.skipTest("tahoe-lafs is not installed")
        node = StockNode.node
        stock = await foolscap_client(self, node.furl)
        disk, ours = new_disk(self, tub_of(node))
        roots = node.directory / "storage", disk.directory.root
        refused, written = await compare(stock, ours, roots, REQUESTS)
        # They were of all kinds.
        self.assertGreater(refused, REQUESTS // 100)
        self.assertGreater(written, REQUESTS // 3)
        self.assertGreater(REQUESTS - written - refused, REQUESTS // 50)


del SlotServerContract, _StockTests  # they are no tests of their own here
