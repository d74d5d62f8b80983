"""
Share channels, as a server has them: writes and reads of bytes on TLS connections.

Source: ``docs/formats/share-channel.md``.  Each has a thread, which receives a question,
writes or reads the file of the share itself, and sends the answer.  It needs the event loop
only to find a share for the first time.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, cast

from attrs import define, field, frozen
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as Conversation
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, TruckeeError, Unavailable
from truckee.net.blocking_tls import Ended, Line, News
from truckee.storage.channel_frames import (
    GREETING,
    HANDLE_SIZE,
    QUESTION_SIZE,
    READY,
    TICKET_SIZE,
    Answer,
    Kind,
    Question,
    Refusal,
)
from truckee.storage.interfaces import BadKeptRequest, ILocalReader, IStorageServer

log = Logger()
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

MOST = 64  # channels, and tickets for some
MOST_OF_PEER = 4
MOST_GREETED = 64  # connections without a ticket, each with a thread for 30 seconds
TICKET_TIME = 30.0  # seconds
IDLE = 60.0  # seconds without a question
_REMEMBERED = 256  # shares, of a channel


class Sink(Protocol):
    """What a client has open to write to, such as a share."""

    def write_here(self, offset: int, data: Buffer) -> None:
        """Write *data*; blocks."""


@define
class TooManyChannels(Unavailable):
    """There are too many share channels: these calls go over foolscap."""


@define
class NoSuchShare(Misuse):
    """Share {share} is not here."""

    share: int


@frozen
class _Ticket:
    """What lets a peer in once."""

    peer: str
    timer: IDelayedCall


@define(eq=False)
class ShareChannels:
    """The channels of one node; ``stop`` ends them."""

    _context: ssl.SSLContext = field(repr=False)
    _fingerprint: bytes  # the SHA-256 of the certificate
    _reactor: Any
    _random: Callable[[int], bytes]
    # Called with the transport of each client that had a ticket.
    _proved: Callable[[Any], None]
    # Whose shares are read; None: there are none.
    storage: IStorageServer | None = field(default=None, init=False)
    # What is open under a handle, if that is one of theirs.
    sinks: list[Callable[[bytes], Sink | None]] = field(factory=list, init=False)
    _tickets: dict[bytes, _Ticket] = field(factory=dict, init=False, repr=False)
    open: set[Channel] = field(factory=set, init=False)
    _greeted: set[Channel] = field(factory=set, init=False)  # without a ticket yet
    _stopped: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.open)

    def ticket(self, peer: str) -> bytes:
        """Return a new ticket for *peer*.  :raises TooManyChannels:"""
        peers = [channel.peer for channel in self.open]
        peers += [each.peer for each in self._tickets.values()]
        if self._stopped or len(peers) >= MOST or peers.count(peer) >= MOST_OF_PEER:
            raise TooManyChannels
        ticket = self._random(TICKET_SIZE)
        timer = self._reactor.callLater(TICKET_TIME, self._tickets.pop, ticket)
        self._tickets[ticket] = _Ticket(peer, timer)
        return ticket

    def door(self, peer: str) -> tuple[bytes, bytes]:
        """
        Return the certificate's hash, and a ticket for *peer*.

        :raises TooManyChannels:
        """
        return self._fingerprint, self.ticket(peer)

    def new_handle(self) -> bytes:
        """Return a name for what is written to, which nobody can guess."""
        return self._random(HANDLE_SIZE)

    def factory(self) -> Factory:
        """Return what takes connections that begin with ``GREETING``."""
        return _GreetedFactory(self)

    def take(self, transport: Any) -> Channel | None:
        """Serve the client at the other end of a connection; None: there are too many."""
        if self._stopped or len(self._greeted) >= MOST_GREETED:
            transport.abortConnection()
            return None
        # Twisted keeps the connection open, and does not look at it any more.
        transport.pauseProducing()
        line = Line.serving(transport.getHandle().dup(), self._context)
        channel = Channel(self, transport, line)
        self._greeted.add(channel)
        threading.Thread(target=channel.serve, name="channel", daemon=True).start()
        return channel

    def redeem(self, ticket: bytes, channel: Channel) -> bool:
        """Let the client in that has a ticket, once; return whether it has."""
        found = self._tickets.pop(ticket, None)
        if found is None:
            return False
        found.timer.cancel()
        channel.peer = found.peer
        self._greeted.discard(channel)
        self.open.add(channel)
        self._proved(channel.transport)
        return True

    # In the thread of a channel

    def sink(self, handle: bytes) -> Sink:
        """Return what a client has open.  :raises BadKeptRequest: when it is not"""

        def find() -> Sink | None:
            found = (sink(handle) for sink in self.sinks)
            return next((sink for sink in found if sink is not None), None)

        sink: Sink | None = self.in_loop(find)
        if sink is None:
            raise BadKeptRequest("the share is not open")
        return sink

    def reader(self, storage_index: bytes, share: int) -> ILocalReader:
        """Return a finished share.  :raises NoSuchShare: it is not here"""
        storage = self.storage
        if storage is None:
            raise NoSuchShare(share)
        found = self.in_loop(lambda: storage.buckets(storage_index)).get(share)
        if found is None or not ILocalReader.providedBy(found):
            raise NoSuchShare(share)
        return found

    def in_loop(self, work: Callable[[], Any]) -> Any:
        """Return what *work*, a coroutine perhaps, returns in the event loop; blocks."""
        return blockingCallFromThread(self._reactor, work)

    def over(self, channel: Channel) -> None:
        """A thread is done with its channel."""

        def forget() -> None:
            self.open.discard(channel)
            self._greeted.discard(channel)
            channel.transport.loseConnection()

        self._reactor.callFromThread(forget)

    def stop(self) -> None:
        """End all channels, and let nobody in any more."""
        self._stopped = True
        for ticket in self._tickets.values():
            ticket.timer.cancel()
        self._tickets.clear()
        for channel in (*self.open, *self._greeted):
            channel.cut()


class _Greeted(Conversation):
    """The first line of a client; then a thread has the connection."""

    def __init__(self, channels: ShareChannels) -> None:
        self._channels = channels
        self._held = b""
        self._channel: Channel | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``; whoever dropped it, as a stranger for instance."""
        if self._channel is not None:
            self._channel.cut()

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self._held += data
        transport = cast(Any, self.transport)
        if self._held == GREETING:
            self._channel = self._channels.take(transport)
        elif not GREETING.startswith(self._held):
            transport.abortConnection()


