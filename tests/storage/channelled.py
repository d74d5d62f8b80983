"""A storage server on loopback with share channels, and its client."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field
from foolscap.api import Tub
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, until
from tests.ports import free_port
from tests.storage.gbs_served import certificate
from truckee.net.connection_admission import Admission
from truckee.net.port_sharing import SharedEndpoint
from truckee.node.share_channels import NodeChannels
from truckee.node.tub import make_tub
from truckee.storage.channel_client import Seats
from truckee.storage.channel_frames import Kind
from truckee.storage.channel_server import ShareChannels
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import KEEPS_SHARES
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import IStorageServer
from truckee.storage.quotas import QuotaLimits, ShareQuotas


@define(eq=False)
class Channelled:
    """The server of a test, which ends it, and a client with channels to it."""

    case: TestCase
    storage: IStorageServer
    channels: ShareChannels = field(init=False)
    port: int = field(factory=free_port)
    theirs: Tub = field(init=False)
    ours: Tub = field(init=False)
    furl: str = field(init=False)
    admission: Admission = field(init=False)

    def __attrs_post_init__(self) -> None:
        key = certificate()
        self.theirs, self.ours = make_tub(key), make_tub(None)
        for tub in (self.theirs, self.ours):
            tub.startService()
            self.case.addCleanup(tub.stopService)
        inner = TCP4ServerEndpoint(REACTOR, self.port, interface="127.0.0.1")
        shared = SharedEndpoint(inner, REACTOR)
        quotas = ShareQuotas(REACTOR.seconds, QuotaLimits(space_part=1))
        served = FoolscapStorage(self.storage, REACTOR, quotas=quotas)
        pem = Path(new_directory(self.case)) / "node.pem"
        pem.write_bytes(key)
        proved = shared.admission.proved
        node = NodeChannels(Seats(), pem, [shared], REACTOR, os.urandom, proved)
        node.serve(served, self.storage)
        assert node.served is not None
        self.channels = node.served
        self.admission = shared.admission
        self.theirs.listenOn(shared)
        self.theirs.setLocation(f"tcp:127.0.0.1:{self.port}")
        self.furl = str(self.theirs.registerReference(served))
        # Before the tubs, which wait for their connections.
        self.case.addCleanup(self.end)

    async def connect(self) -> FoolscapServer:
        """Return a client that has a channel of each kind."""
        remote = await self.ours.getReference(self.furl)
        far = FoolscapServer("foolscap", b"p" * 20, b"l" * 20, remote)
        await self.greet(far)
        self.case.addCleanup(far.channels.lost)
        return far

    async def greet(self, far: FoolscapServer) -> None:
        """Take in what the server says of itself, and open channels."""
        version = await far.ask("get_version")
        keeps = version.get(KEEPS_SHARES) == 1
        far.hear(durable=True, max_slot_share=0, keeps_shares=keeps)
        far.channels.found("127.0.0.1", self.port, REACTOR, Seats())
        for kind in Kind:
            far.channels.prepare(kind)
        await until(lambda: all(map(far.channels.is_open, Kind)))

    def end(self) -> Deferred[None]:
        """End all channels."""
        self.channels.stop()
        return Deferred.fromCoroutine(until(lambda: not len(self.channels)))
