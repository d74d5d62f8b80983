"""A node among others: its tubs, its introducers, the servers they tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IDelayedCall,
)
from twisted.logger import Logger

from truckee.codec import base32
from truckee.errors import Misuse, Unavailable
from truckee.flow.cpu import Workers
from truckee.grid.addresses import Reach, policy_of
from truckee.grid.announcements import Announcement
from truckee.grid.introducer import IntroducerClient
from truckee.grid.pool import ServerPool
from truckee.grid.transports import Dialer
from truckee.grid.ways import Ways
from truckee.helper.gateway.connection import HelperConnection
from truckee.helper.server.push_service import Helper
from truckee.net.connection_admission import Admission
from truckee.net.foolscap.connection_bounds import ConnectionBounds
from truckee.net.port_sharing import SharedEndpoint
from truckee.node.announcement_cache import AnnouncementCache
from truckee.node.config import NodeConfig
from truckee.node.config_file import BadConfig
from truckee.node.config_values import endpoint_text
from truckee.node.interfaces import choose_port
from truckee.node.keys import BadSecret, load_signing_key
from truckee.node.layout import NodeDirectory
from truckee.node.listening import WatchedEndpoint, connection_hints
from truckee.node.offer import StorageOffer, keep_furl
from truckee.node.peers import (
    BadPeers,
    check_furl,
    load_cache,
    load_introducers,
    load_static_servers,
)
from truckee.node.share_channels import NodeChannels
from truckee.node.storage import OfferedStorage
from truckee.node.tor import TorSource, ways_of
from truckee.node.tub import HELPER_DISCONNECT, HELPER_KEEPALIVE, make_tub
from truckee.status.problems import Problems
from truckee.storage.channel_client import Seats
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import GbsStorage, certificate_hash
from truckee.storage.quotas import ShareQuotas

log = Logger()

# How long an introducer has to answer before what it said last time is used.
FIRST_ANSWER = 10.0  # seconds
# Between two looks at when our certificates expire.
_CERTIFICATES = 3600.0  # seconds


@define
class CannotListen(Unavailable):
    """
    {port} cannot be listened on for other nodes: {reason}. Stop the program that uses it,
    or change tub.port in tahoe.cfg.
    """

    port: str
    reason: str


@define
class NoTubPort(Misuse):
    """
    A storage server or helper must be reached by others: set tub.port and tub.location in
    the section [node] of {path}, or enabled = false in [storage] and [helper].
    """

    path: object


@define(eq=False)
class Network:
    """
    Everything a node does with other nodes.

    ``start`` connects, ``offer`` serves our storage, ``stop`` ends all that.
    """

    _directory: NodeDirectory
    _config: NodeConfig
    _certificate: bytes | None = field(repr=False)
    _reactor: Any
    _now: Callable[[], float]
    _random: Callable[[int], bytes]
    _disk: Workers
    _problems: Problems
    pool: ServerPool = field(init=False)
    admission: Admission = field(init=False)
    introducers: list[IntroducerClient] = field(factory=list, init=False)
    _tor: TorSource | None = field(init=False)  # None: it is not used
    _ways: Ways = field(init=False)  # to others
    _tub: Any = field(init=False, repr=False)  # our lasting identity
    _client_tub: Any = field(init=False, repr=False)  # a new one at every start
    _dialers: dict[Reach, Dialer] = field(factory=dict, init=False, repr=False)
    _tubs: list[Any] = field(factory=list, init=False, repr=False)  # of the dialers
    _caches: list[AnnouncementCache] = field(factory=list, init=False)
    _timers: list[IDelayedCall] = field(factory=list, init=False, repr=False)
    _ports: list[SharedEndpoint] = field(factory=list, init=False)
    _https: GbsStorage | None = field(default=None, init=False)
    _channels: NodeChannels = field(init=False)
    helper: HelperConnection | None = field(default=None, init=False)  # that we use

    def __attrs_post_init__(self) -> None:
        self._ways, self._tor = ways_of(
            self._config, self._directory.private, self._reactor, self._problems
        )
        # Of all connections, whoever began them.
        bounds = ConnectionBounds(self._reactor.seconds)
        self.admission = Admission(self._reactor)
        self._channels = NodeChannels(
            Seats() if self._config.share_channels else None,
            self._directory.private / "node.pem",
            self._ports,
            self._reactor,
            self._random,
            self.admission.proved,
        )
        try:
            self._tub = make_tub(
                self._certificate, HELPER_KEEPALIVE, HELPER_DISCONNECT, bounds
            )
        except ValueError as error:
            raise BadSecret(self._directory.private / "node.pem", str(error)) from None
        self._tub.bounds_known = self.admission.proved
        self._client_tub = make_tub(None, bounds=bounds)
        for tub in (self._tub, self._client_tub):
            self._ways.prepare(tub)
        dialer = Dialer(
            self._client_tub,
            self._reactor,
            self._random,
            transport=self._config.transport,
            ways=self._ways,
            seats=self._channels.seats,
        )
        self.pool = ServerPool(dialer, self._now, self._config.grid_managers)

    @property
    def tubid(self) -> bytes:
        """The 20 bytes that name this node."""
        return base32.decode(str(self._tub.getTubID()))

    async def start(self) -> None:
        """
        Listen if we shall be reached, and look for servers.

        :raises BadPeers: :raises CannotListen: with a text for the operator.
        """
        private = self._directory.private
        bad: list[BadPeers] = []
        furls = load_introducers(private / "introducers.yaml", bad.append)
        if self._config.introducer_furl is not None:
            where = "[client] introducer.furl"
            if "default" in furls:
                reason = 'private/introducers.yaml has an introducer "default" too'
                raise BadConfig(self._directory.config, where, reason)
            furl = self._config.introducer_furl
            furls["default"] = check_furl(self._directory.config, where, furl)
        static = load_static_servers(
            private / "servers.yaml", bad.append, self._tor is not None
        )
        self._report(bad, nothing_else=not furls and not static)
        self._tub.startService()
        self._client_tub.startService()
        await self._listen()
        for server in static:
            self.pool.add_static(server, self._tor_dialer() if server.over_tor else None)
        for petname, furl in furls.items():
            self._follow(petname, furl)
        if self._config.helper_furl is not None:
            furl = self._config.helper_furl
            check_furl(self._directory.config, "[client] helper.furl", furl)
            self.helper = HelperConnection(
                self._tub, furl, self._reactor, self._now, self._channels.seats
            )
            self.helper.start()

    def _report(self, bad: Sequence[BadPeers], nothing_else: bool) -> None:
        """Name entries that are not used.  :raises BadPeers: when there are no others."""
        if bad and nothing_else:
            raise bad[0]
        for each in bad:
            text = f"{each.reason}. It is not used; the other entries are."
            name = f"private/{each.path.name}: {each.where}"
            self._problems.report(name, f"{text[:1].upper()}{text[1:]}")

    def check_port(self) -> None:
        """:raises NoTubPort: when others cannot reach us."""
        port = self._config.tub_port or self._config.tub_port_chosen
        if not port or self._config.tub_location is None:
            raise NoTubPort(self._directory.config)

    def prepare_offer(self) -> tuple[StorageOffer, str]:
        """
        Return what storage is offered with, and its swissnum; blocks.

        :raises OSError: when keys must be made, and cannot be written.
        """
        private = self._directory.private
        key = load_signing_key(private, self._random)
        storage = self._config.storage
        offer = StorageOffer(
            self._directory,
            key,
            self._config.nickname,
            self._random,
            () if storage is None else storage.certificates,
        )
        offer.permutation_seed()
        offer.keep_public_key()
        return offer, keep_furl(self._tub, private / "storage.furl", self._random)

    def offer(
        self, offer: StorageOffer, swissnum: str, server: OfferedStorage, number: int
    ) -> None:
        """Serve *server*, and tell introducers."""
        # Of both protocols together.
        quotas = ShareQuotas(self._reactor.seconds)
        served = FoolscapStorage(server.immutable, self._reactor, server.mutable, quotas)
        self._channels.serve(served, server.immutable)
        furl = self._tub.registerReference(served, name=swissnum)
        nurls = self._serve_https(furl, server, quotas)
        announcement = offer.announcement(furl, nurls, number)
        if offer.certificates:
            self._watch_certificates(offer)
        for introducer in self.introducers:
            introducer.publish(announcement)

    def _watch_certificates(self, offer: StorageOffer) -> None:
        """Name certificates of ours that clients pass over, now and later."""
        for name, text in offer.troubles(self._now()).items():
            self._problems.report(f"[grid_manager_certificates] {name}", text)
        later = self._reactor.callLater(_CERTIFICATES, self._watch_certificates, offer)
        self._timers = [*(each for each in self._timers if each.active()), later]

    def prepare_helper(self) -> str:
        """Return the swissnum that a helper is served by; blocks.  :raises OSError:"""
        return keep_furl(self._tub, self._directory.private / "helper.furl", self._random)

    def offer_helper(self, helper: Helper, swissnum: str) -> None:
        """Serve a *helper*."""
        self._channels.serve_helper(helper)
        self._tub.registerReference(helper, name=swissnum)

    def _serve_https(
        self, furl: str, server: OfferedStorage, quotas: ShareQuotas
    ) -> list[str]:
        """Serve *server* over HTTPS too, on the same ports; return where."""
        storage = self._config.storage
        if storage is None or storage.force_foolscap:
            return []
        certificate = self._tub.getCertData()
        self._https = GbsStorage(
            server.immutable,
            furl.rpartition("/")[2],
            self._reactor,
            server.mutable,
            quotas,
            self.admission.proved,
        )
        https = self._https.https(certificate)
        for port in self._ports:
            port.https = https
        return [nurl.text for nurl in nurls_of(furl, certificate_hash(certificate))]

    async def stop(self) -> None:
        """Leave the network."""
        self._channels.stop()
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        if self._https is not None:
            self._https.stop()
        if self.helper is not None:
            self.helper.stop()
        for introducer in self.introducers:
            introducer.stop()
        for cache in self._caches:
            await cache.stop()
        self.pool.stop()
        tubs = [tub for tub in (self._tub, self._client_tub, *self._tubs) if tub.running]
        await DeferredList([tub.stopService() for tub in tubs], consumeErrors=True)
        if self._tor is not None:
            self._tor.stop()

    def _follow(self, petname: str, furl: str) -> None:
        """Hear of servers from one introducer, and remember what it said."""
        cache = self._directory.private / f"introducer_{petname}_cache.yaml"

        dialer = self._dialer_to(furl)

        def heard(announcement: Announcement) -> None:
            self.pool.heard(announcement, dialer)
            kept.changed()

        introducer = IntroducerClient(
            petname, furl, self._tub, self._config.nickname, heard, self._reactor
        )
        kept = AnnouncementCache(
            cache, lambda: introducer.known, self._disk, self._reactor, self._problems
        )
        self._caches.append(kept)
        self.introducers.append(introducer)
        introducer.start()
        timer = self._reactor.callLater(
            FIRST_ANSWER, self._remember, introducer, cache, dialer
        )
        self._timers.append(timer)

    def _dialer_to(self, furl: str) -> Dialer:
        """Return what connects to the servers that the introducer at *furl* tells of."""
        policy = self._config.announced_addresses or policy_of(furl)
        dialer = self._dialers.get(policy.least)
        if dialer is None:
            tub = make_tub(None)
            tub.startService()
            self._tubs.append(tub)
            dialer = Dialer.guarded(
                tub,
                self._reactor,
                self._random,
                policy,
                transport=self._config.transport,
                ways=self._ways,
                seats=self._channels.seats,
            )
            self._dialers[policy.least] = dialer
        return dialer

    def _tor_dialer(self) -> Dialer:
        """Return what connects to a server through Tor alone."""
        tub = make_tub(None)
        tub.startService()
        self._tubs.append(tub)
        transport, ways = self._config.transport, self._ways.through_tor()
        ways.prepare(tub)
        return Dialer(tub, self._reactor, self._random, transport=transport, ways=ways)

    def _remember(self, introducer: IntroducerClient, cache: Path, dialer: Dialer) -> None:
        if not introducer.connected and self._tub.running:
            name = f"private/{cache.name}"
            for announcement in load_cache(cache, partial(self._problems.report, name)):
                self.pool.heard(announcement, dialer)

    async def _listen(self) -> None:
        port, location = self._config.tub_port, self._config.tub_location
        if self._config.tub_port_chosen:
            port = await self._disk.run(choose_port, self._directory.client_port)
        if port is None or location is None:
            return
        for description in port.split(","):
            text = endpoint_text(description)
            try:
                inner = serverFromString(self._reactor, text)
            except Exception as error:
                # A parser of its own for each kind of endpoint, with errors of its own.
                where = "[node] tub.port"
                raise BadConfig(self._directory.config, where, str(error)) from None
            shared = SharedEndpoint(inner, self._reactor, admission=self.admission)
            self._ports.append(shared)
            endpoint = WatchedEndpoint(shared, text)
            self._tub.listenOn(endpoint)
            try:
                await endpoint.listening
            except Exception as error:
                raise CannotListen(description, str(error)) from None
        self._tub.setLocation(*connection_hints(location, port))
