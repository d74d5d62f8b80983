"""
One file at a helper: ciphertext comes in at one end, shares leave at the other.

Whoever brings the ciphertext, by pushing or by being asked, appends it to one file.  It is
coded while it grows; where its size is not known, and servers must be told, when it is
complete.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.codec.hashes import Buffer
from truckee.flow.changes import Changes, ending
from truckee.flow.limits import Exclusive
from truckee.helper.errors import ContentDiffers, Gap, HelperFull, UploadOver
from truckee.helper.ownership import NOBODY, Owner
from truckee.helper.server.ciphertext_file import CiphertextFile
from truckee.helper.server.coding import Coding
from truckee.helper.server.state import (
    Event,
    State,
    after,
    is_ended,
    is_kept,
    is_vouched,
    takes_part,
)
from truckee.helper.server.stored import Stored
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import FalseClaims

log = Logger()

# After so long without a byte an incomplete upload gives its place to others.
IDLE = 60.0  # seconds
# How often a complete file is coded, while servers are found to hold another file's shares
# under its storage index: they are passed over the next time.
_ATTEMPTS = 3


class Room(Protocol):
    """What all uploads of a helper share: its disk space, and places on the servers."""

    def check(self, size: int) -> None:
        """:raises TruckeeError: when no file may have *size* bytes."""

    def take(self, owner: Owner, size: int) -> bool:
        """Return whether *size* more bytes may be kept for *owner*."""

    def give(self, owner: Owner, size: int) -> None:
        """Give back *size* bytes."""

    def may_code(self, upload: HelperUpload) -> bool:
        """Return whether nobody else codes a file with the same storage index."""

    def finishing(self, upload: HelperUpload) -> AbstractAsyncContextManager[None]:
        """
        Let *upload*, which is complete, be the only one of its storage index that is coded.

        Incomplete ones of others stop, and begin anew when they are complete.
        """

    async def keep(self, upload: HelperUpload) -> None:
        """Record that *upload* is complete, so that it survives a restart."""

    def over(self, upload: HelperUpload) -> None:
        """Nothing more happens to *upload*."""


@define(eq=False)
class HelperUpload:
    """
    One file that one or more clients bring.

    ``join`` before anything else, ``leave`` in the end.  When the last one leaves before
    the file is complete, its shares are given up and its ciphertext stays; a complete file
    is stored without anybody.  What the last one wants forgotten is, unless it is stored.
    """

    storage_index: bytes
    parameters: Parameters
    size: int | None  # bytes; None: not known yet
    file: CiphertextFile
    shares: Coding
    _room: Room
    _seconds: Callable[[], float]
    owner: Owner = NOBODY
    state: State = field(default=State.RECEIVING, init=False)
    users: int = field(default=0, init=False)
    lingering: int = field(default=0, init=False)  # of them, gone and maybe coming back
    root: bytes | None = field(default=None, init=False)  # what a client says
    _last_byte: float = field(init=False)  # when it came, in seconds
    _turn: Exclusive = field(factory=Exclusive, init=False)

    def __attrs_post_init__(self) -> None:
        self._last_byte = self._seconds()

    @property
    def changes(self) -> Changes:
        """What is woken when anything here changes."""
        return self.shares.changes

    @property
    def held(self) -> int:
        """Bytes of ciphertext that are here."""
        return self.file.size

    @property
    def stored(self) -> int:
        """Bytes of ciphertext that went to the grid."""
        return self.shares.stored

    @property
    def complete(self) -> bool:
        """Whether all ciphertext is here."""
        return self.held == self.size

    @property
    def coding(self) -> bool:
        """Whether its shares are being made."""
        return self.shares.under_way

    @property
    def result(self) -> Stored | None:
        """The file, once it is on the grid."""
        return self.shares.result

    @property
    def closed(self) -> bool:
        """Whether it takes no more part."""
        return not takes_part(self.state)

    @property
    def ended(self) -> bool:
        """Whether nothing is open any more, either."""
        return is_ended(self.state)

    @property
    def forgotten(self) -> bool:
        """Whether there is no file any more, either."""
        return self.state is State.FORGOTTEN

    @property
    def judged(self) -> bool:
        """Whether a client said what the file is, or none is left to say it."""
        return is_vouched(self.state) or not self.users

    @property
    def idle(self) -> bool:
        """Whether it is incomplete, and its client brought nothing for long."""
        return not is_kept(self.state) and self._seconds() - self._last_byte > IDLE

    @property
    def abandoned(self) -> bool:
        """Whether an incomplete file only waits for those who may come back."""
        return 0 < self.users == self.lingering and not is_kept(self.state)

    @property
    def phase(self) -> str:
        """What people are told of it: "receiving", "storing", "closing" or "over"."""
        if self.closed:
            return "over"
        if self.shares.closing:
            return "closing"
        return "storing" if self.complete else "receiving"

    # Taking part

    def join(self) -> None:
        """Take part."""
        self.users += 1

    def leave(self, forget: bool = False) -> None:
        """Take no part any more; the last one may have what is held forgotten."""
        self.users -= 1
        self.changes.wake()
        if forget and self.users == self.lingering:
            self._close(Event.FORGET)
        # What was found here is a whole file if it is kept as one, or somebody says so.
        elif not self.users and not (is_kept(self.state) and self.coding):
            self._close(Event.LEAVE)

    async def give_up(self) -> None:
        """Keep what is held, and wait for nobody."""
        self._close(Event.LEAVE)
        await self.settled()

    async def settled(self) -> None:
        """Return when nothing is open any more, if it is over."""
        await self.changes.until(lambda: self.ended or not self.closed)

    # Ciphertext

    async def digest(self) -> tuple[int, bytes]:
        """Return how many bytes are held, and SHA-256 of these; nothing for none."""
        async with self._turn.hold("file"):
            if self.closed:
                raise UploadOver
            return self.held, await self.file.digest()

    async def append(self, offset: int, data: Buffer) -> int:
        """
        Take *data* at *offset*; return how many bytes are held then.

        What is held already is passed over.  :raises Gap: when bytes between are missing.
        :raises HelperFull: :raises HelperRefuses: :raises UploadOver:
        """
        async with self._turn.hold("file"):
            if self.closed:
                raise UploadOver
            if offset > self.held:
                raise Gap(self.held)
            new = memoryview(data)[self.held - offset :]
            if self.size is not None and self.held + len(new) > self.size:
                raise Gap(self.held)
            self._room.check(self.held + len(new))
            if new:
                await self._append(new)
            await self._keep()
        return self.held

    async def _append(self, data: Buffer) -> None:
        if not self._room.take(self.owner, len(data)):
            raise HelperFull
        try:
            await self.file.append(data)
        except BaseException:
            self._room.give(self.owner, len(data))
            raise
        self._last_byte = self._seconds()
        self.changes.wake()

    async def _keep(self) -> None:
        """Let a complete file survive a restart; it is the caller's turn."""
        if self.complete and not is_kept(self.state):
            await self._room.keep(self)
            self.state = after(self.state, Event.KEEP)

    # Shares

    def start(self) -> None:
        """Code what is there and what comes, if it can be; else ``finish`` does it."""
        if self.coding or self.closed or not self._room.may_code(self):
            return
        if (attempt := self.shares.begin(self)) is not None:
            attempt.addCallback(self._coded)

    def _coded(self, _: object) -> None:
        """An attempt is over."""
        if self.result is not None or isinstance(self.shares.failure, ContentDiffers):
            self._close(Event.FORGET)
        elif not self.users:
            self._close(Event.LEAVE)
        self.changes.wake()

    async def make_way(self) -> None:
        """Stop making shares, unless they are those of a complete file."""
        if not is_vouched(self.state):
            self.shares.cancel()
        await self.shares.ended()

    async def finish(self, size: int, root: bytes | None) -> Stored:
        """
        Return when the file of *size* bytes is on the grid.

        *root*, if there is one, is that of the hash tree over its ciphertext.  :raises
        Gap: when bytes are missing.  :raises ContentDiffers: also whatever placing raises.
        """
        async with self._turn.hold("file"):
            if self.closed:
                raise UploadOver
            if self.held != size or self.size not in (None, size):
                raise Gap(self.held)
            self.size, self.root = size, root or self.root
            self.state = after(self.state, Event.VOUCH)
            await self._keep()
        self.changes.wake()
        if not self.shares.began_whole:
            # If this attempt fails, one that finds all bytes here may not.
            await self.shares.ended()
        if self.result is None:
            async with self._room.finishing(self):
                for _ in range(_ATTEMPTS):
                    self.start()
                    await self.shares.ended()
                    if not isinstance(self.shares.failure, FalseClaims):
                        break
        if self.result is None:
            raise self.shares.failure or UploadOver()
        return self.result

    # The end

    def _close(self, event: Event) -> None:
        was_open = takes_part(self.state)
        self.state = after(self.state, event)
        if was_open:
            ended = Deferred.fromCoroutine(self._end())
            ended.addErrback(lambda failure: log.failure("A file was not closed", failure))
            self.changes.wake()

    async def _end(self) -> None:
        """Wait until nobody uses the file."""
        self.shares.cancel()
        await self.shares.ended()
        event = Event.RELEASED

        def over() -> None:
            self.state = after(self.state, event)
            self._room.over(self)
            self.changes.wake()

        with ending(over):
            async with self._turn.hold("file"):
                if self.state is State.FORGETTING or not self.held:
                    event = Event.REMOVED
                    self._room.give(self.owner, self.held)
                    self.file.delete()
                else:
                    self.file.close()