class _GreetedFactory(Factory):
    """Makes these."""

    noisy = False

    def __init__(self, channels: ShareChannels) -> None:
        self._channels = channels

    def buildProtocol(self, addr: IAddress | None) -> _Greeted:
        """See ``IProtocolFactory``."""
        return _Greeted(self._channels)


@define(eq=False)
class Channel:
    """One connection of a client, in a thread."""

    _channels: ShareChannels
    transport: Any  # Twisted's, which reads nothing
    _line: Line
    peer: str = field(default="", init=False)
    _sinks: dict[bytes, Sink] = field(factory=dict, init=False, repr=False)
    _readers: dict[tuple[bytes, int], ILocalReader] = field(factory=dict, init=False)

    def serve(self) -> None:
        """Answer questions until the end; blocks."""
        try:
            self._line.begin(READY)
            self._serve(self._line)
        except (OSError, Ended, ValueError) as error:
            log.debug("A share channel has ended: {error}", error=error)
        finally:
            self._line.close()
            self._channels.over(self)

    def cut(self) -> None:
        """End it; from any thread."""
        self._line.cut()

    def _serve(self, line: Line) -> None:
        ticket = bytes(line.receive(TICKET_SIZE))
        channels = self._channels
        if not channels.in_loop(lambda: channels.redeem(ticket, self)):
            return
        while line.wait(IDLE) is News.CAME:
            question = Question.unpack(line.receive(QUESTION_SIZE))
            is_write = question.kind is Kind.WRITE
            came = line.receive(question.length) if is_write else bytearray()
            try:
                data = self._write(question, came) if is_write else self._read(question)
            except Exception as error:
                # As over foolscap: the client gets the name of any error, but the text of
                # ours alone, which has nothing of this machine's files.
                reason = str(error) if isinstance(error, TruckeeError) else ""
                line.send([Refusal(type(error).__name__, reason).pack()])
            else:
                line.send([Answer(False, len(data)).pack(), data])
                del data
            del came

    def _write(self, question: Question, data: bytearray) -> bytes:
        handle = question.handle
        sink = _known(self._sinks, handle, lambda: self._channels.sink(handle))
        sink.write_here(question.offset, data)
        return b""

    def _read(self, question: Question) -> bytes:
        key = question.storage_index, question.share
        reader = _known(self._readers, key, lambda: self._channels.reader(*key))
        return reader.read_here(question.offset, question.length)


def _known(known: dict[K, T], key: K, find: Callable[[], T]) -> T:
    """Return what is *known*, or found now; not too many are remembered."""
    if key not in known:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[key] = find()
    return known[key]
