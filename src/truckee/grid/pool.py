"""The servers we know of, and which of them can be reached now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.grid.announcements import Announcement
from truckee.grid.introducer import MAX_DELAY
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import AVAILABLE_SPACE, PROTOCOL
from truckee.storage.interfaces import IStorageServer
from truckee.storage.limited import LimitedServer

log = Logger()


@frozen
class ServerStatus:
    """What people and clients are told of one server."""

    server_id: str
    nickname: str
    connected: bool
    version: str | None = None
    available_space: int | None = None  # bytes
    last_received: float | None = None  # Unix seconds


@define(eq=False)
class PooledServer:
    """One server and the connection to it, which comes and goes."""

    announcement: Announcement
    server: FoolscapServer
    limited: LimitedServer  # the same, with an end to every wait
    _tub: Any = field(repr=False)
    _now: Callable[[], float]
    version: str | None = field(default=None, init=False)
    available_space: int | None = field(default=None, init=False)  # bytes, when it came
    last_received: float | None = field(default=None, init=False)  # Unix seconds
    _reconnector: Any = field(default=None, init=False, repr=False)

    @property
    def connected(self) -> bool:
        """Whether it can be asked now."""
        return self.server.remote is not None

    @property
    def status(self) -> ServerStatus:
        """What is known of it."""
        return ServerStatus(
            self.announcement.server_id,
            self.announcement.nickname,
            self.connected,
            self.version,
            self.available_space,
            self.last_received,
        )

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._reconnector = self._tub.connectTo(self.announcement.furl, self._got_remote)
        self._reconnector.maxDelay = MAX_DELAY

    def stop(self) -> None:
        """Connect no more, and let the connection go unused."""
        self._reconnector.stopConnecting()
        self.server.remote = None

    def _got_remote(self, remote: Any) -> None:
        remote.notifyOnDisconnect(self._lost, remote)
        Deferred.fromCoroutine(self._greet(remote)).addErrback(self._failed)

    async def _greet(self, remote: Any) -> None:
        version = await remote.callRemote("get_version")
        self.version = str(version.get(b"application-version", b"?"), "ascii", "replace")
        protocol = version.get(PROTOCOL, {})
        if isinstance(protocol, dict):
            space = protocol.get(AVAILABLE_SPACE)
            self.available_space = space if isinstance(space, int) else None
        self.last_received = self._now()
        self.server.remote = remote

    def _lost(self, remote: Any) -> None:
        if self.server.remote is remote:
            self.server.remote = None

    def _failed(self, failure: Failure) -> None:
        log.warn(
            "Server {name} does not answer as it should: {error}",
            name=self.server.name,
            error=failure.getErrorMessage(),
        )


@define(eq=False)
class ServerPool:
    """
    All servers, announced and static, over one tub.

    Give it a tub without a lasting identity: servers need not know that it is us again.
    """

    _tub: Any
    _clock: IReactorTime
    _now: Callable[[], float]
    known: dict[str, PooledServer] = field(factory=dict, init=False)
    _static: set[str] = field(factory=set, init=False)

    def servers(self) -> list[IStorageServer]:
        """Return those that can be asked now."""
        return [each.limited for each in self.known.values() if each.connected]

    def add_static(self, announcement: Announcement) -> None:
        """Use the operator's word for a server, whatever introducers say of it."""
        self._static.add(announcement.server_id)
        self._use(announcement)

    def heard(self, announcement: Announcement) -> None:
        """An introducer told of a server, or told something new."""
        if announcement.server_id not in self._static:
            self._use(announcement)

    def stop(self) -> None:
        """Connect to none of them any more; whoever made the tub stops it."""
        for each in self.known.values():
            each.stop()

    def _use(self, announcement: Announcement) -> None:
        server_id = announcement.server_id
        known = self.known.get(server_id)
        if known is not None:
            if known.announcement.furl == announcement.furl:
                known.announcement = announcement
                known.server.permutation_seed = announcement.permutation_seed
                return
            known.stop()
        server = FoolscapServer(
            announcement.nickname or announcement.short_name,
            announcement.permutation_seed,
            announcement.lease_seed,
        )
        limited = LimitedServer(server, self._clock)
        pooled = PooledServer(announcement, server, limited, self._tub, self._now)
        self.known[server_id] = pooled
        pooled.start()
