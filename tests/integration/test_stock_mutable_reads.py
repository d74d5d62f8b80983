"""
Mutable files that a stock gateway wrote, on servers of both programs, read by us.

The same caps are written again and again, longer and shorter, so that shares have bytes of
longer versions behind their ends.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.contracts.test_slot_server import new_tub
from tests.grids import REACTOR, new_workers
from tests.integration.directories import Directories, directories
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import NodeProcess, Program, Shape, configure
from tests.mutable.share_grid import read
from tests.processes import CurlError, curl
from tests.soak import WHOLE
from tests.storage.gbs_served import new_client
from truckee.codec import base32
from truckee.codec.caps import MutableWriteCap, parse_cap
from truckee.codec.mutable_secrets import fingerprint_of
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import Holdings
from truckee.mutable.opened import OpenVersion
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Versions
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import certificate_hash
from truckee.storage.interfaces import IStorageServer
from truckee.storage.limited import LimitedServer

SERVERS: Sequence[Program] = ("stock", "ours") * 2
SHAPES = [Shape(3, 1, 10), Shape(1, 1, 4), Shape(2, 1, 3), Shape(7, 1, 10)]
SEGMENT = 131_072
FORMATS = ("SDMF", "MDMF")
# Of the sizes every third one, another one for each shape, unless there is time.
EVERY = 1 if WHOLE else 3


def sizes_for(needed: int) -> list[int]:
    """Return sizes where something changes, up and down."""
    segment = -(-SEGMENT // needed) * needed
    around = [SEGMENT - 1, SEGMENT, SEGMENT + 1, segment - 1, segment, segment + 1]
    several = [2 * segment, 2 * segment + 1, 4 * segment - needed, 4 * segment + 1]
    low = [1, needed - 1, needed, needed + 1, 55, 56, 2000, 10_240]
    return [*low, *several, 0, *around, 5 * segment + 77, 3]


_TRIES = 5


class _Shared:
    """The nodes of this module."""

    cleanup = ExitStack()
    grid: Directories


def setUpModule() -> None:
    """Run the servers."""
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _Shared.grid = stack.enter_context(directories(place, SERVERS, SHAPES[0]))
        _Shared.grid.use("foolscap")
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End them."""
    _Shared.cleanup.close()


def tub_of(node: NodeProcess) -> bytes:
    """Return the 20 bytes that name a node."""
    return base32.decode(node.furl.removeprefix("pb://").partition("@")[0])


class StockFilesTests(TestCase):
    """What a reader of ours gets."""

    timeout = 300

    async def over_foolscap(self) -> list[IStorageServer]:
        """Return clients of all servers."""
        tub = new_tub(self, "ours")
        found: list[IStorageServer] = []
        for node in _Shared.grid.servers:
            remote = await tub.getReference(node.furl)
            seed = tub_of(node)
            server = FoolscapServer(node.directory.name, seed, seed, remote)
            server.hear(durable=False, max_slot_share=MAX_SHARE_SIZE)
            found.append(LimitedServer(server, REACTOR))
        return found

    async def over_https(self) -> list[IStorageServer]:
        """Return clients of all servers."""
        found: list[IStorageServer] = []
        for node in _Shared.grid.servers:
            pem = (node.directory / "private" / "node.pem").read_bytes()
            nurl = nurls_of(node.furl, certificate_hash(pem))[0]
            server = new_client(self, nurl, lease_seed=tub_of(node))
            await server.version()
            found.append(LimitedServer(server, REACTOR))
        return found

    def put(self, target: str, data: bytes) -> str:
        """Have the stock gateway store *data*."""
        url = f"{_Shared.grid.gateway.url}uri{target}"
        return curl("-X", "PUT", "--data-binary", "@-", url, data=data).decode()

    def put_at(self, cap: str, offset: int, data: bytes) -> None:
        """
        Have the stock gateway write *data* at an offset.

        At times it fails at that with an error of its own (a KeyError while it publishes),
        and leaves the file as it was.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                self.put(f"/{cap}?offset={offset}", data)
                return
            except CurlError as error:
                if attempt == _TRIES or b"KeyError" not in error.output:
                    raise

    async def open(
        self, servers: Sequence[IStorageServer], text: str
    ) -> tuple[OpenVersion, Versions]:
        """Return the best version of the file of a write cap."""
        cap = parse_cap(text)
        assert isinstance(cap, MutableWriteCap)
        mapper = Mapper(lambda: servers, 3, 10, self.cpu, REACTOR)
        found = await mapper.map(cap, Purpose.WRITE, write_cap=cap)
        assert found.private_key is not None
        der = found.private_key.verifying_key.der
        self.assertEqual(fingerprint_of(der), cap.fingerprint)
        holdings = Holdings(Budget(64 << 20), REACTOR)
        opened = OpenVersion.best_of(cap.read_cap(), found, self.cpu, REACTOR, holdings)
        return opened, found

    async def check(self, connect: Callable[[], Awaitable[list[IStorageServer]]]) -> None:
        """Write files of all sizes and both kinds, and read each of them."""
        grid = _Shared.grid
        self.cpu = new_workers(self, 2)
        servers = await connect()
        for first, shape in enumerate(SHAPES if WHOLE else SHAPES[:2]):
            configure(grid.gateway, shape)
            grid.use("foolscap")
            for kind in FORMATS:
                cap = self.put(f"?format={kind}", b"the first version")
                sizes = sizes_for(shape.needed)[first % EVERY :: EVERY]
                for number, size in enumerate(sizes):
                    text = random.Random(size).randbytes(size)
                    self.put(f"/{cap}", text)
                    opened, found = await self.open(servers, cap)
                    self.assertTrue(found.is_healthy, (kind, shape, size))
                    self.assertEqual(opened.prefix.sequence, number + 2)
                    cut = opened.geometry
                    self.assertEqual((cut.needed, cut.total), (shape.needed, shape.total))
                    self.assertTrue(await read(opened) == text, (kind, shape, size))

    async def test_over_foolscap(self) -> None:
        await self.check(self.over_foolscap)

    async def test_over_https(self) -> None:
        await self.check(self.over_https)

    async def test_changed_in_place(self) -> None:
        """What stock writes at an offset, also beyond a power of two of segments."""
        self.cpu = new_workers(self, 2)
        configure(_Shared.grid.gateway, SHAPES[0])
        _Shared.grid.use("foolscap")
        servers = await self.over_foolscap()
        text = bytearray(random.Random(1).randbytes(2 * SEGMENT))
        cap = self.put("?format=MDMF", bytes(text))
        for offset, length in ((5, 3), (SEGMENT, 10), (2 * SEGMENT, 200_000), (0, 1)):
            more = random.Random(offset).randbytes(length)
            self.put_at(cap, offset, more)
            text[offset : offset + length] = more
            opened, found = await self.open(servers, cap)
            self.assertTrue(found.is_healthy)
            self.assertTrue(await read(opened) == bytes(text), (offset, length))
            start = max(0, offset - 2)
            self.assertEqual(
                await read(opened, start, offset + length), text[start : offset + length]
            )

    async def test_a_lost_server(self) -> None:
        """What is left suffices."""
        self.cpu = new_workers(self, 2)
        text = random.Random(2).randbytes(10_240)
        cap = self.put("?format=SDMF", text)
        servers = (await self.over_foolscap())[1:]
        opened, found = await self.open(servers, cap)
        self.assertEqual(await read(opened), text)
        self.assertTrue(found.asked_all)
