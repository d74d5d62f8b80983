"""One introducer: it announces servers to us, and we announce ours to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee import __version__
from truckee.flow.timer import Timer
from truckee.grid.announced import Announced
from truckee.grid.announcements import MAX_MESSAGE, Announcement, Envelope, verify
from truckee.grid.introducer_schema import (
    MAX_ANNOUNCEMENTS,
    SERVICE,
    V2,
    RIIntroducer,
    RIIntroducerSubscriberClient,
)
from truckee.net.foolscap.checked_calls import call
from truckee.storage.foolscap_schema import serves

log = Logger()

# Between two attempts to reconnect, at most.  Foolscap's own hour is long for a server
# that is back after a night.
MAX_DELAY = 60  # seconds
_LONGEST = 200  # characters of what an introducer says of its error
_SLICE = 0.01  # seconds for which announcements are looked at, at once


def _fits(envelope: object) -> bool:
    """Tell whether it may wait in memory."""
    parts = envelope if isinstance(envelope, tuple) else ()
    return all(isinstance(part, bytes) and len(part) <= MAX_MESSAGE for part in parts)


@serves(RIIntroducerSubscriberClient)
@define(eq=False)
class IntroducerClient(Referenceable):
    """
    Stays connected to the introducer at *furl*.

    *heard* is called with each announcement that is new and counts, after its signature
    was checked; never for long at once, however many there are.  The foolscap tub
    reconnects with growing delays; each time we subscribe and
    publish again, for an introducer forgets both.
    """

    petname: str
    _furl: str = field(repr=False)
    _tub: Any = field(repr=False)
    _nickname: str
    _heard: Callable[[Announcement], None]
    _clock: IReactorTime
    connected: bool = field(default=False, init=False)
    # Sequence numbers count for one introducer.
    _announced: Announced = field(factory=Announced, init=False, repr=False)
    _queue: deque[object] = field(factory=deque, init=False, repr=False)  # envelopes
    _timer: Timer = field(factory=Timer, init=False, repr=False)
    _stopped: bool = field(default=False, init=False)
    _reconnector: Any = field(default=None, init=False, repr=False)
    _remote: Any = field(default=None, init=False, repr=False)
    _published: list[Envelope] = field(factory=list, init=False, repr=False)

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._reconnector = self._tub.connectTo(self._furl, self._got_remote)
        self._reconnector.maxDelay = MAX_DELAY

    def stop(self) -> None:
        """Connect no more, and hear nothing more."""
        self._stopped = True
        self._queue.clear()
        self._timer.cancel()
        if self._reconnector is not None:
            self._reconnector.stopConnecting()

    def publish(self, envelope: Envelope) -> None:
        """Announce our own server, now and after each reconnect."""
        self._published.append(envelope)
        if self.connected:
            self._watch(self._publish(envelope))

    @property
    def status(self) -> str:
        """The state of the connection, for people."""
        return "Connected" if self.connected else "Not connected"

    @property
    def known(self) -> dict[str, Announcement]:
        """What this introducer said last, by server."""
        return self._announced.known

    def remote_announce_v2(self, announcements: Iterable[object]) -> None:
        """Take each one for itself: a bad one says nothing about the others."""
        room = MAX_ANNOUNCEMENTS - len(self._queue)
        taken = list(islice(announcements, max(0, room)))
        self._queue += [envelope for envelope in taken if _fits(envelope)]
        self._plan(0.0)

    def _plan(self, seconds: float) -> None:
        """Look at what is there after so long."""
        if self._stopped:
            return
        self._timer.start(self._clock.callLater, seconds, self._work)

    def _work(self) -> None:
        """Look at announcements for a moment."""
        end = self._clock.seconds() + _SLICE
        for announcement in self._announced.due(self._clock.seconds()):
            self._heard(announcement)
        refused = self._announced.refused
        trouble = ""
        while self._queue:
            try:
                self._look(self._queue.popleft())
            except (ValueError, TypeError) as error:
                trouble = str(error)
            if self._clock.seconds() >= end:
                break
        if self._announced.refused > refused:
            trouble = "it announced more servers than any grid has"
        if trouble:
            log.warn(
                "Introducer {name} sent bad announcements: {error}",
                name=self.petname,
                error=trouble[:_LONGEST],
            )
        wait = 0.0 if self._queue else self._announced.wait(self._clock.seconds())
        if wait is not None:
            self._plan(wait)

    def _look(self, envelope: object) -> None:
        announcement = verify(envelope)
        size = len(envelope[0])  # type: ignore[index]
        if self._announced.take(announcement, size, self._clock.seconds()):
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
