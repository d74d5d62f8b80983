"""/status/events: the tasks of the gateway, told whenever something changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.flow.timer import Timer
from truckee.frontends.web.problems import problems_json
from truckee.frontends.web.renewal_report import renewals_json
from truckee.frontends.web.task_document import listing
from truckee.net.http.request import StreamingRequest
from truckee.renewal.tree_renewal import RenewalStatus
from truckee.status.problems import Problems
from truckee.status.tasks import Tasks

# Listeners at once; each is a connection that stays.
MOST = 32
# Between two events of one listener, in seconds.
SHORTEST = 0.5
# Proxies drop a connection on which nothing comes for a minute, and often for less.
KEEP_ALIVE = 15.0
# One that reads nothing for so long is dropped.
PATIENCE = 60.0


@implementer(IPushProducer)
@define(eq=False)
class _Listener:
    """One client that hears of events; one that is too slow misses some."""

    request: StreamingRequest
    blocked_since: float | None = field(default=None, init=False)
    heard: bytes = field(default=b"", init=False)  # the last event
    spoken: float = field(init=False, default=0.0)  # when anything was last sent
    _seconds: Callable[[], float] = field(kw_only=True)

    def pauseProducing(self) -> None:
        if self.blocked_since is None:
            self.blocked_since = self._seconds()

    def resumeProducing(self) -> None:
        self.blocked_since = None

    def stopProducing(self) -> None:
        """The connection is gone; the request's end tells."""

    def drop(self) -> None:
        """Close the connection, whatever it has not read."""
        self.request.channel.abort()

    def send(self, data: bytes) -> None:
        self.spoken = self._seconds()
        self.request.write(data)


@define(eq=False)
class Events:
    """
    Tells listeners what ``listing`` says, at most twice a second, and only when it changed.

    All get the same bytes, made once.  Time runs only while somebody listens.
    """

    tasks: Tasks
    _clock: IReactorTime
    now: Callable[[], float]  # seconds since 1970
    problems: Problems | None = None
    renewals: Callable[[], Sequence[RenewalStatus]] = list  # of leases
    _listeners: list[_Listener] = field(factory=list, init=False)
    _due: Timer = field(factory=Timer, init=False)
    _event: bytes = field(default=b"", init=False)
    _changes: int = field(default=-1, init=False)  # that are in the event

    def __len__(self) -> int:
        return len(self._listeners)

    def make_room(self) -> None:
        """
        Drop a listener if there are too many: one that reads nothing, or the oldest.

        Browsers come back by themselves.
        """
        if len(self._listeners) >= MOST:
            forever = self._clock.seconds() + 1
            first = min(
                self._listeners,
                key=lambda each: (
                    forever if each.blocked_since is None else each.blocked_since
                ),
            )
            first.drop()

    def seconds(self) -> float:
        """Return the time by which listeners are told."""
        return self._clock.seconds()

    def document(self) -> dict[str, object]:
        """Return what is told now."""
        return {
            **listing(self.tasks, self.now()),
            "problems": problems_json(self.problems or ()),
            "renewals": renewals_json(self.renewals()),
        }

    @property
    def changes(self) -> int:
        """How often anything began, changed its state or ended."""
        problems = 0 if self.problems is None else self.problems.changes
        return self.tasks.changes + problems

    def listen(self, request: StreamingRequest) -> None:
        """Tell *request*, whose head is set, of all events until it goes away."""
        listener = _Listener(request, seconds=self._clock.seconds)
        self._listeners.append(listener)
        request.notifyFinish().addBoth(lambda _: self._left(listener))
        request.registerProducer(listener, True)
        # Should the connection break, a browser comes back after so many milliseconds.
        listener.send(b"retry: 2000\n\n")
        if not self._due.running:
            self._tell()
        else:
            self._refresh()
            self._send_to(listener)

    def stop(self) -> None:
        """Say goodbye to all."""
        for listener in list(self._listeners):
            listener.request.unregisterProducer()
            listener.request.finish()
        self._rest()

    def _left(self, listener: _Listener) -> None:
        self._listeners.remove(listener)
        if not self._listeners:
            self._rest()

    def _rest(self) -> None:
        self._due.cancel()

    def _tell(self) -> None:
        self._due.start(self._clock.callLater, SHORTEST, self._tell)
        self._refresh()
        for listener in list(self._listeners):
            self._send_to(listener)

    def _refresh(self) -> None:
        """Make the next event, if there is something to tell."""
        if self._changes != self.changes or self.tasks.active():
            self._changes = self.changes
            text = json.dumps(self.document(), separators=(",", ":"))
            self._event = b"event: status\ndata: %b\n\n" % text.encode("ascii")

    def _send_to(self, listener: _Listener) -> None:
        now = self._clock.seconds()
        if listener.blocked_since is not None:
            if now - listener.blocked_since >= PATIENCE:
                listener.drop()
        elif listener.heard is not self._event:
            listener.heard = self._event
            listener.send(self._event)
        elif now - listener.spoken >= KEEP_ALIVE:
            listener.send(b": nothing new\n\n")


class EventsResource(Resource):
    """/status/events."""

    isLeaf = True

    def __init__(self, events: Events) -> None:
        super().__init__()
        self.events = events

    def render_GET(self, request: StreamingRequest) -> int:
        self.events.make_room()
        request.endless = True
        request.setHeader(b"content-type", b"text/event-stream")
        # Proxies that buffer or compress hold events back; nginx has a header of its own.
        request.setHeader(b"cache-control", b"no-store, no-cache, no-transform")
        request.setHeader(b"x-accel-buffering", b"no")
        self.events.listen(request)
        return NOT_DONE_YET
