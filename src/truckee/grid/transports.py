"""
The ways to a storage server: foolscap, and HTTPS where that does not connect.

Foolscap takes shares of unknown size and is faster, so it comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.grid.addresses import ANY_ADDRESS, AddressPolicy, tcp_ports
from truckee.grid.announcements import Announcement
from truckee.grid.guarded import GuardedReactor
from truckee.grid.introducer import MAX_DELAY
from truckee.grid.ways import PLAIN, Ways
from truckee.net.foolscap.checked_calls import call
from truckee.storage.channel_client import Seats
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    DIRECT_SHARES,
    DURABLE,
    KEEPS_SHARES,
    MAX_SLOT_SHARE_SIZE,
    PROTOCOL,
    SHARE_CHANNEL,
    RIStorageServer,
)
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_connection import Connect
from truckee.storage.gbs_schema import Nurl, Version
from truckee.storage.limited import LimitedServer

log = Logger()

# NURLs of one server that are looked at; one for each network that it is in is usual.
_MAX_NURLS = 8
_LONGEST = 200  # characters of what a server says of its program, or of its error
_SOON = 1.0  # seconds, which is what foolscap makes of a delay that is reset
_NO_SPACE = 1 << 64  # bytes; no disk has as many


@frozen
class Greeting:
    """What a server said when it was reached."""

    version: str  # of its program, in its own words
    available_space: int | None  # bytes
    durable: bool = False  # whether shares that it has closed outlive a power cut
    max_slot_share: int = 0  # bytes of a share of a mutable file; 0: it serves none
    keeps_shares: bool = False  # whether those in progress outlive their writers
    direct_shares: bool = False  # whether it takes short shares in one call
    has_channels: bool = False  # for the bytes of shares


@frozen
class Pace:
    """How often a server is looked for over HTTPS, in seconds."""

    # What foolscap has to connect; then until the next look after one in vain, at first.
    patience: float = 5.0
    longest: float = MAX_DELAY  # between two looks


class StorageTransport(Enum):
    """Over what servers are asked."""

    AUTO = "auto"  # foolscap, and HTTPS while that does not connect
    FOOLSCAP = "foolscap"
    HTTPS = "https"


@define(eq=False)
class FoolscapTransport:
    """Connects to one server, now and whenever the connection is lost."""

    server: FoolscapServer
    limited: LimitedServer  # the same, with an end to every wait
    _furl: str = field(repr=False)
    _tub: Any = field(repr=False)
    _came: Callable[[Greeting], None]
    _went: Callable[[], None]
    _reactor: Any = field(repr=False)
    _seats: Seats | None  # of share channels; None: there are to be none
    _reconnector: Any = field(default=None, init=False, repr=False)

    @property
    def connected(self) -> bool:
        """Whether the server can be asked now."""
        return self.server.remote is not None

    def start(self) -> None:
        """Connect."""
        self._reconnector = self._tub.connectTo(self._furl, self._got_remote)
        self._reconnector.maxDelay = MAX_DELAY
        self.server.knock = self._try_soon

    def _try_soon(self) -> None:
        """Somebody waits for the server: do not wait longer than a second."""
        if self._reconnector is not None:
            left = self._reconnector.getDelayUntilNextAttempt()
            if left is not None and left > _SOON:
                self._reconnector.reset()

    def stop(self) -> None:
        """Connect no more, and let the connection go unused; may be called twice."""
        if self._reconnector is not None:
            self._reconnector.stopConnecting()
        self._reconnector = self.server.remote = None
        self.server.channels.lost()

    def _got_remote(self, remote: Any) -> None:
        remote.notifyOnDisconnect(self._lost, remote)
        Deferred.fromCoroutine(self._greet(remote)).addErrback(self._failed)

    async def _greet(self, remote: Any) -> None:
        version = await call(remote, RIStorageServer, "get_version")
        if self._reconnector is None:
            return  # it was stopped meanwhile
        greeting = _greeting(version)
        self.server.hear(
            greeting.durable,
            greeting.max_slot_share,
            greeting.keeps_shares,
            greeting.direct_shares,
        )
        self.server.remote = remote
        if greeting.has_channels:
            ports = tcp_ports(self._furl)
            channels = self.server.channels
            channels.reached(remote.getPeer(), ports, self._reactor, self._seats)
        self._came(greeting)

    def _lost(self, remote: Any) -> None:
        if self.server.remote is remote:
            self.server.remote = None
            self.server.channels.lost()
            self._went()

    def _failed(self, failure: Failure) -> None:
        log.warn(
            "Server {name} does not answer as it should: {error}",
            name=self.server.name,
            error=failure.getErrorMessage()[:_LONGEST],
        )


def _greeting(version: Mapping[bytes, Any]) -> Greeting:
    """Return what people are shown of an answer, in which there may be anything."""
    application = str(version.get(b"application-version", b"?"), "ascii", "replace")
    protocol = version.get(PROTOCOL)
    known = protocol if isinstance(protocol, dict) else {}
    space = _bytes(known.get(AVAILABLE_SPACE))
    most = min(_bytes(known.get(MAX_SLOT_SHARE_SIZE)) or 0, MAX_SHARE_SIZE)
    durable = version.get(DURABLE) is True
    keeps = version.get(KEEPS_SHARES) == 1
    direct = version.get(DIRECT_SHARES) == 1
    channels = version.get(SHARE_CHANNEL) == 1
    return Greeting(application[:_LONGEST], space, durable, most, keeps, direct, channels)


def _bytes(size: object) -> int | None:
    """Return *size* if it is one."""
    # A number of too many digits cannot be shown, nor could what is shown with it.
    return size if isinstance(size, int) and 0 <= size < _NO_SPACE else None


@frozen(eq=False)
class Address:
    """One of the places where a server may be reached over HTTPS."""

    nurl: Nurl
    server: GbsServer
    limited: LimitedServer  # the same, with an end to every wait


@define(eq=False)
class HttpsTransport:
    """
    Looks for one server over HTTPS, again and again, as long as that is wanted.

    Connections come and go with requests, so a server counts as connected when it
    answered the last time.  Of its *addresses*, one or more, that where it answered is
    used; when it does not answer there, the others are tried in turn.
    """

    _addresses: Sequence[Address] = field(repr=False)
    _reactor: Any = field(repr=False)
    _pace: Pace
    _came: Callable[[Greeting], None]
    connected: bool = field(default=False, init=False)
    _current: Address = field(init=False, repr=False)  # one of them
    _looking: Deferred[None] | None = field(default=None, init=False)
    _trouble: str = field(default="", init=False)  # that was told last

    def __attrs_post_init__(self) -> None:
        self._current = self._addresses[0]

    @property
    def nurl(self) -> Nurl:
        """The address that is used; while it is not connected, that to be tried next."""
        return self._current.nurl

    @property
    def limited(self) -> LimitedServer:
        """What asks there, with an end to every wait."""
        return self._current.limited

    def start(self, seconds: float) -> None:
        """Begin to look after *seconds*; may be called again, which begins anew."""
        self.rest()
        self._looking = Deferred.fromCoroutine(self._look(seconds))
        self._looking.addErrback(self._ended)

    def rest(self) -> None:
        """Look no more until the next start; requests under way go on."""
        self.connected = False
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def stop(self) -> None:
        """Look no more, and close what is open."""
        self.rest()
        for address in self._addresses:
            address.server.stop()

    def hear(self, news: Sequence[Address]) -> None:
        """Take in its addresses of now; ``nurl`` is one of them."""
        known = {address.nurl: address for address in self._addresses}
        self._addresses = [known.pop(address.nurl, address) for address in news]
        for address, told in zip(self._addresses, news, strict=True):
            address.server.permutation_seed = told.server.permutation_seed
        for gone in known.values():
            gone.server.stop()

    async def _look(self, pause: float) -> None:
        delay = self._pace.patience
        while True:
            await deferLater(self._reactor, pause)
            version = await self._find()
            if version is None:
                pause, delay = delay, min(2 * delay, self._pace.longest)
            else:
                self.connected = True
                self._trouble = ""
                self._came(Greeting(version.application, version.space, version.durable))
                pause, delay = self._pace.longest, self._pace.patience

    async def _find(self) -> Version | None:
        """Return what it says where it first answers; None: it does nowhere."""
        troubles: list[str] = []
        for _ in range(len(self._addresses)):
            try:
                return await self._current.server.version()
            except CancelledError:
                raise
            except Exception as error:
                # Whatever it is may be over the next time.
                self.connected = False
                troubles.append(str(error))
                place = self._addresses.index(self._current) + 1
                self._current = self._addresses[place % len(self._addresses)]
        self._tell(" ".join(dict.fromkeys(troubles)))
        return None

    def _tell(self, trouble: str) -> None:
        """Log what is wrong, once until it is something else."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warn("Over HTTPS: {trouble}", trouble=trouble)

    def _ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("A server is looked for no more", failure)


