"""All parts of a node, put together.  This is the only place where that happens."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec import base32
from truckee.errors import TruckeeError, Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.frontends.http.respond import Responder
from truckee.frontends.http.site import StreamingSite
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.grid.selection import Selector
from truckee.immutable.download import Downloader
from truckee.immutable.grid_sink import GridSinks
from truckee.immutable.upload import Uploader
from truckee.node.config import BadConfig, NodeConfig, load_config
from truckee.node.create import SERVER_ID, SERVER_ID_SIZE
from truckee.node.keys import NodeKeys
from truckee.node.layout import DirectoryLock, NodeDirectory
from truckee.storage.journal import Journal
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

log = Logger()

# Disks are waited for, not computed on: enough for each of ten directories and a few
# readers to have a call under way.
DISK_THREADS = 16

# Seconds that requests in progress may take to end when the node stops, and those that
# were cut off to clean up: together below the 10 s that service managers grant.
DRAIN_TIME = 7.0
CLEANUP_TIME = 2.0


@define
class PortTaken(Unavailable):
    """
    {port} cannot be listened on: {reason}. Stop the program that uses it, or change
    web.port in tahoe.cfg.
    """

    port: str
    reason: str


@define
class NoStorage(Unavailable):
    """
    None of the storage directories can be used: {where}. Mount their disks, or correct
    [grid] storage_dirs in tahoe.cfg.
    """

    where: str


@define(eq=False)
class Node:
    """One running node.  ``start`` once, then ``stop`` once."""

    directory: NodeDirectory
    reactor: Any
    config: NodeConfig = field(init=False)
    servers: list[DiskServer] = field(factory=list, init=False)
    url: str = field(default="", init=False)
    budget: Budget = field(init=False)
    _cpu: Workers = field(init=False)
    _disk: Workers = field(init=False)
    _lock: DirectoryLock | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _uploader: Uploader | None = field(default=None, init=False)
    _site: StreamingSite | None = field(default=None, init=False)
    _port: IListeningPort | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.directory.check()
        self.config = load_config(self.directory)
        self.budget = Budget(self.config.memory_limit)
        self._cpu = Workers(self.reactor, os.cpu_count() or 1, "cpu")
        self._disk = Workers(self.reactor, DISK_THREADS, "disk")

    async def start(self) -> None:
        """
        Take the directory, remove what a dead process left, and listen.

        :raises TruckeeError: with a text for the operator; nothing runs then.
        """
        self._lock = self.directory.lock()
        try:
            keys = NodeKeys.load(self.directory.private)
            self.directory.spool.mkdir(exist_ok=True)
            journal = Journal(self.directory.journal, self._disk)
            journal.start()
            self.servers = self._open_storage()
            self._cpu.start()
            self._disk.start()
            site = self._build_site(keys, journal)
            await self._listen(site)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """
        Let requests in progress end, for a bounded time, then give all up.

        May be called twice, and after a ``start`` that failed.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._port is not None:
            await _maybe(self._port.stopListening())
        if self._site is not None:
            drained = self._site.drain()
            drained.addTimeout(DRAIN_TIME, self.reactor, lambda *_: None)
            await drained
            self._site.abort()
        deadline = self.reactor.seconds() + CLEANUP_TIME
        while (
            self._uploader and self._uploader.active and self.reactor.seconds() < deadline
        ):
            await deferLater(self.reactor, 0.02)
        self._cpu.stop()
        self._disk.stop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open_storage(self) -> list[DiskServer]:
        servers, missing = [], []
        for path in self.config.storage_dirs:
            try:
                servers.append(self._open_server(path))
            except (OSError, ValueError) as error:
                log.error(
                    "The storage directory {path} cannot be used: {error}. "
                    "Is its disk mounted?",
                    path=str(path),
                    error=error,
                )
                missing.append(str(path))
        if not servers:
            raise NoStorage(", ".join(missing) or "there are none")
        return servers

    def _open_server(self, path: Path) -> DiskServer:
        identity = base32.decode((path / SERVER_ID).read_text("ascii").strip())
        if len(identity) != SERVER_ID_SIZE:
            raise ValueError(f"{path / SERVER_ID} is damaged")
        server = DiskServer(
            name=str(path),
            permutation_seed=identity,
            lease_seed=identity,
            directory=ShareDirectory(path),
            disk=self._disk,
            now=time.time,
            reserved_space=self.config.reserved_space,
        )
        server.start()
        return server

    def _build_site(self, keys: NodeKeys, journal: Journal) -> StreamingSite:
        config = self.config
        selector = Selector(lambda: self.servers, keys.lease_secret, config.shape.happy)
        sinks = GridSinks(
            config.encoding,
            selector,
            journal,
            self._cpu,
            self.budget,
            config.limits.max_size,
        )
        uploader = Uploader(
            sinks,
            keys.convergence,
            self._cpu,
            self._disk,
            str(self.directory.spool),
            self.budget,
            os.urandom,
            config.limits,
        )
        responder = Responder(STATUSES)
        root = RootResource(uploader, Downloader(selector.find, self._cpu), responder)
        self._uploader = uploader
        self._site = StreamingSite(root, responder, reactor=self.reactor)
        return self._site

    async def _listen(self, site: StreamingSite) -> None:
        port = self.config.web_port
        if port is None:
            return
        try:
            description = f"tcp:{port}" if port.isdigit() else port
            endpoint = serverFromString(self.reactor, description)
            self._port = await endpoint.listen(site)
        except CannotListenError as error:
            raise PortTaken(port, str(error.socketError)) from None
        except Exception as error:
            # Each kind of endpoint has errors of its own for what it does not understand.
            reason = f"{port!r} is not an endpoint: {error}"
            raise BadConfig(self.directory.config, "[node] web.port", reason) from None
        scheme = "https" if description.startswith("ssl") else "http"
        address = self._port.getHost()
        host = getattr(address, "host", "127.0.0.1")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        host = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{host}:{getattr(address, 'port', 0)}/"
        self.directory.url.write_text(self.url + "\n", "ascii")


async def _maybe(result: Any) -> None:
    if isinstance(result, Deferred):
        await result


class NodeService(Service):
    """A node for ``twistd``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def startService(self) -> None:
        """:raises SystemExit: when the node cannot start, with a text for the operator."""
        super().startService()
        reactor = self._node.reactor
        early: list[Failure] = []

        def failed(failure: Failure) -> None:
            if reactor.running:
                log.critical("{reason}", reason=_reason(failure))
                reactor.stop()
            else:
                early.append(failure)

        Deferred.fromCoroutine(self._node.start()).addErrback(failed)
        if early:
            # There is no reactor to stop yet.
            raise SystemExit(f"Error: {_reason(early[0])}")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._node.stop())


def _reason(failure: Failure) -> str:
    """Return what the operator is told; a traceback only of what nobody expected."""
    expected = failure.check(TruckeeError, OSError)
    return str(failure.value) if expected else failure.getTraceback()
