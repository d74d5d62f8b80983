"""Disk servers behind HTTPS for tests, and clients for them."""

from __future__ import annotations

import os
from functools import cache

from attrs import define
from foolscap.api import Tub
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, MoodyServer, new_directory, new_server, new_workers, pause
from truckee.codec import base32
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_schema import Nurl
from truckee.storage.gbs_server import GbsStorage, certificate_hash
from truckee.storage.limited import Patience
from truckee.storage.quotas import QuotaLimits, ShareQuotas

SWISSNUM = "s" * 32


@cache
def certificate() -> bytes:
    """Return key and certificate of a tub; making one takes a while."""
    return bytes(Tub().getCertData())


@cache
def tub_id() -> bytes:
    """Return the id of that tub; foolscap computes it."""
    return base32.decode(Tub(certData=certificate()).tubID)


def new_client(
    case: TestCase,
    nurl: Nurl,
    patience: Patience | None = None,
    lease_seed: bytes | None = None,  # None: that of servers with ``certificate()``
) -> GbsServer:
    """Return a client that is stopped when the test ends."""
    client = GbsServer(
        "far away",
        b"p" * 20,
        lease_seed or tub_id(),
        nurl,
        REACTOR,
        os.urandom,
        patience or Patience(),
    )
    case.addCleanup(close, client)
    return client


def close(client: GbsServer) -> Deferred[None]:
    """Stop *client*; wait until its server has noticed."""
    client.stop()
    return Deferred.fromCoroutine(pause(0.02))


def listen(case: TestCase, factory: IProtocolFactory, key: bytes) -> Nurl:
    """Listen until the test ends."""
    port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
    case.addCleanup(port.stopListening)
    return Nurl(certificate_hash(key), "127.0.0.1", port.getHost().port, SWISSNUM)


@define(eq=False)
class Served:
    """A disk server that is served over HTTPS on a port of its own."""

    disk: MoodyServer
    storage: GbsStorage
    nurl: Nurl

    @classmethod
    def new(cls, case: TestCase) -> Served:
        """Return one that lives as long as the test."""
        disk = new_server(new_directory(case), new_workers(case))
        # Tests ask for all there is.
        quotas = ShareQuotas(REACTOR.seconds, QuotaLimits(space_part=1))
        storage = GbsStorage(disk, SWISSNUM, REACTOR, quotas=quotas)
        nurl = listen(case, storage.https(certificate()), certificate())
        case.addCleanup(stop, storage)
        return cls(disk, storage, nurl)


def stop(storage: GbsStorage) -> Deferred[None]:
    """Stop *storage*; wait until its shares in progress are gone."""
    storage.stop()
    return Deferred.fromCoroutine(pause(0.05))
