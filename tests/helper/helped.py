"""A helper and gateways that use it, in one process, over real connections on loopback."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from foolscap.api import Tub, flushEventualQueue
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import TestCase

from tests.grids import (
    NOW,
    REACTOR,
    Grid,
    files_below,
    make_file,
    new_directory,
    pause,
    until,
)
from tests.ports import free_port
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.helper.gateway.connection import HelperConnection
from truckee.helper.gateway.push_sink import HelperSink, HelperSinks
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.ownership import Owner
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.pull_service import StockUploads
from truckee.helper.server.push_service import Helper
from truckee.helper.server.registry import Uploads, new_uploads
from truckee.helper.server.state import Event
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.immutable.upload.sinks import NewFile
from truckee.net.port_sharing import SharedEndpoint
from truckee.node.share_channels import NodeChannels
from truckee.storage.channel_client import Seats
from truckee.storage.channel_server import ShareChannels

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
ENCODING = Encoding(2, 3, 64)
PARAMETERS = Parameters(2, 1, 3, 64)
# Long enough for a busy machine, short enough for a test of what never comes.
PATIENCE = HelperPatience(absent=8.0, silent=8.0, again=0.02)


@cache
def _certificate(number: int) -> bytes:
    """Return a key and its certificate; making one takes a while."""
    return bytes(Tub().getCertData())


def new_tub(case: TestCase, number: int) -> Any:
    """Return a tub that runs until the test ends; *number* is its identity."""
    tub = Tub(certData=_certificate(number))
    # As the tubs of nodes are.
    tub.setOption("expose-remote-exception-types", False)
    tub.unsafeTracebacks = False
    tub.startService()
    case.addCleanup(lambda: tub.stopService() if tub.running else None)
    return tub


def cut(tub: Any) -> None:
    """Break all connections of a tub, as a reset does."""
    for broker in list(tub.brokers.values()):
        broker.transport.abortConnection()


@define(eq=False)
class Content:
    """A file: its plaintext, its ciphertext under KEY, and what both become."""

    size: int
    encoding: Encoding = ENCODING
    seed: int = 0
    plaintext: bytes = field(init=False, repr=False)
    ciphertext: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.plaintext = random.Random(self.seed or self.size).randbytes(self.size)
        self.ciphertext = crypt(KEY, 0, self.plaintext)

    @property
    def cap(self) -> ChkReadCap:
        """Its cap as a file of known size."""
        return make_file(self.plaintext, KEY, self.encoding).cap

    @property
    def root(self) -> bytes:
        """The root of the hash tree over its ciphertext."""
        return make_file(self.plaintext, KEY, self.encoding).crypttext_tree[:32]


@define(eq=False)
class Helped:
    """A helper on a grid.  It can die and come back."""

    case: TestCase
    grid: Grid
    limits: HelperLimits
    home: Path
    now: Callable[[], float]
    linger: float = 0.0  # seconds
    boot: bytes = b"first"  # which start of its machine this is
    beside: bool = False  # whether it has share channels
    uploads: Uploads = field(init=False)
    stock: StockUploads = field(init=False)
    helper: Helper = field(init=False)
    channels: ShareChannels | None = field(default=None, init=False)  # if it has some
    tub: Any = field(default=None, init=False)
    furl: str = field(default="", init=False)
    _port: int = field(factory=free_port, init=False)

    @classmethod
    def new(
        cls,
        case: TestCase,
        *,
        limits: HelperLimits | None = None,
        home: Path | None = None,
        now: Callable[[], float] = lambda: NOW,
        encoding: Encoding = ENCODING,
        linger: float = 0.0,
        beside: bool = False,
        **options: Any,
    ) -> Helped:
        """Return a helper that is there until the test ends; *options* are the grid's."""
        grid = Grid.new(case, encoding, **options)
        home = home or grid.root / "helper"
        helped = cls(case, grid, limits or HelperLimits(), home, now, linger, beside=beside)
        helped.start()
        case.addCleanup(lambda: helped.uploads.stop())
        return helped

    def start(self) -> None:
        """Begin, on what is in the directory."""

        def sinks(parameters: Parameters) -> GridSinks:
            return evolve(
                self.grid.sinks,
                encoding=parameters.encoding,
                selector=self.grid.selector.demanding(parameters.happy),
            )

        self.uploads = new_uploads(
            self.home,
            self.limits,
            self.grid.selector,
            sinks,
            self.grid.disk,
            REACTOR,
            self.now,
            self.boot,
        )
        self.uploads.look()
        self.uploads.start()
        self.stock = StockUploads(self.uploads, REACTOR)
        self.helper = Helper(self.uploads, REACTOR, self.stock.open, self.linger)

    def listen(self) -> None:
        """Be reached, always in the same place."""
        self.tub = new_tub(self.case, 0)
        endpoint: Any = TCP4ServerEndpoint(REACTOR, self._port, interface="127.0.0.1")
        if self.beside:
            endpoint = self._with_channels(endpoint)
        self.tub.listenOn(endpoint)
        self.tub.setLocation(f"tcp:127.0.0.1:{self._port}")
        self.furl = self.tub.registerReference(self.helper, name="helper")

    def _with_channels(self, endpoint: Any) -> SharedEndpoint:
        shared = SharedEndpoint(endpoint, REACTOR)
        pem = Path(new_directory(self.case)) / "node.pem"
        pem.write_bytes(self.tub.getCertData())
        proved = shared.admission.proved
        node = NodeChannels(Seats(), pem, [shared], REACTOR, os.urandom, proved)
        node.serve_helper(self.helper)
        assert node.served is not None
        self.channels = node.served
        # Before the tub, which waits for its connections.
        self.case.addCleanup(node.stop)
        return shared

    async def stop(self) -> None:
        """End; what was under way ends without a word, and its files are closed."""
        self.uploads.stop()
        if self.channels is not None:
            self.channels.stop()
        if self.tub is not None:
            cut(self.tub)
            # A tub that ends tells nobody of the ends of its connections.
            await until(lambda: not self.tub.brokers)
            await pause()
            await self.tub.stopService()
        for upload in list(self.uploads.active.values()):
            upload.users = 0
            upload._close(Event.LEAVE)
        await until(lambda: not self.uploads.active)

    async def restart(self) -> None:
        """End and begin again."""
        listened = self.tub is not None
        await self.stop()
        self.start()
        if listened:
            self.listen()

    def upload(self, index: bytes = INDEX) -> HelperUpload:
        """Return what is under way of a file."""
        [upload] = [each for (key, _), each in self.uploads.active.items() if key == index]
        return upload

    def under_way(self, index: bytes = INDEX) -> bool:
        """Tell whether a file is under way."""
        return any(key == index for key, _ in self.uploads.active)

    @property
    def kept(self) -> dict[str, int]:
        """The sizes of all files in the directory, by path."""
        return {
            str(path.relative_to(self.home)): path.stat().st_size
            for path in files_below(self.home)
            if path.name != "boot"
        }

    def path(self, place: str, index: bytes = INDEX) -> Path:
        """Return where ciphertext is in *place*, incoming or encoding."""
        directory, name = self.home / f"CHK_{place}", base32.encode(index)
        found = [path.with_suffix("") for path in directory.glob(f"{name}*")]
        return found[0] if found else directory / name

    def open_files(self) -> list[str]:
        """Return what of the directory this process has open."""
        found = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{descriptor}")
            except FileNotFoundError:
                continue
            if target.startswith(str(self.home)):
                found.append(target)
        return found

    def remove_shares(self) -> None:
        """Remove the shares of the file under KEY."""
        for server in self.grid.servers:
            for path in files_below(server.directory.home(INDEX)):
                path.unlink()

    def incoming_shares(self) -> list[Path]:
        """Return the shares in progress on all servers."""
        return [
            path
            for server in self.grid.servers
            for path in files_below(server.directory.root / "shares" / "incoming")
        ]

    async def assert_settled(self) -> None:
        """Nothing is under way, open or counted that should not be; files may be kept."""
        await until(lambda: not self.uploads.active)
        # What lets go of them runs behind the last word of an upload.
        with suppress(AssertionError):
            await until(
                lambda: (
                    not (
                        self.open_files() or self.grid.budget.used or self.incoming_shares()
                    )
                )
            )
        case = self.case
        case.assertEqual(self.open_files(), [])
        case.assertEqual(self.grid.budget.used, 0)
        case.assertEqual(self.incoming_shares(), [])
        kept = {path: size for path, size in self.kept.items() if "." not in path}
        case.assertEqual(self.uploads.used, sum(kept.values()), kept)

    async def assert_nothing_kept(self) -> None:
        """Nor is anything kept."""
        await self.assert_settled()
        # A file is removed behind the answer that says so.
        await until(lambda: not self.kept)
        self.case.assertEqual(self.kept, {})

    async def assert_stored(self, content: Content) -> None:
        """The file is on the grid, whole, and nowhere else."""
        await self.assert_nothing_kept()
        cap = content.cap
        self.case.assertEqual(
            sorted(self.grid.shares(cap.storage_index)),
            list(range(self.grid.encoding.total)),
        )
        self.case.assertEqual(await self.grid.read(cap), content.plaintext)


