"""
One client of SFTP: what it asks for is done, mostly side by side, and answered.

Changes of the tree are made in the order in which they were asked for, but for directories
that are made side by side, and so are writes to one file.  Bytes of requests that are not
answered yet are not given back to the client's window, so a slow grid slows the client, and
what it can have here is bounded.

Source: ``docs/reference/sftp.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.errors import TruckeeError
from truckee.flow.limits import Budget
from truckee.flow.shared_turns import SharedTurns
from truckee.flow.together import Work
from truckee.frontends.sftp import replies
from truckee.frontends.sftp import requests as asked
from truckee.frontends.sftp.attributes import Attributes, entry
from truckee.frontends.sftp.changing import Changing
from truckee.frontends.sftp.errors import NotDone, UnknownHandle, code_of
from truckee.frontends.sftp.files import Files
from truckee.frontends.sftp.handles import MOST_HANDLES, Handles
from truckee.frontends.sftp.names import names_of, path_of
from truckee.frontends.sftp.pending import Pending
from truckee.frontends.sftp.replies import Code
from truckee.frontends.sftp.signs_of_life import SignsOfLife
from truckee.frontends.sftp.wire import MAX_PACKET, BadPacket

log = Logger()

# Bytes of one read or write.
MAX_DATA = MAX_PACKET - 1024
# Bytes of answers that are made for one client and not sent yet.
_READING = 1 << 20
# Less when what may wait for each client is less.
_ROOMY = 256 << 10
# Directories of one client: each takes a key, and is made to its end once it has begun.
_MADE_AT_ONCE = 8
# The largest answers that are no content of files.
_LISTED, _NAMED = 160 << 10, 36 << 10


class Output(Protocol):
    """The way back to the client."""

    @property
    def share(self) -> int:
        """Bytes that may wait for this client: less when there are many."""

    def send(self, packet: bytes) -> None:
        """Send a packet, some time."""

    async def room(self) -> None:
        """Return when what was sent has left, or most of it."""

    def credit(self, amount: int, grow: bool = False) -> None:
        """Let the client send so many bytes more; *grow*: it sends much."""

    def keep_alive(self) -> None:
        """Let it know that somebody is there."""

    def lose(self) -> None:
        """End the session."""


@define(eq=False)
class Session:
    """From its first packet to its end."""

    files: Files
    _output: Output
    _may_go_on: Callable[[], bool]  # whether its client still has an account
    _clock: IReactorTime
    _handles: Handles = field(init=False, repr=False)
    _changing: Changing = field(init=False, repr=False)
    _signs: SignsOfLife = field(init=False, repr=False)
    _pending: Pending = field(init=False, repr=False)
    _begun: bool = field(default=False, init=False)  # the versions were exchanged
    _ended: bool = field(default=False, init=False)  # the client asks for nothing more
    _lost: bool = field(default=False, init=False)
    _tree: SharedTurns = field(factory=SharedTurns, init=False, repr=False)
    _making: Budget = field(factory=lambda: Budget(_MADE_AT_ONCE), init=False, repr=False)
    _reading: Budget = field(factory=lambda: Budget(_READING), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._handles = Handles(self.files, self._clock)
        self._changing = Changing(self.files)
        self._signs = SignsOfLife(self._output.keep_alive, self._clock)
        out, clock = self._output, self._clock
        self._pending = Pending(
            self._begin, out.credit, self._send_away, self._end_if_done, clock
        )

    # From the channel

    def received(self, data: bytes) -> None:
        """The client has sent *data*."""
        if not self._lost:
            self._pending.add(data)

    def _send_away(self, error: BadPacket) -> None:
        log.info("An SFTP client is sent away: {why}", why=str(error))
        self._output.lose()

    def ended(self) -> None:
        """The client sends nothing more."""
        self._ended = True
        self._end_if_done()

    def lost(self) -> None:
        """The client is gone: what it has not closed is given up."""
        if self._lost:
            return
        self._lost = True
        self._pending.clear()
        self._pending.run(self._handles.lose())

    def _end_if_done(self) -> None:
        if self._ended and self._pending.is_empty:
            self._output.lose()

    # Requests

    def _begin(self, packet: bytes) -> Work[None] | None:
        try:
            if self._begun:
                return self._serve(asked.read_id(packet), packet)
            asked.read_version(packet)
        except BadPacket as error:
            self._send_away(error)
            return None
        self._begun = True
        self._output.send(replies.version(asked.VERSION, asked.EXTENSIONS))
        return None

    async def _serve(self, number: int, packet: bytes) -> None:
        with self._signs.given():
            try:
                request = asked.read_request(packet)
            except BadPacket as error:
                await self._send(replies.status(number, code_of(error), str(error)))
                return
            if type(request) in _BY_PATH and not self._may_go_on():
                self._output.lose()
                return
            size = _size(request)
            if size:
                share = self._output.share
                self._reading.limit = _READING if share >= _ROOMY else share
                async with self._reading.hold(size):
                    await self._output.room()
                    await self._send(await self._reply(number, request))
            else:
                await self._send(await self._reply(number, request))

    async def _send(self, reply: bytes) -> None:
        """Send *reply* when there is room: a client that takes none asks for no more."""
        await self._output.room()
        self._output.send(reply)

    async def _reply(self, number: int, request: asked.Request) -> bytes:
        """Do what is asked for; return what is answered, also when it fails."""
        try:
            return await self._answer(number, request)
        except TruckeeError as error:
            return replies.status(number, code_of(error), str(error))
        except Exception:
            log.failure("A request of SFTP failed")
            text = "Something went wrong inside the gateway. Its log says more."
            return replies.status(number, Code.FAILURE, text)

    async def _answer(self, number: int, request: asked.Request) -> bytes:
        """Do what is asked for, and return the packet that answers it."""
        answer = _ANSWERS.get(type(request))
        if answer is not None:
            return await answer(self, number, request)
        act = _ACTS.get(type(request))
        if act is not None:
            await act(self._handles, request)
        else:
            async with self._turn(request):
                if self._lost:
                    raise UnknownHandle  # nobody waits for what had not begun
                await self._change(request)
        return replies.status(number, Code.OK)

    @asynccontextmanager
    async def _turn(self, request: asked.Request) -> AsyncIterator[None]:
        """Have a turn: some directories are made side by side, all else is done alone."""
        if isinstance(request, asked.MakeDirectory):
            async with self._tree.add(), self._making.hold(1):
                yield
        else:
            async with self._tree.change():
                yield

    async def _change(self, request: asked.Request) -> None:
        """Change the tree."""
        files = self._changing
        match request:
            case asked.MakeDirectory():
                await files.make_directory(names_of(request.path))
            case asked.RemoveDirectory():
                await files.remove_directory(names_of(request.path))
            case asked.Remove():
                await files.remove(names_of(request.path))
            case asked.Rename():
                old, new = names_of(request.old), names_of(request.new)
                await files.rename(old, new, request.replace)
            case asked.HardLink():
                await files.link(names_of(request.old), names_of(request.new))
            case asked.SetStat():
                await files.set_attributes(names_of(request.path), request.attributes)

    async def _open(self, number: int, request: asked.OpenFile) -> bytes:
        if request.flags & (asked.Open.WRITE | asked.Open.APPEND):
            async with self._tree.change():
                return replies.handle(number, await self._handles.open_to_write(request))
        async with self._tree.look():
            return replies.handle(number, await self._handles.open_to_read(request))

    async def _open_directory(self, number: int, request: asked.OpenDirectory) -> bytes:
        async with self._tree.look():
            return replies.handle(number, await self._handles.open_directory(request))

    async def _read(self, number: int, request: asked.Read) -> bytes:
        if self._lost:
            raise UnknownHandle
        length = min(request.length, MAX_DATA)
        content = await self._handles.read(request.handle, request.offset, length)
        if content or not length:
            return replies.data(number, content)
        return replies.status(number, Code.EOF, "The file ends here.")

    async def _stat(self, number: int, request: asked.Stat) -> bytes:
        async with self._tree.look():
            found = await self.files.view.attributes(names_of(request.path))
        return replies.attributes(number, found)

    async def _stat_handle(self, number: int, request: asked.StatHandle) -> bytes:
        return replies.attributes(number, await self._handles.attributes(request.handle))

    async def _list(self, number: int, request: asked.ReadDirectory) -> bytes:
        entries = await self._handles.next_entries(request.handle)
        if not entries:
            return replies.status(number, Code.EOF, "That was all.")
        return replies.names(number, entries)


def _size(request: asked.Request) -> int:
    """Return how large the answer may be, if it is not short: in bytes."""
    match request:
        case asked.Read():
            return min(request.length, MAX_DATA)
        case asked.ReadDirectory():
            return _LISTED
        case asked.RealPath():
            return _NAMED
    return 0


def _name(path: bytes) -> bytes:
    """Return the absolute form of a path as it is sent; of a home's too."""
    if path == b"~" or path.startswith(b"~/"):
        path = path[1:]
    return entry(path_of(names_of(path)), Attributes(), 0)


