"""The log of the node, live, for programs that listen to it over WebSocket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from attrs import define, field
from twisted.internet.interfaces import IPushProducer, IReactorFromThreads
from twisted.logger import globalLogPublisher
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from truckee.net.http.interfaces import RequestConnection
from truckee.net.http.websocket import (
    GOING_AWAY,
    BadFrame,
    FrameReader,
    Opcode,
    close_frame,
    frame_bytes,
)
from truckee.status.log_messages import TaskMessages, dropped_message, log_message
from truckee.status.tasks import Tasks

# Listeners at once; each is a connection that stays.
MOST = 8
# What waits for one that reads slowly; what comes then is counted, and dropped.
QUEUE = 256 << 10  # bytes
# Of one frame that a listener sends, of which nothing but its end is of interest.
_MOST_HEARD = 16 << 10  # bytes


@implementer(IPushProducer)
@define(eq=False)
class _Listener:
    """One client that hears of all messages, or of how many it missed."""

    connection: RequestConnection
    _dropped: Callable[[int], bytes]  # makes the message that tells of them
    blocked: bool = field(default=False, init=False)
    _queue: deque[bytes] = field(factory=deque, init=False)
    _queued: int = field(default=0, init=False)  # bytes
    _missed: int = field(default=0, init=False)  # messages
    _frames: FrameReader = field(factory=lambda: FrameReader(_MOST_HEARD), init=False)
    _closed: bool = field(default=False, init=False)

    def tell(self, message: bytes) -> None:
        if self._closed:
            return
        if not self.blocked:
            self._send(message)
        elif self._missed or self._queued + len(message) > QUEUE:
            self._missed += 1
        else:
            self._queue.append(message)
            self._queued += len(message)

    def _send(self, message: bytes) -> None:
        self.connection.write(frame_bytes(Opcode.TEXT, message))

    def heard(self, data: bytes) -> None:
        """Take what the client sends: it may ask whether we live, and say goodbye."""
        if self._closed:
            return
        try:
            for frame in self._frames.feed(data):
                if frame.opcode is Opcode.PING and not self.blocked:
                    pong = frame_bytes(Opcode.PONG, frame.payload)
                    self.connection.write(pong)
                elif frame.opcode is Opcode.CLOSE:
                    self._end(frame_bytes(Opcode.CLOSE, frame.payload[:2]))
                    return
        except BadFrame as error:
            self.close(error.code)

    def close(self, code: int) -> None:
        """Say goodbye because of *code*."""
        if not self._closed:
            self._end(close_frame(code))

    def _end(self, last: bytes) -> None:
        self._closed = True
        self._queue.clear()
        self.connection.write(last)
        self.connection.loseConnection()

    # From the connection

    def pauseProducing(self) -> None:
        self.blocked = True

    def resumeProducing(self) -> None:
        self.blocked = False
        if self._closed:
            return
        while self._queue and not self.blocked:
            message = self._queue.popleft()
            self._queued -= len(message)
            self._send(message)
        if self._missed and not self.blocked:
            count, self._missed = self._missed, 0
            self._send(self._dropped(count))

    def stopProducing(self) -> None:
        """The connection is gone; the request's end tells."""


@define(eq=False)
class LogStream:
    """Tells listeners what is logged, and of tasks, as long as there are any."""

    _tasks: Tasks
    _reactor: IReactorFromThreads
    _now: Callable[[], float]  # Unix seconds
    _random: Callable[[int], bytes]
    _listeners: list[_Listener] = field(factory=list, init=False)
    _messages: TaskMessages = field(init=False)
    _telling: bool = field(default=False, init=False)
    _observer: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._messages, self._observer = TaskMessages(self._random), self._observe
        self._tasks.on_begin.append(lambda task: self._tell_of(self._messages.began, task))
        self._tasks.on_end.append(lambda task: self._tell_of(self._messages.ended, task))

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, connection: RequestConnection) -> _Listener:
        """
        Tell *connection* from now on; what it sends goes to the listener's ``heard``.

        Are there too many, the first one that does not read is dropped, or the oldest.
        """
        if len(self._listeners) >= MOST:
            blocked = [each for each in self._listeners if each.blocked]
            first = (blocked or self._listeners)[0]
            self.remove(first)
            first.connection.abort()
        if not self._listeners:
            globalLogPublisher.addObserver(self._observer)
        listener = _Listener(connection, self._dropped)
        self._listeners.append(listener)
        connection.registerProducer(listener, True)
        return listener

    def remove(self, listener: _Listener) -> None:
        """Forget one whose connection is gone; may be called twice."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        if not self._listeners:
            globalLogPublisher.removeObserver(self._observer)
            self._messages.forget()

    def stop(self) -> None:
        """Say goodbye to all."""
        for listener in list(self._listeners):
            listener.close(GOING_AWAY)

    def _observe(self, event: Mapping[str, Any]) -> None:
        """Hear of an event, in whichever thread it is logged."""
        message = log_message(event, self._uuid())
        if message is None:
            return
        if isInIOThread():
            self._tell(message)
        else:
            self._reactor.callFromThread(self._tell, message)

    def _tell_of(self, make: Callable[..., bytes | None], *about: object) -> None:
        if self._listeners:
            message = make(*about)
            if message is not None:
                self._tell(message)

    def _tell(self, message: bytes) -> None:
        # What is logged while it is told is not told: that would have no end.
        if not self._telling:
            self._telling = True
            try:
                for listener in list(self._listeners):
                    listener.tell(message)
            finally:
                self._telling = False

    def _dropped(self, count: int) -> bytes:
        return dropped_message(self._now(), self._uuid(), count)

    def _uuid(self) -> UUID:
        return UUID(bytes=self._random(16), version=4)