@frozen(eq=False)
class Dialer:
    """
    Makes the transports to servers, which are not started.

    Give it a *tub* without a lasting identity: servers need not know that it is us again.
    *random* makes so many secret bytes.
    """

    _tub: Any = field(repr=False)
    _reactor: Any = field(repr=False)
    _random: Callable[[int], bytes]
    pace: Pace = field(factory=Pace)
    policy: AddressPolicy = ANY_ADDRESS  # of what it connects to over plain TCP
    transport: StorageTransport = StorageTransport.AUTO
    _ways: Ways = PLAIN  # how it connects over HTTPS; the tub knows for itself
    _seats: Seats | None = None  # of share channels; None: none are used

    @classmethod
    def guarded(
        cls,
        tub: Any,
        reactor: Any,
        random: Callable[[int], bytes],
        policy: AddressPolicy,
        pace: Pace | None = None,
        transport: StorageTransport = StorageTransport.AUTO,
        ways: Ways = PLAIN,
        seats: Seats | None = None,
    ) -> Dialer:
        """Return one that connects only where *policy* allows, also by names."""
        ways.prepare(tub, policy)
        guarded = GuardedReactor(reactor, policy)
        return cls(tub, guarded, random, pace or Pace(), policy, transport, ways, seats)

    @property
    def clock(self) -> IReactorTime:
        """Whose time counts for what it dials."""
        clock: IReactorTime = self._reactor
        return clock

    def foolscap(
        self,
        announcement: Announcement,
        came: Callable[[Greeting], None],
        went: Callable[[], None],
    ) -> FoolscapTransport | None:
        """Return the way to the announced furl; None: foolscap is not to go there."""
        if not announcement.has_hints or self.transport is StorageTransport.HTTPS:
            return None
        server = FoolscapServer(
            announcement.nickname or announcement.short_name,
            announcement.permutation_seed,
            announcement.lease_seed,
        )
        limited = LimitedServer(server, self._reactor)
        return FoolscapTransport(
            server,
            limited,
            announcement.furl,
            self._tub,
            came,
            went,
            self._reactor,
            self._seats if self._ways.tcp else None,
        )

    def https(
        self, addresses: Sequence[Address], came: Callable[[Greeting], None]
    ) -> HttpsTransport:
        """Return the way to a server that has these *addresses*."""
        return HttpsTransport(addresses, self._reactor, self.pace, came)

    def addresses(self, announcement: Announcement) -> list[Address]:
        """Return where the server can be looked for over HTTPS, in the order it tells."""
        over_https = self.transport is not StorageTransport.FOOLSCAP
        nurls = _nurls(announcement) if over_https else []
        ways = [(nurl, self._ways.to(nurl, self._reactor)) for nurl in nurls]
        return [
            self._address(announcement, nurl, to) for nurl, to in ways if to is not None
        ]

    def _address(self, announcement: Announcement, nurl: Nurl, to: Connect) -> Address:
        server = GbsServer(
            announcement.nickname or announcement.short_name,
            announcement.permutation_seed,
            announcement.lease_seed,
            nurl,
            self._reactor,
            self._random,
            to=to,
        )
        return Address(nurl, server, LimitedServer(server, self._reactor))


def _nurls(announcement: Announcement) -> list[Nurl]:
    """Return those of a server's NURLs that are some, each once."""
    found: list[Nurl] = []
    for text in announcement.nurls[:_MAX_NURLS]:
        try:
            nurl = Nurl.parse(text)
            if nurl not in found:
                found.append(nurl)
        except ValueError as error:
            log.warn(
                "Server {name} announces a NURL that is none: {error}",
                name=announcement.nickname or announcement.short_name,
                error=str(error),
            )
    return found
