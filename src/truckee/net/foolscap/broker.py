# mypy: disable-error-code="no-untyped-call"
"""
Foolscap connections whose peers cannot fill our memory, nor keep the event loop.

Foolscap delivers messages without any backpressure, and keeps answers until they have
left.  Here a connection is not read while its peer has too many calls unanswered or does
not take its answers; and what all connections together take apart, call and answer gets a
few milliseconds of each turn of the event loop, in the order in which it came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from attrs import define
from foolscap import banana
from foolscap.broker import Broker
from foolscap.eventual import eventually
from foolscap.tokens import BananaError, Violation
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import TruckeeError, Unavailable
from truckee.flow.descriptors import TooManyOpenFiles, ended
from truckee.flow.turns import Share, Turn, Turns
from truckee.net.foolscap.connection_bounds import ConnectionBounds, Load

log = Logger()

# Bytes that are taken apart before the time is looked at; a thousand tokens take 3 ms.
_SLICE = 1024
# Inside a long string nothing has to be taken apart.
_LONG = 4096
# What one call costs beside its bytes.
_CALL = 2048
# So many small calls of a peer keep nobody from reading what it answers.
_FEW = 8
# How often it is looked whether a peer took its answers.
_LOOK = 0.02  # seconds
# What waits for a peer may leave for so long after the end of a connection.
_CLOSE = 5.0  # seconds


# That which foolscap uses for its own timers of a connection.
_REACTOR: Any = banana.reactor
# Of all connections of this process.
_TURNS = Turns(_REACTOR)


class _Fifo(list):  # type: ignore[type-arg]
    """The queue of what is sent; foolscap takes the last one first."""

    def pop(self, index: Any = 0) -> Any:
        return list.pop(self, 0)


class BoundedBroker(Broker):
    """One connection; its tub has ``bounds`` for all of them."""

    # Bytes of a long answer are on their way: nothing else may be written between them.
    in_body = False
    _load: Load | None = None
    _known = False
    _message = 0  # bytes of the message that is not whole
    _chunk = 0  # bytes of the slice that is taken apart
    _tokens = 0
    _ended = False  # a message ended in this slice
    _working = False
    _paused = False
    _polling: Any = None  # a delayed call
    _closing: Any = None  # a delayed call

    def setTub(self, tub: Any) -> None:
        Broker.setTub(self, tub)
        self._bounds: ConnectionBounds = tub.bounds
        self._limits = self._bounds.limits
        self._inbox: deque[bytes] = deque()
        self._held: deque[Callable[[], None]] = deque()
        self._pongs: list[int] = []
        share = Share()
        self._reading = Turn(_TURNS, self._work, share)
        self._calling = Turn(_TURNS, self._begin_call, share)
        self._answering = Turn(_TURNS, self._send_held, share)

    def connectionMade(self) -> None:
        Broker.connectionMade(self)
        self.rootSlicer.sendQueue = _Fifo()
        self._load = self._bounds.open(self)

    def finish(self, why: Failure) -> None:
        if self.disconnected:
            return
        Broker.finish(self, why)
        self._inbox.clear()
        self._held.clear()
        for each in (self._reading, self._calling, self._answering):
            each.cancel()
        # The end of the connection is read, too.
        self._resume()
        if self._load is not None:
            self._load.close()
        if self.in_body:
            # A close would wait for the rest of it.
            self.transport.abortConnection()
        elif self.transport is not None:
            abort = self.transport.abortConnection
            self._closing = _REACTOR.callLater(_CLOSE, abort)

    def connectionLost(self, why: Failure) -> None:
        Broker.connectionLost(self, why)
        for each in (self._closing, self._polling):
            if each is not None and each.active():
                each.cancel()
        # What was being sent gives back now what it has, not when it is collected.
        self.paused = True
        eventually(self._end_answers)

    def _end_answers(self) -> None:
        for _, parts, _ in reversed(self.slicerStack):
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        self._held.clear()
        self.rootSlicer.sendQueue.clear()

    # What arrives

    def _knows(self) -> bool:
        """Tell whether the peer has shown a swissnum, or we have."""
        if not self._known:
            self._known = bool(
                self.myReferenceByCLID or self.waitingForAnswers or self.yourReferenceByCLID
            )
            if self._known:
                self.tub.bounds_known(self.transport)
        return self._known

    def dataReceived(self, chunk: bytes) -> None:
        if len(self.buffer) >= _LONG and not self._inbox and not self._paused:
            # The usual case: more of a long string.
            Broker.dataReceived(self, chunk)
            if self._ended:
                self.look()
            return
        self._inbox.append(chunk)
        if not self._working and not self._reading.waits:
            self._reading.take()

    def _work(self) -> None:
        """Take apart what is there, for the rest of this turn."""
        end = monotonic() + _TURNS.left
        self._working = True
        while self._inbox and not self.disconnected and self._may_read():
            chunk = self._inbox.popleft()
            if len(self.buffer) < _LONG and len(chunk) > _SLICE:
                self._inbox.appendleft(chunk[_SLICE:])
                chunk = chunk[:_SLICE]
            Broker.dataReceived(self, chunk)
            if monotonic() > end:
                break
        self._working = False
        self.look()

    def _may_read(self) -> bool:
        if self._load is None:
            return True
        return self._load.may_read and not (self._owes() and self._is_full())

    def _owes(self) -> bool:
        """
        Tell whether the peer waits for more than a few answers.

        What has not left may be calls of ours.  Then their answers must be read.
        """
        return self._load is None or max(self._load.calls // _CALL, len(self._held)) > _FEW

    def look(self) -> None:
        """See ``Connection``."""
        if self.disconnected or self._working:
            return
        if not self._may_read():
            self._pause()
            if self._is_full():
                self._poll()
        elif self._inbox:
            self._pause()
            self._reading.wait()
        else:
            self._resume()

    def _pause(self) -> None:
        # A connection of a tub with itself has no such thing.
        pause = getattr(self.transport, "pauseProducing", None)
        if not self._paused and pause is not None:
            self._paused = True
            self._bounds.paused.add(self)
            pause()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._bounds.paused.discard(self)
            self.transport.resumeProducing()

    def drop(self) -> None:
        """See ``Connection``."""
        self._inbox.clear()
        self.connectionAbandoned = True
        eventually(self.transport.abortConnection)

    def handleData(self, chunk: bytes) -> None:
        self._chunk, self._ended = len(chunk), False
        Broker.handleData(self, chunk)
        if len(self.receiveStack) == 1 and not self.inOpen and not self.discardCount:
            self._message = len(self.buffer)
            self._tokens = 0
        else:
            self._message = len(chunk) + (0 if self._ended else self._message)
        limits = self._limits
        if self._message > (limits.message if self._knows() else limits.stranger):
            raise BananaError("a message is too long")
        if self._load is not None:
            self._load.received(self._message)

    def handleOpen(self, *arguments: object) -> None:
        if len(self.receiveStack) > self._limits.depth:
            raise BananaError("lists are too deep")
        Broker.handleOpen(self, *arguments)

    def handleToken(self, *arguments: object) -> None:
        self._tokens += 1
        if self._tokens > self._limits.tokens:
            raise BananaError("a message has too many parts")
        Broker.handleToken(self, *arguments)

    # Calls

    def scheduleCall(self, delivery: Any, ready: Any) -> None:
        delivery.cost = _CALL + self._message + self._chunk
        self._message, self._tokens, self._ended = 0, 0, True
        if self._load is not None:
            self._load.add(delivery.cost)
        Broker.scheduleCall(self, delivery, ready)

    def doNextCall(self) -> None:
        if self.inboundDeliveryQueue and not self._calling.waits:
            self._calling.take()

    def _begin_call(self) -> None:
        # Each call that ends lets the next one begin.
        if (self._load is None or self._load.may_begin) and not self._is_full():
            Broker.doNextCall(self)

    def _doCall(self, delivery: Any) -> Any:
        if self._load is not None:
            self._load.begin()
        return maybeDeferred(Broker._doCall, self, delivery)

    def _callFinished(self, result: Any, delivery: Any) -> None:
        self._answer(delivery, partial(Broker._callFinished, self, result, delivery))

    def callFailed(self, failure: Failure, number: int, delivery: Any = None) -> None:
        if not self.disconnected:
            shown = peer_safe(failure)
            answer = partial(Broker.callFailed, self, shown, number, delivery)
            self._answer(delivery, answer)

    def _answer(self, delivery: Any, send: Callable[[], None]) -> None:
        """Send an answer, when the peer has taken those before."""
        if self.disconnected:
            return
        self._held.append(partial(self._send, delivery, send))
        if len(self._held) == 1:
            self.left()

    def _send(self, delivery: Any, send: Callable[[], None]) -> None:
        try:
            send()
        except Violation:
            # Our own answer is not what the interface says.
            Broker.callFailed(self, Failure(), delivery.reqID, delivery)
        finally:
            if delivery is not None and hasattr(delivery, "cost"):
                cost = delivery.cost
                del delivery.cost
                eventually(self.doNextCall)
                if self._load is not None and not self.disconnected:
                    self._load.end()
                    self._load.remove(cost)

    # What leaves

    def getTrackerForMyReference(self, number: Any, thing: Any) -> Any:
        if (
            number not in self.myReferenceByPUID
            and len(self.myReferenceByPUID) >= self._limits.references
        ):
            raise Violation("this connection has been given too many objects")
        tracker = Broker.getTrackerForMyReference(self, number, thing)
        self._knows()
        return tracker

    def _is_full(self) -> bool:
        """Tell whether the peer does not take what is sent."""
        return bool(
            len(self.rootSlicer.sendQueue) >= self._limits.answers
            or unsent(self.transport) > self._limits.unsent
        )

    def _poll(self) -> None:
        if self._polling is None and not self.disconnected:
            self._polling = _REACTOR.callLater(_LOOK, self._polled)

    def _polled(self) -> None:
        self._polling = None
        self.left()

    def left(self) -> None:
        """Continue what waited until something had left."""
        if not self.disconnected and not self._answering.waits:
            self._answering.take()

    def _send_held(self) -> None:
        end = monotonic() + _TURNS.left
        while self._held and not self._is_full() and not self.disconnected:
            self._held.popleft()()
            if monotonic() > end:
                break
        if self.disconnected:
            return
        if self._is_full():
            self._poll()
            return
        if self._held:
            self._answering.wait()
        eventually(self.doNextCall)
        self.look()

    def sendPONG(self, number: int) -> None:
        if self.in_body:
            # A peer needs one answer, however often it asks.
            self._pongs = [number]
        else:
            Broker.sendPONG(self, number)

    def sendPING(self, number: int = 0) -> None:
        if not self.in_body:
            Broker.sendPING(self, number)

    def sendError(self, message: str) -> None:
        if self.in_body:
            self.transport.abortConnection()
        else:
            Broker.sendError(self, message)

    def end_body(self) -> None:
        """A long answer has left."""
        self.in_body = False
        pongs, self._pongs = self._pongs, []
        for number in pongs:
            Broker.sendPONG(self, number)
        eventually(self.left)


@define
class CallBroke(Unavailable):
    """The call failed. The operator of this node finds the reason in its log."""


def peer_safe(failure: Failure) -> Failure:
    """
    Return what a peer may read of *failure*.

    Only our own errors are written for others, and foolscap's about its messages; those of
    the system name files of this machine.
    """
    error = failure.value
    if isinstance(error, (TruckeeError, Violation)):
        return failure
    if isinstance(error, KeyError) and _is_unknown_name(error):
        return failure
    if error is not None and ended(error):
        return Failure(TooManyOpenFiles())
    log.error("A call of a peer failed: {trace}", trace=failure.getTraceback())
    return Failure(CallBroke())


def _is_unknown_name(error: KeyError) -> bool:
    """Tell whether *error* is foolscap's, of a swissnum that nothing has."""
    return str(error.args[0]).startswith("unable to find reference for name")


def unsent(transport: Any) -> int:
    """Return the bytes that *transport* still has; 0 where it does not tell."""
    data = getattr(transport, "dataBuffer", None)
    if data is None:
        return 0
    waiting: int = len(data) - transport.offset + transport._tempDataLen
    return waiting


__all__ = ["BoundedBroker", "unsent"]