async def _real_path(session: Session, number: int, request: asked.RealPath) -> bytes:
    return replies.names(number, [_name(request.path)])


async def _space(session: Session, number: int, request: asked.SpaceOf) -> bytes:
    return replies.numbers(number, session.files.space())


async def _limits(session: Session, number: int, request: asked.Limits) -> bytes:
    return replies.numbers(number, (MAX_PACKET, MAX_DATA, MAX_DATA, MOST_HANDLES))


async def _unsupported(session: Session, number: int, request: asked.Unsupported) -> bytes:
    raise NotDone(request.what)


# What is answered with more than that it went well.
_ANSWERS: Mapping[type, Callable[[Session, int, Any], Work[bytes]]] = {
    asked.OpenFile: Session._open,
    asked.OpenDirectory: Session._open_directory,
    asked.Read: Session._read,
    asked.ReadDirectory: Session._list,
    asked.Stat: Session._stat,
    asked.StatHandle: Session._stat_handle,
    asked.RealPath: _real_path,
    asked.SpaceOf: _space,
    asked.Limits: _limits,
    asked.Unsupported: _unsupported,
}
# What may go on beside changes of the tree.
_ACTS: Mapping[type, Callable[[Handles, Any], Work[None]]] = {
    asked.Write: Handles.write,
    asked.Close: Handles.close,
    asked.SetStatHandle: Handles.set_attributes,
    asked.Sync: Handles.sync,
    asked.CopyData: Handles.copy,
}
# What looks at the tree, or changes it.
_BY_PATH = frozenset(
    (
        asked.OpenFile,
        asked.OpenDirectory,
        asked.Stat,
        asked.SetStat,
        asked.MakeDirectory,
        asked.RemoveDirectory,
        asked.Remove,
        asked.Rename,
        asked.HardLink,
    )
)
