"""All parts of a node, put together.  This is the only place where that happens."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.flow.descriptors import raise_limit
from truckee.flow.limits import Budget
from truckee.flow.locked_directory import LockedDirectory
from truckee.frontends.tus import protocol as tus_protocol
from truckee.frontends.tus.resource import Tus, TusResource
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.error_page import ErrorPages
from truckee.frontends.web.events import Events
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.handles import UploadResource
from truckee.frontends.web.helper_report import HelperReporter
from truckee.frontends.web.log_stream import LogStream
from truckee.frontends.web.metrics import Metrics
from truckee.frontends.web.private import PrivateResource
from truckee.frontends.web.resumable import Resumable
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.storage_report import StorageReporter
from truckee.frontends.web.welcome import GridStatus, health_of
from truckee.grid.selection import Selector
from truckee.helper.server.registry import Uploads
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.immutable.upload.uploader import Uploader
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite
from truckee.node.config import NodeConfig, load_config
from truckee.node.disks import NodeDisks
from truckee.node.downloads import Downloads, build_downloads
from truckee.node.helper import build_helper, build_routes, build_uploads, helper_seen
from truckee.node.keys import NodeKeys
from truckee.node.layout import NodeDirectory, boot_id
from truckee.node.network import Network
from truckee.node.readings import problem_count, readings
from truckee.node.storage import OfferedStorage
from truckee.node.web import WebPort, listen_web, warning_of
from truckee.status.failures import log_failure
from truckee.status.tasks import Tasks
from truckee.storage.interfaces import IStorageServer
from truckee.storage.lease_crawler import LeaseCrawler
from truckee.storage.server import DiskServer
from truckee.uploads.append_log import digest_of_boot
from truckee.uploads.record import UploadFiles
from truckee.uploads.registry import OpenUploads

log = Logger()

# Disks are waited for, not computed on: enough for each of ten directories and a few
# readers to have a call under way.
DISK_THREADS = 16

# Seconds that requests in progress may take to end when the node stops, and those that
# were cut off to clean up: together below the 10 s that service managers grant.
DRAIN_TIME = 7.0
CLEANUP_TIME = 2.0


@define(eq=False)
class Node:
    """One running node.  ``start`` once, then ``stop`` once."""

    directory: NodeDirectory
    reactor: Any
    boot: bytes = field(factory=boot_id)  # which start of the machine this is
    config: NodeConfig = field(init=False)
    disks: NodeDisks = field(init=False)
    network: Network | None = field(default=None, init=False)
    budget: Budget = field(init=False)
    _cpu: Workers = field(init=False)
    _disk: Workers = field(init=False)
    _lock: LockedDirectory | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    uploader: Uploader | None = field(default=None, init=False)
    open_uploads: OpenUploads | None = field(default=None, init=False)
    _repairer: Repairer = field(init=False)
    downloads: Downloads | None = field(default=None, init=False)
    crawler: LeaseCrawler | None = field(default=None, init=False)  # of what we offer
    _storage: StorageReporter | None = field(default=None, init=False)
    _tasks: Tasks | None = field(default=None, init=False)
    _events: Events | None = field(default=None, init=False)
    _logs: LogStream | None = field(default=None, init=False)
    _site: StreamingSite | None = field(default=None, init=False)
    _web: WebPort | None = field(default=None, init=False)
    _selector: Selector = field(init=False)
    _direct: GridSinks = field(init=False)  # to the servers, without a helper
    uploads: Uploads | None = field(default=None, init=False)  # of the helper that we are

    def __attrs_post_init__(self) -> None:
        self.directory.check()
        self.config = load_config(self.directory)
        self.budget = Budget(self.config.memory_limit)
        self._cpu = Workers(self.reactor, os.cpu_count() or 1, "cpu")
        self._disk = Workers(self.reactor, DISK_THREADS, "disk")
        self.disks = NodeDisks(self.directory, self.config, self._disk, self.reactor)

    @property
    def url(self) -> str:
        """Where the web API is, with a slash at its end; empty: it has no such address."""
        return "" if self._web is None else self._web.url

    @property
    def web_place(self) -> str:
        """Where the web API listens, as people are told; empty: it does not."""
        return "" if self._web is None else self._web.place

    @property
    def exposure(self) -> str:
        """A warning when other machines may reach the web API; else empty."""
        return "" if self._web is None else warning_of(self._web)

    @property
    def local(self) -> list[DiskServer]:
        """The servers of an embedded grid that were found."""
        return self.disks.grid.servers

    @property
    def is_grid(self) -> bool:
        """Whether it has a grid of its own, and needs no other node."""
        return bool(self.config.storage_dirs)

    def servers(self) -> list[IStorageServer]:
        """Return the storage servers that can be asked now."""
        return [*self.local, *(self.network.pool.servers() if self.network else ())]

    def takers(self) -> list[IStorageServer]:
        """Return those of them that may be given shares."""
        return [*self.local, *(self.network.pool.takers() if self.network else ())]

    def status(self) -> GridStatus:
        """Return what people and clients are told of the grid."""
        local, problems = self.disks.grid.servers_seen(), list(self.disks.problems)
        cache = None if self.downloads is None else self.downloads.cache.status
        if self.network is None:
            return GridStatus(
                local,
                cache=cache,
                problems=problems,
                directories=self.disks.grid.statuses(),
            )
        return GridStatus(
            [*local, *self.network.pool.statuses()],
            [f"{each.petname}: {each.status}" for each in self.network.introducers],
            helper_seen(self.network.helper),
            self._direct.needs_known_size,
            None if self.uploads is None else len(self.uploads.active),
            cache,
            problems,
        )

    async def start(self) -> None:
        """
        Take the directory, remove what a dead process left, and listen.

        :raises TruckeeError: with a text for the operator; nothing runs then.
        """
        raise_limit()
        self._lock = self.directory.lock()
        try:
            for what in self.config.unsupported:
                log.warn("tahoe.cfg: {what} has no effect here", what=what)
            for mistake in self.config.mistakes:
                self.disks.problems.report(mistake.where, mistake.text)
            private = self.directory.private
            if self.is_grid:
                keys = NodeKeys.load(private)
            else:
                keys = NodeKeys.at_start(private, os.urandom)
            self._cpu.start()
            self._disk.start()
            await self.disks.start(keys)
            await self.disks.grid.open()
            journal = self.disks.journal
            happy = self.config.shape.happy
            self._selector = Selector(
                self.servers, self.takers, keys.lease_secret, happy, self.reactor
            )
            self._direct = GridSinks(
                self.config.encoding,
                self._selector,
                journal,
                self._cpu,
                self.budget,
                self.reactor,
            )
            checker = Checker(self._selector, self._cpu, self.budget)
            self._repairer = Repairer(
                checker, self._selector, journal, self._cpu, self.budget, self.reactor
            )
            if not self.is_grid:
                await self._join(keys)
            self.downloads = build_downloads(
                self.directory,
                self.config.cache,
                self.config.download_memory,
                self._selector.find,
                self._cpu,
                self._disk,
                self.reactor,
            )
            cache = self.disks.recovery.attempt(
                "cache",
                "Files that are read again come from the servers again.",
                self.downloads.cache.start,
            )
            Deferred.fromCoroutine(cache)
            self._site = self._build_site(keys, self.downloads)
            if self.open_uploads is not None:
                await self.disks.start_uploads(self.open_uploads.start)
            if self.config.web_port is not None:
                self._web = await listen_web(
                    self.reactor, self._site, self.directory, self.config.web_port
                )
                if self.exposure:
                    log.warn("{text}", text=self.exposure)
                # For clients on the command line.
                if not self.directory.api_token.exists():
                    token = f"{base32.encode(os.urandom(32))}\n"
                    await self.disks.write(self.directory.api_token, token)
                if self.url:
                    await self.disks.write(self.directory.url, f"{self.url}\n")
                else:
                    await self.disks.remove(self.directory.url)
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
        self.disks.stop()
        if self._web is not None:
            await maybeDeferred(self._web.port.stopListening)
        self._say_goodbye()
        if self._site is not None:
            drained = self._site.drain()
            drained.addTimeout(DRAIN_TIME, self.reactor, lambda *_: None)
            await drained
            self._site.abort()
        deadline = self.reactor.seconds() + CLEANUP_TIME
        if self.open_uploads is not None:
            rest = Deferred.fromCoroutine(self.open_uploads.stop())
            rest.addTimeout(CLEANUP_TIME, self.reactor, lambda *_: None)
            await rest
        while self._storing() and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.02)
        if self.uploads is not None:
            self.uploads.stop()
        if self.downloads is not None:
            self.downloads.stop()
        if self.crawler is not None:
            await self.crawler.stop()
        if self.network is not None:
            await self.network.stop()
        if self._tasks is not None:
            self._tasks.stop()
        self._cpu.stop()
        self._disk.stop()
        self.disks.release()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _say_goodbye(self) -> None:
        """Let go who listens to what is going on."""
        for listened in (self._events, self._logs):
            if listened is not None:
                listened.stop()

    def _storing(self) -> bool:
        """Tell whether uploads or repairs still clean up behind themselves."""
        return bool(self.uploader and (self.uploader.active or self._repairer.active))

    def _server_id(self, server: IStorageServer) -> str:
        """Return what clients call a server, as the welcome page does."""
        if self.network is None:
            return server.name
        found = self.network.pool.server_id(server.lease_seed)
        return found.decode("utf-8", "replace")

    async def _join(self, keys: NodeKeys) -> None:
        """Connect to other nodes, and be a storage server for them if that is wanted."""
        network = self.network = Network(
            self.directory,
            self.config,
            keys.certificate,
            self.reactor,
            time.time,
            os.urandom,
            self._disk,
            self.disks.problems,
        )
        await network.start()
        nodeid = f"{base32.encode(network.tubid)}\n"
        await self.disks.write(self.directory.path / "my_nodeid", nodeid)
        if self.config.storage is not None:
            await self.disks.offer_storage(network, self._watch_leases)
        if self.config.helper is not None:
            self.uploads = build_uploads(
                self.config.helper,
                self._direct,
                self._selector,
                self._disk,
                self.reactor,
                self.disks.problems,
                *self.disks.helper_spool(),
            )
            helper = build_helper(self.uploads, network.pool, self.reactor)
            self.uploads.start()
            await self.disks.offer_helper(
                network, self.uploads.look, partial(network.offer_helper, helper)
            )

    async def _api_token(self) -> bytes:
        """Return what clients on this machine are let in with; empty: it cannot be read."""
        try:
            return (await self._disk.run(self.directory.api_token.read_bytes)).strip()
        except OSError:
            return b""

    def _watch_leases(self, offered: OfferedStorage) -> None:
        """Look at the leases of the storage that is offered from now on."""
        config, server = self.config.storage, offered.immutable
        assert config is not None
        self.crawler = LeaseCrawler(
            server.directory.root,
            offered.remove_expired,
            config.expiry,
            self._disk,
            self.reactor,
            time.time,
        )
        self.crawler.start()
        self._storage = StorageReporter(server, self.crawler, self._disk, time.time)

    def _sinks(self, keys: NodeKeys) -> ICiphertextSinks:
        """Return where the files of our clients go."""
        if self.network is None or self.network.helper is None:
            return self._direct
        helper = self.network.helper
        return build_routes(
            self._direct,
            self._selector,
            helper,
            self._cpu,
            self.reactor,
            os.urandom,
            self.config.helper_verify,
            keys.lease_secret,
        )

    def _build_site(self, keys: NodeKeys, downloads: Downloads) -> StreamingSite:
        config = self.config
        # On our own disks an open end costs nothing; elsewhere room must be asked for.
        limits = config.limits
        if self.is_grid:
            limits = evolve(limits, max_unknown_size=limits.max_size)
        self.uploader = Uploader(
            config.encoding,
            self._sinks(keys),
            keys.convergence,
            self._cpu,
            self._disk,
            str(self.directory.spool),
            self.budget,
            os.urandom,
            self.reactor,
            limits,
        )
        frames = Frames(lambda: health_of(self.status(), self._storage is not None))
        statuses = (*tus_protocol.STATUSES, *STATUSES)
        responder = Responder(statuses, ErrorPages(frames).show)
        reporter = None
        if self.uploads is not None:
            reporter = HelperReporter(
                self.uploads, self._disk, time.time, self.disks.problems
            )
        tasks = self._tasks = Tasks(self.reactor, time.time, os.urandom)
        tasks.on_end.append(log_failure)
        events = self._events = Events(tasks, self.reactor, time.time, self.disks.problems)
        records, (logs, _) = self.directory.upload_records, self.disks.upload_logs()
        self.open_uploads = OpenUploads(
            self.uploader,
            UploadFiles(records, logs.path, self._disk, logs.check, logs.mark),
            self._disk,
            self.reactor,
            os.urandom,
            time.time,
            digest_of_boot(self.boot),
            tasks,
            config.open_uploads,
            self.disks.problems,
        )
        resumable = Resumable(self.open_uploads, responder, time.time, limits.max_size)
        told = readings(
            self.status,
            self.budget,
            self.open_uploads,
            events,
            self.uploads,
            None if config.storage is None else lambda: self.crawler,
        )
        told.append(problem_count(self.disks.problems))
        root = RootResource(
            self.uploader,
            downloads.downloader,
            responder,
            self.status,
            reporter,
            UploadResource(resumable, frames),
            checks=Checks(self._repairer, self._server_id, tasks, frames),
            resumable=resumable,
            events=events,
            metrics=Metrics(tasks, told),
            default_key=config.default_key,
            storage=lambda: self._storage,
            frames=frames,
        )
        tus = Tus(self.open_uploads, responder, time.time, limits.max_size)
        root.putChild(b"tus", TusResource(tus))
        stream = self._logs = LogStream(tasks, self.reactor, time.time, os.urandom)
        root.putChild(b"private", PrivateResource(self._api_token, stream, responder))
        return StreamingSite(root, responder, reactor=self.reactor, hosts=config.web_hosts)
