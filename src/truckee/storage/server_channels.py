"""
The share channels to one server: opened when there is something for them, if they can be.

Source: ``docs/formats/share-channel.md``.  What no channel takes goes another way.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.codec.hashes import Buffer
from truckee.flow.parts import in_groups
from truckee.flow.together import Work, together
from truckee.storage.channel_client import Channel, Door, Seats
from truckee.storage.channel_frames import MAX_DATA, NO_HANDLE, Kind, Question
from truckee.storage.interfaces import NotConnected
from truckee.storage.limited import in_time

log = Logger()

METHOD = "truckee_share_channel"
# After one could not be opened.
_PAUSE = 60.0  # seconds
_ANSWER = 15.0  # seconds in which the server gives a ticket
# A longer read, of more than there is perhaps, is one question over foolscap.
_LONGEST = 16 << 20  # bytes
# No share has bytes beyond.
_MOST = 1 << 62


@define(eq=False)
class ServerChannels:
    """One for each kind of question, of those that the server at a *peer* has."""

    _server: str
    _ask: Callable[..., Work[Any]] = field(repr=False)
    _canary: Referenceable = field(repr=False)
    _reactor: Any = field(default=None, init=False, repr=False)
    _seats: Seats = field(factory=Seats, init=False)
    _peer: tuple[str, int] | None = field(default=None, init=False)  # None: it has none
    _channels: dict[Kind, Channel] = field(factory=dict, init=False)
    _opening: set[Kind] = field(factory=set, init=False)
    _not_before: float = field(default=0.0, init=False)  # seconds of the reactor's time

    def reached(
        self, peer: Any, ports: Container[int], reactor: Any, seats: Seats | None
    ) -> None:
        """
        The server, which has channels, was reached at *peer*, by one of its own *ports*.

        A proxy, such as one for Tor, has another port, and there is no way beside it.
        """
        if seats is not None and getattr(peer, "port", None) in ports:
            self.found(peer.host, peer.port, reactor, seats)

    def found(self, host: str, port: int, reactor: Any, seats: Seats) -> None:
        """The server, which is there, has channels."""
        self._peer, self._reactor, self._seats = (host, port), reactor, seats
        self._not_before = 0.0

    def lost(self) -> None:
        """There is no connection to the server any more."""
        self._peer = None
        for channel in self._channels.values():
            channel.cut()

    def is_open(self, kind: Kind) -> bool:
        """Whether there is a channel for this *kind*."""
        return kind in self._channels and self._channels[kind].is_open

    def prepare(self, kind: Kind) -> None:
        """Something of this *kind* will be asked in a moment."""
        self._of(kind)

    async def write(
        self,
        storage_index: bytes,
        share: int,
        handle: bytes,
        offset: int,
        parts: Sequence[Buffer],
    ) -> bool:
        """
        Write *parts* to the share that is open under *handle*; return whether it was done.

        :raises CallFailed:
        """
        channel = self._of(Kind.WRITE)
        if channel is None or not 0 <= offset <= _MOST:
            return False
        asked = []
        for some in in_groups(parts, MAX_DATA):
            size = sum(map(len, some))
            question = Question(Kind.WRITE, share, storage_index, handle, offset, size)
            asked.append(channel.ask(question, some))
            offset += size
        try:
            await _all(asked)
        except NotConnected:
            return False
        return True

    async def read(
        self, storage_index: bytes, share: int, offset: int, length: int
    ) -> bytes | None:
        """Return bytes of a finished share; None: ask elsewhere.  :raises CallFailed:"""
        channel = self._of(Kind.READ)
        within = 0 <= offset <= offset + length <= _MOST and length <= _LONGEST
        if channel is None or not within:
            return None
        asked = []
        for start in range(offset, offset + length, MAX_DATA):
            size = min(MAX_DATA, offset + length - start)
            question = Question(Kind.READ, share, storage_index, NO_HANDLE, start, size)
            asked.append(channel.ask(question))
        try:
            return b"".join(await _all(asked))
        except NotConnected:
            return None

    def _of(self, kind: Kind) -> Channel | None:
        """Return the open channel for this *kind*; begin to open it if there is none."""
        found = self._channels.get(kind)
        if found is not None:
            return found if found.is_open else None
        wanted = self._peer is not None and kind not in self._opening
        if wanted and self._reactor.seconds() >= self._not_before and self._seats.take():
            self._opening.add(kind)
            Deferred.fromCoroutine(self._open(kind)).addErrback(
                lambda failure: log.failure("No share channel could be opened", failure)
            )
        return None

    async def _open(self, kind: Kind) -> None:
        try:
            asking = self._ask(METHOD, self._canary)
            told = await in_time(asking, _ANSWER, self._reactor, self._server)
            if self._peer is None:
                raise NotConnected(self._server)
            door = Door(*self._peer, *told)
            channel = Channel(self._server, door, self._reactor, self._over)
            channel.start()
        except Exception as error:
            # Whatever it is: bytes go over foolscap.
            log.debug("No share channel: {error}", error=repr(error))
            self._seats.free += 1
            self._pause()
        else:
            self._channels[kind] = channel
        finally:
            self._opening.discard(kind)

    def _over(self, channel: Channel) -> None:
        self._seats.free += 1
        for kind, found in list(self._channels.items()):
            if found is channel:
                del self._channels[kind]
        if not channel.was_open and not channel.was_cut:
            self._pause()

    def _pause(self) -> None:
        self._not_before = self._reactor.seconds() + _PAUSE


async def _all(asked: Sequence[Work[bytearray]]) -> Sequence[bytearray]:
    """Return all answers; most often there is one."""
    return [await asked[0]] if len(asked) == 1 else await together(asked)
