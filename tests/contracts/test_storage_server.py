"""The storage servers that pass the suite."""

from __future__ import annotations

from functools import cache

from foolscap.api import Tub, flushEventualQueue
from foolscap.util import allocate_tcp_port
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.contracts.storage_server import StorageServerContract
from tests.grids import REACTOR
from tests.storage.channelled import Channelled
from truckee.node.tub import make_tub
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import CallFailed, IStorageServer
from truckee.storage.limited import LimitedServer
from truckee.storage.quotas import QuotaLimits, ShareQuotas

# The suite asks for all of it.
ALL_SPACE = QuotaLimits(space_part=1)


class DiskServerTests(StorageServerContract):
    async def new_server(self) -> IStorageServer:
        return self.disk


class OneThreadTests(DiskServerTests):
    """All that goes to the disk is done in the order it was asked for."""

    threads = 1


class LimitedServerTests(StorageServerContract):
    async def new_server(self) -> IStorageServer:
        return LimitedServer(self.disk, REACTOR)


@cache
def certificate(name: str) -> bytes:
    """Return a certificate and its key; they take long to make."""
    data: bytes = Tub().getCertData()
    return data


def new_tubs(case: TestCase) -> tuple[Tub, Tub]:
    """Return a tub that listens, and one that connects; a test ends them."""
    theirs, ours = (make_tub(certificate(name)) for name in ("theirs", "ours"))
    for tub in (theirs, ours):
        tub.startService()
        case.addCleanup(_stop, tub)
    port = allocate_tcp_port()
    theirs.listenOn(f"tcp:{port}:interface=127.0.0.1")
    theirs.setLocation(f"tcp:127.0.0.1:{port}")
    return theirs, ours


def _stop(tub: Tub) -> Deferred[None]:
    """End its connections, and let those who watch them hear of it."""
    stopped: Deferred[None] = tub.stopService()
    return stopped.addCallback(flushEventualQueue)


class FoolscapServerTests(StorageServerContract):
    """A server over real connections of this machine."""

    open_ended = False
    waits_when_cancelled = False
    too_large = CallFailed
    closed = CallFailed

    async def new_server(self) -> IStorageServer:
        theirs, ours = new_tubs(self)
        quotas = ShareQuotas(REACTOR.seconds, ALL_SPACE)
        furl = theirs.registerReference(FoolscapStorage(self.disk, REACTOR, quotas=quotas))
        remote = await ours.getReference(furl)
        return FoolscapServer("foolscap", b"p" * 20, b"l" * 20, remote)


class ChannelTests(FoolscapServerTests):
    """What is read goes beside foolscap."""

    async def new_server(self) -> IStorageServer:
        return await Channelled(self, self.disk).connect()


del StorageServerContract  # it is no test of its own here