@define(eq=False)
class Gateway:
    """A gateway's end of the line."""

    tub: Any
    connection: HelperConnection
    sinks: HelperSinks

    @property
    def owner(self) -> Owner:
        """Whose its uploads are at the helper."""
        return Owner.by_secret(bytes(32), str(self.tub.getTubID()).encode())

    @classmethod
    async def new(
        cls,
        case: TestCase,
        grid: Grid,
        furl: str,
        *,
        number: int = 1,
        happy: int = 1,
        patience: HelperPatience = PATIENCE,
        seats: Seats | None = None,
    ) -> Gateway:
        """Return one that is connected to the helper at *furl*."""
        tub = new_tub(case, number)
        connection = HelperConnection(tub, furl, REACTOR, lambda: NOW, seats)
        connection.start()
        case.addCleanup(connection.stop)
        # Tests do not wait for a second before each new connection.
        connection._reconnector.initialDelay = 0.02
        sinks = HelperSinks(grid.encoding, happy, connection, grid.cpu, REACTOR, patience)
        await until(lambda: connection.connected)
        return cls(tub, connection, sinks)

    @classmethod
    async def of(cls, helped: Helped, **options: Any) -> Gateway:
        """Return one that is connected to a helper."""
        return await cls.new(helped.case, helped.grid, helped.furl, **options)

    async def open(self, size: int | None = None, **options: Any) -> HelperSink:
        """Return a sink for the file under KEY."""
        return await self.sinks.open(NewFile(INDEX, size, 1 << 30, **options))

    async def push(
        self, content: Content, *, known: bool = True, chunk: int = 0, **options: Any
    ) -> ChkReadCap:
        """Push a file; return its cap.  Whatever fails is aborted."""
        sink = await self.open(content.size if known else None, **options)
        try:
            for start in range(0, content.size, chunk or content.size):
                end = start + (chunk or content.size)
                await sink.write(content.ciphertext[start:end])
            return (await sink.close()).read_cap(KEY)
        except Exception:
            await sink.abort()
            raise

    async def answered(self) -> None:
        """Wait until the helper has answered all it was asked, and this end took it in."""
        while self._asked():
            await until(lambda: not self._asked())
            # What an answer leads to may be another question.
            await flushEventualQueue()

    def _asked(self) -> bool:
        return any(broker.waitingForAnswers for broker in self.tub.brokers.values())

    async def reconnected(self) -> None:
        """Wait for a new connection after a cut."""
        await until(lambda: not self.connection.connected)
        await until(lambda: self.connection.connected)


def begin(work: Any) -> Deferred[Any]:
    """Let a coroutine run."""
    return Deferred.fromCoroutine(work)
