"""All parts of a node, put together, started and stopped.  Nowhere else that happens."""

from __future__ import annotations

import os
import time
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from truckee.codec import base32
from truckee.flow.descriptors import raise_limit
from truckee.flow.locked_directory import LockedDirectory
from truckee.frontends.web.welcome import GridStatus
from truckee.grid.selection import Selector
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.node.foundation import Foundation
from truckee.node.gateway_parts import GatewayParts, build_gateway
from truckee.node.helper import build_routes, helper_seen
from truckee.node.keys import NodeKeys
from truckee.node.layout import NodeDirectory, boot_id
from truckee.node.network import Network
from truckee.node.offers import Offers
from truckee.node.renewal import stop_renewals
from truckee.node.sftp import Sftp, start_sftp
from truckee.node.site import Web, build_site
from truckee.node.web import WebPort, listen_web, note_web, warning_of
from truckee.storage.interfaces import IStorageServer
from truckee.storage.server import DiskServer

log = Logger()

# Seconds that requests in progress may take to end when the node stops, and those that
# were cut off to clean up: together below the 10 s that service managers grant.
DRAIN_TIME = 7.0
CLEANUP_TIME = 2.0


@define(eq=False)
class Node:
    """One running node.  ``start`` once, then ``stop`` once."""

    directory: NodeDirectory
    reactor: Any
    _boot: bytes = field(factory=boot_id)  # which start of the machine this is
    base: Foundation = field(init=False)
    network: Network | None = field(default=None, init=False)
    parts: GatewayParts | None = field(default=None, init=False)
    offers: Offers = field(init=False)
    sftp: Sftp | None = field(default=None, init=False)
    _lock: LockedDirectory | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _web: Web | None = field(default=None, init=False)
    _port: WebPort | None = field(default=None, init=False)
    _direct: GridSinks = field(init=False)  # to the servers, without a helper

    def __attrs_post_init__(self) -> None:
        self.base = Foundation.of(self.directory, self.reactor, self._boot)
        self.offers = Offers(self.base)

    @property
    def url(self) -> str:
        """Where the web API is, with a slash at its end; empty: it has no such address."""
        return "" if self._port is None else self._port.url

    @property
    def web_place(self) -> str:
        """Where the web API listens, as people see it; empty: it does not."""
        return "" if self._port is None else self._port.place

    @property
    def exposure(self) -> str:
        """A warning when other machines may reach the web API; else empty."""
        return "" if self._port is None else warning_of(self._port)

    @property
    def local(self) -> list[DiskServer]:
        """The servers of an embedded grid that were found."""
        return self.base.disks.grid.servers

    def servers(self) -> list[IStorageServer]:
        """Return the storage servers that can be asked now."""
        return [*self.local, *(self.network.pool.servers() if self.network else ())]

    def takers(self) -> list[IStorageServer]:
        """Return those of them that may be given shares."""
        return [*self.local, *(self.network.pool.takers() if self.network else ())]

    async def arrivals(self) -> None:
        """Wait for storage servers that are expected to be connected in a moment."""
        if self.network is not None:
            await self.network.pool.arrivals.all()

    def status(self) -> GridStatus:
        """Return what people and clients see of the grid."""
        disks = self.base.disks
        local, problems = disks.grid.servers_seen(), list(disks.problems)
        cache = None if self.parts is None else self.parts.downloads.cache.status
        if self.network is None:
            return GridStatus(
                local, cache=cache, problems=problems, directories=disks.grid.statuses()
            )
        return GridStatus(
            [*local, *self.network.pool.statuses()],
            [f"{each.petname}: {each.status}" for each in self.network.introducers],
            helper_seen(self.network.helper),
            self._direct.needs_known_size,
            None if self.offers.uploads is None else len(self.offers.uploads.active),
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
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        base, disks = self.base, self.base.disks
        for what in base.config.unsupported:
            log.warn("tahoe.cfg: {what} has no effect here", what=what)
        for mistake in base.config.mistakes:
            disks.problems.report(mistake.where, mistake.text)
        if base.is_grid:
            keys = NodeKeys.load(self.directory.private)
        else:
            keys = NodeKeys.at_start(self.directory.private, os.urandom)
        base.cpu.start()
        base.disk.start()
        await disks.start(keys)
        await disks.grid.open()
        happy = base.config.shape.happy
        selector = Selector(
            self.servers,
            self.takers,
            keys.lease_secret,
            happy,
            self.reactor,
            self.arrivals,
        )
        self._direct = GridSinks(
            base.config.encoding,
            selector,
            disks.journal,
            base.cpu,
            base.budget,
            self.reactor,
        )
        if not base.is_grid:
            await self._join(keys, selector)
        sinks = self._sinks(keys, selector)
        self.parts = build_gateway(base, keys, selector, sinks, self.servers, self.takers)
        cache = disks.recovery.attempt(
            "cache",
            "Files that are read again come from the servers again.",
            self.parts.downloads.cache.start,
        )
        Deferred.fromCoroutine(cache)
        self._web = build_site(base, self.parts, self.offers, self.network, self.status)
        await disks.start_uploads(self.parts.open_uploads.start)
        await self._listen(self.parts, self._web)

    async def _listen(self, parts: GatewayParts, web: Web) -> None:
        """Let clients come, over HTTP and SFTP."""
        config, disks = self.base.config, self.base.disks
        if config.web_port is not None:
            self._port = await listen_web(
                self.reactor, web.site, self.directory, config.web_port
            )
            if self.exposure:
                log.warn("{text}", text=self.exposure)
            await note_web(disks, self.directory, self.url)
        if config.sftp is not None:
            self.sftp = await start_sftp(
                self.reactor, self.directory, config.sftp, parts.files
            )
            await disks.write(self.directory.sftp_url, f"{self.sftp.url}\n")
        if self._port or self.sftp:
            parts.mutable.start()

    async def stop(self) -> None:
        """
        Let requests in progress end, for a bounded time, then give all up.

        May be called twice, and after a ``start`` that failed.
        """
        if self._stopped:
            return
        self._stopped = True
        await self.base.disks.stop()
        if self._port is not None:
            await maybeDeferred(self._port.port.stopListening)
        if self.parts is not None:
            await self._stop_clients(self.parts)
        await self.offers.stop()
        if self.parts is not None:
            self.parts.downloads.stop()
            self.parts.mutable.stop()
        if self.network is not None:
            await self.network.stop()
        if self.parts is not None:
            self.parts.tasks.stop()
        self.base.cpu.stop()
        self.base.disk.stop()
        self.base.disks.release()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _stop_clients(self, parts: GatewayParts) -> None:
        """Let go who listens to what is going on, and give up what clients began."""
        parts.events.stop()
        renewals = stop_renewals(parts.renewals, CLEANUP_TIME, self.reactor)
        if self._web is not None:
            self._web.stop_telling()
            drained = self._web.site.drain()
            drained.addTimeout(DRAIN_TIME, self.reactor, lambda *_: None)
            await drained
            self._web.site.abort()
        await renewals
        deadline = self.reactor.seconds() + CLEANUP_TIME
        for each in (self.sftp, parts.open_uploads):
            if each is not None:
                rest = Deferred.fromCoroutine(each.stop())
                rest.addTimeout(CLEANUP_TIME, self.reactor, lambda *_: None)
                await rest
        while parts.is_storing and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.02)

    async def _join(self, keys: NodeKeys, selector: Selector) -> None:
        """Connect to other nodes, and be a storage server for them if that is wanted."""
        base, disks = self.base, self.base.disks
        network = self.network = Network(
            self.directory,
            base.config,
            keys.certificate,
            self.reactor,
            time.time,
            os.urandom,
            base.disk,
            disks.problems,
        )
        await network.start()
        nodeid = f"{base32.encode(network.tubid)}\n"
        await disks.write(self.directory.path / "my_nodeid", nodeid)
        await self.offers.start(network, self._direct, selector)

    def _sinks(self, keys: NodeKeys, selector: Selector) -> ICiphertextSinks:
        """Return where the files of our clients go."""
        if self.network is None or self.network.helper is None:
            return self._direct
        return build_routes(
            self._direct,
            selector,
            self.network.helper,
            self.base.cpu,
            self.reactor,
            os.urandom,
            self.base.config.helper_verify,
            keys.lease_secret,
        )
