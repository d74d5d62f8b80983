"""A session of SFTP in this process, and a client that sees all its packets."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import REACTOR, Grid, new_tasks
from tests.tree.tree_grid import TreeGrid
from truckee.codec.caps import DirectoryCap
from truckee.codec.geometry import Encoding
from truckee.flow.changes import Changes
from truckee.frontends.sftp.replies import Code
from truckee.frontends.sftp.requests import Kind
from truckee.frontends.sftp.service import SftpService
from truckee.frontends.sftp.session import Session
from truckee.frontends.sftp.wire import Fields, Splitter, string, u32, u64
from truckee.immutable.upload.keys import RandomKey
from truckee.uploads.written_files import WrittenFiles

STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32
NO_ATTRS = u32(0)


class Output:
    """The way back to the client, which it can stop taking."""

    def __init__(self) -> None:
        self.splitter = Splitter()
        self.packets: list[bytes] = []
        self.unread = 0  # bytes that were sent while nothing was taken
        self.credited = self.alive = 0
        self.is_lost = False
        self.takes = True
        self.changes = Changes()
        self.session: Session | None = None

    def send(self, packet: bytes) -> None:
        """Take a packet."""
        if not self.takes:
            self.unread += len(packet)
        self.packets += self.splitter.feed(packet)
        self.changes.wake()

    share = 256 << 10

    async def room(self) -> None:
        """Return when the client takes something, as a channel would."""
        await self.changes.until(
            lambda: self.takes or self.is_lost or self.unread < (256 << 10)
        )

    def credit(self, amount: int, grow: bool = False) -> None:
        """Count it."""
        self.credited += amount

    def keep_alive(self) -> None:
        """Count it."""
        self.alive += 1

    def lose(self) -> None:
        """End it, as a channel does."""
        self.is_lost = True
        self.changes.wake()
        if self.session is not None:
            self.session.lost()


@define
class Reply:
    """One answer."""

    kind: int
    fields: Fields
    size: int

    @property
    def code(self) -> int:
        """The code of a status."""
        assert self.kind == STATUS, self.kind
        return self.fields.u32()


@define(eq=False)
class Client:
    """Asks one session."""

    session: Session
    output: Output
    sent: int = 0  # bytes
    _number: int = 0

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.sent += len(data)
        self.session.received(data)

    def begin(self, version: int = 3) -> None:
        """Send the first packet."""
        self.send(string(bytes([1]) + u32(version)))

    def request(self, kind: int, *parts: bytes) -> int:
        """Send a request; return its number."""
        self._number += 1
        self.send(string(bytes([kind]) + u32(self._number) + b"".join(parts)))
        return self._number

    def answer(self, number: int) -> Reply | None:
        """Return the answer to a request, if there is one."""
        for packet in self.output.packets:
            if packet[0] != 2 and packet[1:5] == u32(number):
                fields = Fields(packet)
                fields.byte()
                fields.u32()
                return Reply(packet[0], fields, len(packet))
        return None

    async def ask(self, kind: int, *parts: bytes) -> Reply:
        """Return the answer to a request."""
        number = self.request(kind, *parts)
        await self.output.changes.until(
            lambda: self.output.is_lost or self.answer(number) is not None
        )
        await sleep(0)  # this was called by whoever sent it
        found = self.answer(number)
        assert found is not None
        return found

    async def open(self, path: bytes, flags: int) -> bytes:
        """Return a handle of a file."""
        reply = await self.ask(Kind.OPEN, string(path), u32(flags), NO_ATTRS)
        assert reply.kind == HANDLE, (reply.kind, bytes(reply.fields._packet))
        return reply.fields.string()

    async def ok(self, kind: int, *parts: bytes) -> None:
        """See that a request goes well."""
        reply = await self.ask(kind, *parts)
        packet = bytes(reply.fields._packet)
        assert reply.code == Code.OK, packet

    async def write(self, handle: bytes, offset: int, data: bytes) -> None:
        """Write."""
        await self.ok(Kind.WRITE, string(handle), u64(offset), string(data))

    async def read(self, handle: bytes, offset: int, length: int) -> bytes:
        """Read."""
        reply = await self.ask(Kind.READ, string(handle), u64(offset), u32(length))
        return bytes(reply.fields.data()) if reply.kind == DATA else b""

    async def put(self, path: bytes, data: bytes) -> None:
        """Write a whole file."""
        handle = await self.open(path, WRITE | CREATE | TRUNCATE)
        for start in range(0, len(data), 200_000):
            await self.write(handle, start, data[start : start + 200_000])
        await self.ok(Kind.CLOSE, string(handle))

    async def get(self, path: bytes) -> bytes:
        """Read a whole file."""
        handle, parts = await self.open(path, READ), bytearray()
        while data := await self.read(handle, len(parts), 200_000):
            parts += data
        await self.ok(Kind.CLOSE, string(handle))
        return bytes(parts)

    async def names(self, path: bytes) -> list[bytes]:
        """List a directory."""
        reply = await self.ask(Kind.OPENDIR, string(path))
        handle, found = reply.fields.string(), list[bytes]()
        while (reply := await self.ask(Kind.READDIR, string(handle))).kind == NAME:
            for _ in range(reply.fields.u32()):
                found.append(reply.fields.string())
                reply.fields.string()
                skip_attributes(reply.fields)
        await self.ok(Kind.CLOSE, string(handle))
        return found


def skip_attributes(fields: Fields) -> None:
    """Read attributes on."""
    flags = fields.u32()
    if flags & 1:
        fields.u64()
    for bit, count in ((2, 2), (4, 1), (8, 2)):
        if flags & bit:
            for _ in range(count):
                fields.u32()


@define
class Someone:
    """An account."""

    name: str
    root: str


@define(eq=False)
class Place:
    """A directory on servers in this process, and sessions of who has it."""

    case: SynchronousTestCase
    grid: Grid
    tree: TreeGrid
    written: WrittenFiles
    tasks: Any
    clock: Any
    root: DirectoryCap
    account: Someone | None
    service: SftpService = field(init=False)
    clients: list[Client] = field(factory=list, init=False)

    @classmethod
    async def new(
        cls, case: SynchronousTestCase, clock: Any = REACTOR, **options: Any
    ) -> Place:
        """Return one that lives as long as the test."""
        grid = Grid.new(case, Encoding(2, 3), **options)
        tree, tasks = TreeGrid.new(case), new_tasks(case)
        written = WrittenFiles(
            grid.uploader, grid.disk, str(grid.root), REACTOR, tasks, RandomKey()
        )
        case.addCleanup(lambda: Deferred.fromCoroutine(written.stop()))
        root = await tree.directories.make()
        return cls(case, grid, tree, written, tasks, clock, root, Someone("a", str(root)))

    def __attrs_post_init__(self) -> None:
        self.service = SftpService(
            self.tree.directories,
            self.tree.files,
            self.grid.downloader,
            self.written,
            self,
            lambda: (1 << 30, 1 << 20),
            (1000, 1000),
            lambda: 1_700_000_000.0,
            self.clock,
        )

    def find(self, name: str) -> Someone | None:
        """Return an account."""
        return self.account

    def connect(self, begun: bool = True) -> Client:
        """Return a client with a session of its own."""
        output = Output()
        session = self.service.begin(b"sftp", output, Someone("a", str(self.root)))
        assert session is not None
        output.session = session
        client = Client(session, output)
        self.clients.append(client)
        if begun:
            client.begin()
        return client

    async def check_nothing_left(self) -> None:
        """See that what clients had is gone when they are."""
        for each in self.clients:
            each.session.lost()
        await self.gone()

    async def gone(self) -> None:
        """Return when nothing is in progress any more."""
        busy = True
        while busy:
            busy = any(not each.session._pending.is_empty for each in self.clients)
            await sleep(0.005)
        self.case.assertEqual(self.written._files, {})
        self.case.assertEqual(self.written._places.used, 0)
        self.case.assertEqual(self.grid.uploader.active, 0)
        self.case.assertEqual(self.tasks.active(), [])
        for each in self.clients:
            self.case.assertEqual(each.session._handles._open, {})
            self.case.assertFalse(each.session._signs._next.running)
            self.case.assertEqual(each.session._reading.used, 0)


async def sleep(seconds: float) -> None:
    """Let the reactor turn."""
    waiting: Deferred[None] = Deferred()
    REACTOR.callLater(seconds, waiting.callback, None)
    await waiting
