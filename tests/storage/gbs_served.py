"""Disk servers behind HTTPS for tests, and clients for them."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, TypeVar, cast

from attrs import define, field
from foolscap.api import Tub
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.grids import (
    REACTOR,
    MoodyServer,
    new_directory,
    new_server,
    new_workers,
    pause,
    until,
)
from truckee.codec import base32
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_connection import plain
from truckee.storage.gbs_schema import Nurl
from truckee.storage.gbs_server import GbsStorage, certificate_hash
from truckee.storage.interfaces import IStorageServer
from truckee.storage.kept_shares import KeptShares
from truckee.storage.limited import Patience
from truckee.storage.quotas import QuotaLimits, ShareQuotas
from truckee.storage.server import DiskServer

SWISSNUM = "s" * 32
T = TypeVar("T")


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
        Ends(),
    )
    case.addCleanup(close, client)
    return client


def close(client: GbsServer) -> Deferred[None]:
    """Stop *client*, which connects by its ``Ends``; wait until the server noticed."""
    client.stop()
    ends = client._to
    assert isinstance(ends, Ends)
    # An allocation that failed gives its shares back when it has ended.
    return Deferred.fromCoroutine(until(lambda: not client._open.used and not ends.open))


@define(eq=False)
class Ends:
    """Connects over TCP, and knows whether one of its connections is open at either end."""

    _trying: int = field(default=0, init=False)
    _ports: set[int] = field(factory=set, init=False)  # of this end

    def __call__(self, host: str, port: int) -> IStreamClientEndpoint:
        return _Watched(plain(REACTOR)(host, port), self)

    def began(self) -> None:
        """A connection is being made."""
        self._trying += 1

    def came(self, result: T) -> T:
        """It was made, or not."""
        self._trying -= 1
        if not isinstance(result, Failure):
            self._ports.add(cast(Any, result).transport.getHost().port)
        return result

    @property
    def open(self) -> bool:
        """Whether one is being made, or not closed in this process."""
        connections = (
            each
            for each in {*REACTOR.getReaders(), *REACTOR.getWriters()}
            if isinstance(each, Connection)
        )
        return bool(self._trying) or any(
            end.port in self._ports
            for each in connections
            for end in (each.getHost(), each.getPeer())
        )


@implementer(IStreamClientEndpoint)
@define(eq=False)
class _Watched:
    """An endpoint whose connections are counted."""

    _endpoint: IStreamClientEndpoint
    _ends: Ends

    def connect(self, factory: Any) -> Deferred[Any]:
        self._ends.began()
        return self._endpoint.connect(factory).addBoth(self._ends.came)


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
        return cls(disk, *serve(case, disk))


def serve(case: TestCase, disk: IStorageServer) -> tuple[GbsStorage, Nurl]:
    """Serve *disk* until the test ends; return what does it, and where it is."""
    # Tests ask for all there is.
    quotas = ShareQuotas(REACTOR.seconds, QuotaLimits(space_part=1))
    storage = GbsStorage(disk, SWISSNUM, REACTOR, quotas=quotas)
    case.addCleanup(stop, storage)
    return storage, listen(case, storage.https(certificate()), certificate())


def keep_shares(disk: DiskServer) -> KeptShares:
    """Have *disk* keep shares in progress."""
    kept = disk.kept = KeptShares(disk, disk._disk, disk._now)
    kept.start()
    return kept


def stop(storage: GbsStorage) -> Deferred[None]:
    """Stop *storage*; wait until its shares in progress are gone."""
    storage.stop()
    return Deferred.fromCoroutine(pause(0.05))
