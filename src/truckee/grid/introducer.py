"""One introducer: who tells us of servers, and whom we tell of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee import __version__
from truckee.grid.announcements import Announcement, Envelope, is_newer, verify
from truckee.grid.introducer_schema import (
    SERVICE,
    V2,
    RIIntroducer,
    RIIntroducerSubscriberClient,
)
from truckee.storage.checked import call
from truckee.storage.foolscap_schema import serves

log = Logger()

# Between two attempts to reconnect, at most.  Foolscap's own hour is long for a server
# that is back after a night.
MAX_DELAY = 60  # seconds
_LONGEST = 200  # characters of what an introducer says of its error


@serves(RIIntroducerSubscriberClient)
@define(eq=False)
class IntroducerClient(Referenceable):
    """
    Stays connected to the introducer at *furl*.

    *heard* is called with each announcement that is new, after its signature was
    checked.  The foolscap tub reconnects with growing delays; each time we subscribe and
    publish again, for an introducer forgets both.
    """

    petname: str
    _furl: str = field(repr=False)
    _tub: Any = field(repr=False)
    _nickname: str
    _heard: Callable[[Announcement], None]
    connected: bool = field(default=False, init=False)
    # What this introducer said, by server: sequence numbers count for one introducer.
    known: dict[str, Announcement] = field(factory=dict, init=False, repr=False)
    _reconnector: Any = field(default=None, init=False, repr=False)
    _remote: Any = field(default=None, init=False, repr=False)
    _published: list[Envelope] = field(factory=list, init=False, repr=False)

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._reconnector = self._tub.connectTo(self._furl, self._got_remote)
        self._reconnector.maxDelay = MAX_DELAY

    def stop(self) -> None:
        """Connect no more."""
        if self._reconnector is not None:
            self._reconnector.stopConnecting()

    def publish(self, envelope: Envelope) -> None:
        """Tell of our own server, now and after each reconnect."""
        self._published.append(envelope)
        if self.connected:
            self._watch(self._publish(envelope))

    @property
    def status(self) -> str:
        """What people are told of the connection."""
        return "Connected" if self.connected else "Not connected"

    def remote_announce_v2(self, announcements: Iterable[object]) -> None:
        """Take each one for itself: a bad one says nothing about the others."""
        for envelope in announcements:
            try:
                announcement = verify(envelope)
            except (ValueError, TypeError) as error:
                log.warn(
                    "Introducer {name} sent a bad announcement: {error}",
                    name=self.petname,
                    error=error,
                )
                continue
            known = self.known.get(announcement.server_id)
            if known is None or is_newer(announcement, known):
                self.known[announcement.server_id] = announcement
                self._heard(announcement)

    def _got_remote(self, remote: Any) -> None:
        self._remote = remote
        remote.notifyOnDisconnect(self._lost)
        self._watch(self._greet(remote))

    async def _greet(self, remote: Any) -> None:
        version = await call(remote, RIIntroducer, "get_version")
        if V2 not in version:
            log.error("Introducer {name} is too old", name=self.petname)
            return
        self.connected = True
        info = {
            b"version": 0,
            b"nickname": self._nickname,
            b"app-versions": [],
            b"my-version": f"truckee/{__version__}",
            b"oldest-supported": "1.0.0",
        }
        await remote.callRemote("subscribe_v2", self, SERVICE, info)
        for envelope in self._published:
            await self._publish(envelope)

    async def _publish(self, envelope: Envelope) -> None:
        await self._remote.callRemote("publish_v2", envelope, Referenceable())

    def _lost(self) -> None:
        self.connected = False

    def _watch(self, work: Any) -> None:
        Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        log.warn(
            "Introducer {name} does not answer as it should: {error}",
            name=self.petname,
            error=failure.getErrorMessage()[:_LONGEST],
        )
