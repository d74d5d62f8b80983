"""The servers we know of, and which of them can be reached now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import Factory, define, evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.logger import Logger

from truckee.codec.grid_certificate import Standing, standing_of
from truckee.grid.announced import MAX_SERVERS
from truckee.grid.announcements import Announcement, restricted
from truckee.grid.arrivals import Arrivals
from truckee.grid.transports import (
    Address,
    Dialer,
    FoolscapTransport,
    Greeting,
    HttpsTransport,
)
from truckee.storage.interfaces import IStorageServer

log = Logger()


@frozen
class ServerStatus:
    """What people and clients see of one server."""

    server_id: str
    nickname: str
    connected: bool
    version: str | None = None
    available_space: int | None = None  # bytes
    last_received: float | None = None  # Unix seconds
    over_https: bool = False  # connected in that way
    refusal: str = ""  # why nothing is uploaded to it; empty: it may be
    local: bool = False  # a storage directory of the node's own grid


@define(eq=False)
class PooledServer:
    """
    One server and the connection to it, which comes and goes.

    It is reached over foolscap; while that is not connected, over HTTPS if it can be; or
    over one of the two alone, as its *dialer* has it.
    """

    announcement: Announcement
    dialer: Dialer = field(repr=False)
    _now: Callable[[], float]
    _arrivals: Arrivals = field(repr=False)
    _managers: Sequence[Ed25519PublicKey] = ()  # one of whom must approve of it
    _standing: Standing = field(init=False)  # what they say
    _told: str = field(default="", init=False)  # the refusal in the log
    version: str | None = field(default=None, init=False)
    available_space: int | None = field(default=None, init=False)  # bytes, when it came
    last_received: float | None = field(default=None, init=False)  # Unix seconds
    _foolscap: FoolscapTransport | None = field(default=None, init=False)
    _https: HttpsTransport | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._look_at_certificates()

    @property
    def server(self) -> IStorageServer | None:
        """What can be asked now; None: it cannot be reached."""
        for transport in (self._foolscap, self._https):
            if transport is not None and transport.connected:
                return transport.limited
        return None

    @property
    def refusal(self) -> str:
        """Why no grid manager approves of it now; empty: one does, or none is needed."""
        refusal = self._standing.refusal(self._now())
        if refusal != self._told:
            self._told = refusal
            name = self.announcement.nickname or self.announcement.short_name
            if refusal:
                log.warn("Nothing is uploaded to {name}: {why}", name=name, why=refusal)
            else:
                log.info("Files are uploaded to {name} again", name=name)
        return refusal

    @property
    def status(self) -> ServerStatus:
        """What is known of it."""
        return ServerStatus(
            self.announcement.server_id,
            self.announcement.nickname,
            self.server is not None,
            self.version,
            self.available_space,
            self.last_received,
            self._https is not None and self.server is self._https.limited,
            self.refusal,
        )

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._arrivals.expect(self.announcement.server_id)
        self._foolscap = self.dialer.foolscap(
            self.announcement, self._came_over_foolscap, self._went_from_foolscap
        )
        if self._foolscap is not None:
            self._foolscap.start()
        self._use_https(self.dialer.addresses(self.announcement))

    def hear(self, news: Announcement) -> None:
        """Take in what a server tells that stays where it was over foolscap."""
        self.announcement = news
        self._look_at_certificates()
        if self._foolscap is not None:
            self._foolscap.server.permutation_seed = news.permutation_seed
        addresses = self.dialer.addresses(news)
        nurls = [address.nurl for address in addresses]
        if self._https is not None and self._https.nurl in nurls:
            self._https.hear(addresses)
        else:
            self._close_https()
            self._use_https(addresses)

    def stop(self) -> None:
        """Connect no more, and let the connections go unused."""
        self._arrivals.settled(self.announcement.server_id)
        if self._foolscap is not None:
            self._foolscap.stop()
        self._close_https()

    def _look_at_certificates(self) -> None:
        announced = self.announcement.fields.get("grid-manager-certificates")
        server_id = self.announcement.server_id
        self._standing = standing_of(server_id, announced, self._managers)

    def _use_https(self, addresses: Sequence[Address]) -> None:
        if addresses:
            self._https = self.dialer.https(addresses, self._came)
            if self._foolscap is None or not self._foolscap.connected:
                self._look_over_https()

    def _close_https(self) -> None:
        if self._https is not None:
            self._https.stop()
            self._https = None

    def _look_over_https(self) -> None:
        """Find out whether it can be reached so, unless foolscap connects soon."""
        if self._https is not None:
            alone = self._foolscap is None
            self._https.start(0.0 if alone else self.dialer.pace.patience)

    def _went_from_foolscap(self) -> None:
        self._arrivals.expect(self.announcement.server_id)
        self._look_over_https()

    def _came_over_foolscap(self, greeting: Greeting) -> None:
        if self._https is not None:
            self._https.rest()
        self._came(greeting)

    def _came(self, greeting: Greeting) -> None:
        self.version = greeting.version
        self.available_space = greeting.available_space
        self.last_received = self._now()
        self._arrivals.settled(self.announcement.server_id)


@define(eq=False)
class ServerPool:
    """
    All servers, announced and static.

    A server is its tub, whose id the connection proves: several announcements of one tub
    are one server.  The operator's word for it counts first, then that of the announcement
    with the lowest server id, of those under which it is connected.

    With grid *managers*, it is given shares when one of them approves of it, under whatever
    of its names.
    """

    _dialer: Dialer
    _now: Callable[[], float]
    _managers: Sequence[Ed25519PublicKey] = ()
    arrivals: Arrivals = field(
        default=Factory(lambda self: Arrivals(self._dialer.clock), takes_self=True),
        init=False,
    )
    known: dict[str, PooledServer] = field(factory=dict, init=False)
    _static: set[str] = field(factory=set, init=False)

    def servers(self) -> list[IStorageServer]:
        """Return those that can be asked now."""
        found = (each.server for each in self._in_use().values())
        return [server for server in found if server is not None]

    def takers(self) -> list[IStorageServer]:
        """Return those that can be asked now, and may be given shares."""
        approved = self._approved()
        found = (each.server for tub, each in self._in_use().items() if tub in approved)
        return [server for server in found if server is not None]

    def statuses(self) -> list[ServerStatus]:
        """Return what is known of each server, other names of one in use left out."""
        in_use, approved = self._in_use(), self._approved()
        return [
            evolve(each.status, refusal="")
            if each.announcement.lease_seed in approved
            else each.status
            for each in self.known.values()
            if in_use.get(each.announcement.lease_seed, each) is each
        ]

    def _approved(self) -> set[bytes]:
        """Return the tubs that may be given shares now."""
        known = self.known.values()
        return {each.announcement.lease_seed for each in known if not each.refusal}

    def server_id(self, lease_seed: bytes) -> bytes:
        """Return what others call the server with this seed, the seed if none is known."""
        in_use = self._in_use().get(lease_seed)
        for each in self.known.values() if in_use is None else [in_use]:
            if each.announcement.lease_seed == lease_seed:
                return each.announcement.server_id.encode("utf-8")
        return lease_seed

    def _in_use(self) -> dict[bytes, PooledServer]:
        """Return the connected servers by their tubs, each under one name."""
        connected = [each for each in self.known.values() if each.server is not None]
        chosen: dict[bytes, PooledServer] = {}
        for each in connected:
            tub = each.announcement.lease_seed
            if tub not in chosen or self._rank(each) < self._rank(chosen[tub]):
                chosen[tub] = each
        return chosen

    def _rank(self, server: PooledServer) -> tuple[bool, str]:
        server_id = server.announcement.server_id
        return server_id not in self._static, server_id

    def add_static(self, announcement: Announcement, dialer: Dialer | None = None) -> None:
        """
        Use the operator's word for a server, whatever introducers say of it.

        A *dialer*, if there is one, connects to it.
        """
        self._static.add(announcement.server_id)
        self._use(announcement, dialer or self._dialer)

    def heard(self, announcement: Announcement, dialer: Dialer | None = None) -> None:
        """
        An introducer announced a server, or something new about one.

        A *dialer*, if there is one, connects to the addresses that it may name.
        """
        if announcement.server_id not in self._static:
            self._use(announcement, dialer or self._dialer)

    def stop(self) -> None:
        """Connect to none of them any more; whoever made the tub stops it."""
        for each in self.known.values():
            each.stop()

    def _use(self, announcement: Announcement, dialer: Dialer) -> None:
        server_id = announcement.server_id
        known = self.known.get(server_id)
        if known is not None:
            if known.dialer.policy.least <= dialer.policy.least:
                dialer = known.dialer
            announcement = restricted(announcement, dialer.policy)
            if known.announcement.furl == announcement.furl and known.dialer is dialer:
                known.hear(announcement)
                return
            known.stop()
        announcement = restricted(announcement, dialer.policy)
        if server_id not in self.known and len(self.known) >= MAX_SERVERS:
            log.warn("There are too many servers: {name} is not used", name=server_id)
            return
        pooled = PooledServer(
            announcement, dialer, self._now, self.arrivals, self._managers
        )
        self.known[server_id] = pooled
        pooled.start()
