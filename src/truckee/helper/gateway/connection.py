"""A gateway's connection to its helper, which comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import Unavailable
from truckee.flow.changes import Changes
from truckee.grid.addresses import tcp_ports
from truckee.helper.protocol import RIHelper
from truckee.helper.wire import Version
from truckee.net.foolscap.checked_calls import call
from truckee.storage.channel_client import Seats
from truckee.storage.server_channels import ServerChannels

log = Logger()

# Tries to connect are never further apart than this.
MAX_DELAY = 15.0  # seconds
_LONGEST = 100  # characters of a helper's error


@define
class NoHelper(Unavailable):
    """
    The helper could not be reached for {seconds:.0f} seconds. Try again later, or upload
    with helper=no.
    """

    seconds: float


@define(eq=False)
class HelperConnection:
    """
    One helper.  ``start`` it, and ``stop`` it in the end.

    Give it a tub with a lasting identity: then a new connection replaces one that is dead
    and does not know it yet.
    """

    _tub: Any = field(repr=False)
    _furl: str = field(repr=False)
    _clock: IReactorTime
    _now: Callable[[], float]
    _seats: Seats | None = None  # of share channels; None: there are to be none
    channels: ServerChannels = field(
        default=Factory(
            lambda self: ServerChannels("the helper", self._ask, Referenceable()),
            takes_self=True,
        ),
        init=False,
    )
    remote: Any = field(default=None, init=False, repr=False)  # foolscap's reference
    pushes: bool = field(default=False, init=False)  # whether it can be pushed to
    owns: bool = field(default=False, init=False)  # whether uploads there have secrets
    version: str | None = field(default=None, init=False)
    last_received: float | None = field(default=None, init=False)  # Unix seconds
    _reconnector: Any = field(default=None, init=False, repr=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    @property
    def connected(self) -> bool:
        """Whether it can be asked now."""
        return self.remote is not None

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._reconnector = self._tub.connectTo(self._furl, self._got_remote)
        self._reconnector.maxDelay = MAX_DELAY

    def stop(self) -> None:
        """Connect no more; may be called twice."""
        reconnector, self._reconnector = self._reconnector, None
        if reconnector is not None:
            reconnector.stopConnecting()
        self.remote = None
        self.channels.lost()

    async def get(self, seconds: float) -> Any:
        """Return the helper.  :raises NoHelper: when it takes longer than *seconds*."""
        deadline = self._clock.seconds() + seconds
        while self.remote is None:
            left = deadline - self._clock.seconds()
            if left <= 0:
                raise NoHelper(seconds)
            await self._changes.once_within(self._clock, left)
        return self.remote

    def _got_remote(self, remote: Any) -> None:
        Deferred.fromCoroutine(self._greet(remote)).addErrback(self._failed)

    async def _greet(self, remote: Any) -> None:
        told = Version.from_wire(await call(remote, RIHelper, "get_version"))
        if self._reconnector is None:
            return  # nobody wants it any more
        self.version, self.pushes, self.owns = told.software, told.pushes, told.owns
        self.last_received = self._now()
        remote.notifyOnDisconnect(self._lost, remote)
        self.remote = remote
        if told.has_channels:
            ports = tcp_ports(self._furl)
            self.channels.reached(remote.getPeer(), ports, self._clock, self._seats)
        self._changes.wake()

    def _lost(self, remote: Any) -> None:
        if self.remote is remote:
            self.remote = None
            self.channels.lost()

    async def _ask(self, method: str, *arguments: Any) -> Any:
        return await call(self.remote, RIHelper, method, *arguments)

    def _failed(self, failure: Failure) -> None:
        reason = failure.getErrorMessage()[:_LONGEST]
        log.warn("The helper does not answer as it should: {error}", error=reason)
