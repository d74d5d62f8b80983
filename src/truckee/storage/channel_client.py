"""
Share channels, as a client has them to one server.

Source: ``docs/formats/share-channel.md``.  Each has a thread, which sends questions and
receives their answers.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.codec.hashes import Buffer
from truckee.flow.handover import Handover
from truckee.net.blocking_tls import STALL, Ended, Line, News, Waker, client_context
from truckee.storage.channel_frames import (
    ANSWER_SIZE,
    GREETING,
    READY,
    Answer,
    Kind,
    Question,
    Refusal,
)
from truckee.storage.interfaces import CallFailed, NotConnected

log = Logger()

# Channels of a node to all servers, each with a thread while it is open.
MOST = 64
IDLE = 30.0  # seconds without a question
_CONNECT = 15.0  # seconds
# Without answers: questions, and bytes of data.
_WINDOW, _WINDOW_BYTES = 64, 4 << 20
# With so little data a question goes in one piece.
_SMALL = 8 << 10  # bytes


@define(eq=False)
class Seats:
    """How many more channels a node may have."""

    free: int = MOST

    def take(self) -> bool:
        """Take one, if there is one."""
        if not self.free:
            return False
        self.free -= 1
        return True


@frozen(eq=False)
class _Asked:
    """A question, its data, and what fires with the answer."""

    question: Question
    parts: Sequence[Buffer] = field(repr=False)
    answer: Deferred[bytearray]

    @property
    def weight(self) -> int:
        """Bytes of its data."""
        return self.question.length if self.parts else 0


@frozen
class Door:
    """Where a channel is let in, and with what."""

    host: str
    port: int
    fingerprint: bytes  # the SHA-256 of the server's certificate
    ticket: bytes = field(repr=False)


@define(eq=False)
class Channel:
    """One connection to a server; *over* is called once, when it has ended."""

    _server: str
    _door: Door
    _reactor: Any
    _over: Callable[[Channel], None]
    _handover: Handover = field(
        default=Factory(lambda self: Handover(self._reactor), takes_self=True),
        init=False,
        repr=False,
    )
    was_open: bool = field(default=False, init=False)
    _queue: deque[_Asked] = field(factory=deque, init=False, repr=False)
    _sent: deque[_Asked] = field(factory=deque, init=False, repr=False)  # no answers yet
    _weight: int = field(default=0, init=False)  # bytes of data of these
    _line: Line | None = field(default=None, init=False)
    _waker: Waker = field(factory=Waker, init=False, repr=False)
    _heard: float = field(default=0.0, init=False)  # when something came; seconds
    _ended: bool = field(default=False, init=False)
    was_cut: bool = field(default=False, init=False)

    @property
    def is_open(self) -> bool:
        """Whether questions can be asked, as far as the event loop knows."""
        return self.was_open and not self._ended

    def start(self) -> None:
        """Begin to open it."""
        threading.Thread(target=self._run, name="channel", daemon=True).start()

    async def ask(self, question: Question, parts: Sequence[Buffer] = ()) -> bytearray:
        """
        Return the data of the answer.

        The *parts* must stay unchanged until this returns.
        :raises NotConnected: when the channel ended :raises CallFailed:
        """
        if self._ended:
            raise NotConnected(self._server)
        answer: Deferred[bytearray] = Deferred(lambda _: self._forget(asked))
        asked = _Asked(question, parts, answer)
        self._queue.append(asked)
        self._waker.wake()
        return await answer

    def _forget(self, asked: _Asked) -> None:
        """Let go of what is not waited for any more, and of its data."""
        try:
            self._queue.remove(asked)
        except ValueError:
            if asked.parts:
                # It is being sent; its memory counts for nobody from now on.
                self.cut()

    def cut(self) -> None:
        """End it."""
        self.was_cut = True
        line = self._line
        if line is not None:
            line.cut()

    # In the event loop, handed over by the thread

    def _opened(self) -> None:
        self.was_open = True

    def _answered(self, asked: _Asked, result: bytearray | Exception) -> None:
        if asked.answer.called:  # by a cancellation
            return
        if isinstance(result, Exception):
            asked.answer.errback(result)
        else:
            asked.answer.callback(result)

    def _finish(self) -> None:
        self._ended = True
        self._waker.close()
        left, self._queue = [*self._sent, *self._queue], deque()
        self._over(self)
        for asked in left:
            self._answered(asked, NotConnected(self._server))

    # In the thread

    def _run(self) -> None:
        try:
            line = self._line = self._connect()
            try:
                self._handover.give(self._opened)
                self._pump(line)
            finally:
                line.close()
        except (OSError, Ended, ValueError) as error:
            log.debug(
                "A share channel to {server} has ended: {error}",
                server=self._server,
                error=repr(error),
            )
        finally:
            self._handover.give(self._finish)

    def _connect(self) -> Line:
        door = self._door
        raw = socket.create_connection((door.host, door.port), _CONNECT)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.sendall(GREETING)
            ready = b""
            while READY.startswith(ready) and ready != READY:
                piece = raw.recv(len(READY) - len(ready))
                if not piece:
                    raise Ended
                ready += piece
            if ready != READY:
                raise ValueError("it has no share channels")
            line = Line.asking(raw, client_context(), door.fingerprint)
        except BaseException:
            raw.close()
            raise
        line.send([door.ticket])
        return line

    def _pump(self, line: Line) -> None:
        """Send what is asked and receive what is answered, until there is nothing more."""
        while not self.was_cut:
            more = self._send_next(line)
            news = line.wait(0 if more else self._patience(), self._waker)
            if news is News.CAME:
                self._receive(line)
                self._heard = self._reactor.seconds()
            elif news is News.WOKEN:
                self._waker.clear()
            elif not more:
                if self._sent:
                    raise TimeoutError("the server does not answer")
                return

    def _patience(self) -> float:
        """Return for how many seconds nothing may come."""
        if not self._sent:
            return IDLE
        silent: float = self._reactor.seconds() - self._heard
        return max(0.0, STALL - silent)

    def _send_next(self, line: Line) -> bool:
        """Send a question if one may be sent; return whether another may be."""
        if not self._may_send():
            return False
        self._send(line, self._queue.popleft())
        return self._may_send()

    def _may_send(self) -> bool:
        room = len(self._sent) < _WINDOW and self._weight < _WINDOW_BYTES
        return bool(self._queue) and room

    def _send(self, line: Line, asked: _Asked) -> None:
        if asked.answer.called:
            return
        if not self._sent:
            self._heard = self._reactor.seconds()
        self._sent.append(asked)
        self._weight += asked.weight
        parts = [asked.question.pack(), *asked.parts]
        line.send([b"".join(parts)] if asked.weight <= _SMALL else parts)

    def _receive(self, line: Line) -> None:
        head = line.receive(ANSWER_SIZE)
        if not self._sent:
            raise ValueError("an answer to nothing")
        asked = self._sent[0]
        is_read = asked.question.kind is Kind.READ
        answer = Answer.unpack(head, asked.question.length if is_read else 0)
        data = line.receive(answer.length) if answer.length else bytearray()
        self._sent.popleft()
        self._weight -= asked.weight
        result: bytearray | Exception = data
        if answer.failed:
            refusal = Refusal.unpack(data)
            call = asked.question.kind.name.lower()
            result = CallFailed(
                self._server, call, ascii(refusal.reason)[:200], refusal.name[:50]
            )
        self._handover.give(partial(self._answered, asked, result))
