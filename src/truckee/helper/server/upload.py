"""
One file at a helper: ciphertext comes in at one end, shares leave at the other.

Whoever brings the ciphertext, by pushing or by being asked, appends it to one file.  It is
coded while it grows; where its size is not known, and servers must be told, when it is
complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from truckee.codec import base32
from truckee.codec.hashes import Buffer
from truckee.codec.ueb import parse_ueb
from truckee.errors import Misuse
from truckee.flow.changes import Changes
from truckee.flow.limits import Exclusive
from truckee.flow.together import Work
from truckee.helper.errors import ContentDiffers, Gap, HelperFull, UploadOver
from truckee.helper.ownership import NOBODY, Owner
from truckee.helper.server.ciphertext_file import CiphertextFile
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import FalseClaims, ICiphertextSinks, NewFile
from truckee.immutable.upload.status import UploadStatus

log = Logger()

# After so long without a byte an incomplete upload gives its place to others.
IDLE = 60.0  # seconds
# How often a complete file is coded, while servers are found to hold another file's shares
# under its storage index: they are passed over the next time.
_ATTEMPTS = 3


@define
class TooLongToStream(Misuse):
    """A file of unknown size has more than {most} bytes, so it is stored in the end."""

    most: int


@frozen
class Stored:
    """A file that is on the grid."""

    ueb: bytes = field(repr=False)
    shares: Mapping[int, list[str]]  # names of the servers of each
    found: int  # how many shares were there before
    # The lease seeds of the same servers in the same order; their names may be alike.
    seeds: Mapping[int, list[bytes]] = field(factory=dict, repr=False)

    def labels(self) -> dict[int, list[str]]:
        """Return the servers of each share by names of which no two are alike."""
        known: dict[str, set[bytes]] = {}
        for share, names in self.shares.items():
            for name, seed in zip(names, self.seeds[share], strict=True):
                known.setdefault(name, set()).add(seed)
        return {
            share: [
                name if len(known[name]) == 1 else f"{name} ({base32.encode(seed)[:8]})"
                for name, seed in zip(names, self.seeds[share], strict=True)
            ]
            for share, names in self.shares.items()
        }


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
    _sinks: ICiphertextSinks
    _room: Room
    _complete: Callable[[HelperUpload], Work[None]]  # keeps a complete file
    _over: Callable[[HelperUpload], None]  # nothing more happens to it
    _open_ended: int  # bytes that servers have room for while its size is not known
    _seconds: Callable[[], float]
    owner: Owner = NOBODY
    stored: int = field(default=0, init=False)  # bytes that went to the grid
    phase: str = field(default="receiving", init=False)
    users: int = field(default=0, init=False)
    lingering: int = field(default=0, init=False)  # of them, gone and maybe coming back
    _root: bytes | None = field(default=None, init=False)  # what a client says
    _vouched: bool = field(default=False, init=False)  # one said that this is the file
    _result: Stored | None = field(default=None, init=False)
    _coding: Deferred[None] | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)  # of the last attempt
    _whole: bool = field(default=False, init=False)  # the last attempt began with all bytes
    _streamed: bool = field(default=False, init=False)  # one began without a size
    _kept: bool = field(default=False, init=False)  # as complete
    closed: bool = field(default=False, init=False)  # it takes no more part
    ended: bool = field(default=False, init=False)  # and nothing is open any more
    forgotten: bool = field(default=False, init=False)  # nor kept
    _ueb: bytes = field(default=b"", init=False, repr=False)
    _last_byte: float = field(init=False)  # when it came, in seconds
    changes: Changes = field(factory=Changes, init=False, repr=False)
    _turn: Exclusive = field(factory=Exclusive, init=False)

    def __attrs_post_init__(self) -> None:
        self._last_byte = self._seconds()

    @property
    def coding(self) -> bool:
        """Whether its shares are being made."""
        return self._coding is not None

    @property
    def idle(self) -> bool:
        """Whether it is incomplete, and its client brought nothing for long."""
        return not self._kept and self._seconds() - self._last_byte > IDLE

    async def make_way(self) -> None:
        """Stop making shares, unless they are those of a complete file."""
        coding = self._coding
        if coding is not None and not (self._vouched and self.complete):
            coding.cancel()
        await self._attempt()

    @property
    def held(self) -> int:
        """Bytes of ciphertext that are here."""
        return self.file.size

    @property
    def complete(self) -> bool:
        """Whether all ciphertext is here."""
        return self.held == self.size

    @property
    def result(self) -> Stored | None:
        """The file, once it is on the grid."""
        return self._result

    def join(self) -> None:
        """Take part."""
        self.users += 1

    def leave(self, forget: bool = False) -> None:
        """Take no part any more; the last one may have what is held forgotten."""
        self.users -= 1
        self.changes.wake()
        if forget and self.users == self.lingering:
            self._close(forget)
        # What was found here is a whole file if it is kept as one, or somebody says so.
        elif not self.users and (not self._kept or self._coding is None):
            self._close(forget=False)

    @property
    def abandoned(self) -> bool:
        """Whether an incomplete file only waits for those who may come back."""
        return 0 < self.users == self.lingering and not self._kept

    async def give_up(self) -> None:
        """Keep what is held, and wait for nobody."""
        self._close(forget=False)
        await self.settled()

    def start(self) -> None:
        """Code what is there and what comes, if it can be; else ``finish`` does it."""
        if self._coding is not None or self.closed or not self._room.may_code(self):
            return
        if self.size is None:
            if self._streamed or self._sinks.needs_known_size:
                return
            self._streamed = True
        elif self.held > self.size:
            return  # more than there is of the file is the start of another one
        self._failure = None
        self._whole = self.complete
        self.stored = 0
        coding = self._coding = Deferred.fromCoroutine(self._code())
        coding.addBoth(self._coded)

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
        if self.complete and not self._kept:
            await self._complete(self)
            self._kept = True

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
            self.size = size
            self._root = root or self._root
            self._vouched = True
            await self._keep()
        self.changes.wake()
        if not self._whole:
            # If this attempt fails, one that finds all bytes here may not.
            await self._attempt()
        if self._result is None:
            async with self._room.finishing(self):
                for _ in range(_ATTEMPTS):
                    self.start()
                    await self._attempt()
                    if not isinstance(self._failure, FalseClaims):
                        break
        if self._result is None:
            raise self._failure or UploadOver()
        return self._result

    async def _attempt(self) -> None:
        """Wait for the end of the attempt that is under way, if one is."""
        await self.changes.until(lambda: self._coding is None)

    async def _code(self) -> None:
        if self.size is None:
            # A file that ends within its first segment has a smaller one.
            await self._next(self.parameters.encoding.streaming_segment_size)
        status = UploadStatus()
        most = self._open_ended if self.size is None else self.size
        file = NewFile(
            self.storage_index,
            self.size,
            most,
            resumable=True,
            approve=self._approve,
            status=status,
        )
        sink = await self._sinks.open(file)
        try:
            while length := await self._next(sink.chunk_size):
                if self.stored + length > most:
                    raise TooLongToStream(most)
                await sink.write(await self.file.read(self.stored, length))
                self.stored += length
                self.changes.wake()
            self.phase = "closing"
            await sink.close()
        except Exception:
            await sink.abort()
            raise
        self._result = Stored(self._ueb, status.shares, status.found, status.seeds)

    async def _next(self, most: int) -> int:
        """Wait for *most* bytes to code, or as many as there will be; 0: no more."""

        def length() -> int:
            return most if self.size is None else min(most, self.size - self.stored)

        await self.changes.until(lambda: self.held >= self.stored + length())
        return length()

    async def _approve(self, ueb: bytes) -> None:
        """Wait until somebody says what the file must be, or nobody is left to say it."""
        await self.changes.until(lambda: self._vouched or not self.users)
        self._ueb = ueb
        if self._root not in (None, parse_ueb(ueb).crypttext_root_hash):
            raise ContentDiffers

    def _coded(self, outcome: object) -> None:
        """An attempt is over."""
        self._coding = None
        error = getattr(outcome, "value", None)
        if isinstance(error, CancelledError):
            self._failure = UploadOver()
        elif isinstance(error, Exception):
            self._failure = error
            log.warn("An upload was not stored: {error}", error=str(error))
        if self._result is not None or isinstance(error, ContentDiffers):
            self._close(forget=True)
        elif not self.users:
            self._close(forget=False)
        self.changes.wake()

    def _close(self, forget: bool) -> None:
        if not self.closed:
            self.closed = True
            self.phase = "over"
            ending = Deferred.fromCoroutine(self._end(forget))
            ending.addErrback(lambda failure: log.failure("A file was not closed", failure))
            self.changes.wake()

    async def _end(self, forget: bool) -> None:
        """Wait until nobody uses the file."""
        if self._coding is not None:
            self._coding.cancel()
        await self._attempt()
        try:
            async with self._turn.hold("file"):
                if forget or not self.held:
                    self.forgotten = True
                    self._room.give(self.owner, self.held)
                    self.file.delete()
                else:
                    self.file.close()
        finally:
            self.ended = True
            self._over(self)
            self.changes.wake()

    async def settled(self) -> None:
        """Return when nothing is open any more, if it is over."""
        await self.changes.until(lambda: self.ended or not self.closed)
