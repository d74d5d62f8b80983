"""Uploads and downloads over foolscap, while some of the servers lie."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, MoodyServer, in_chunks, until
from tests.storage.liars import READER, SERVER, WRITER, Lair, Liar, never, raises, readers
from tests.storage.test_foolscap_client import new_client
from truckee.codec.caps import ChkReadCap
from truckee.codec.geometry import Encoding
from truckee.codec.share import HEADER_SIZE, ShareOffsets
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import IShareReader
from truckee.storage.limited import LimitedServer, Patience

ENCODING = Encoding(3, 10, 3000)
HAPPY = 7
SIZE = 40_000  # bytes, of 14 segments
# A server that never answers shall cost less than its time, wherever there are others.
PATIENCE = Patience(20.0, 20.0, 20.0)
SOON = 15.0  # seconds

# What answers some methods of a server, given what would tell the truth.
Lie = Callable[[FoolscapStorage], dict[str, Any]]


# Lies about shares that are there.

# Given where the parts of the share are, the offset of a read, and its true answer; what it
# gives may be a Deferred.
Change = Callable[[ShareOffsets, int, bytes], object]


def reading(change: Change) -> Lie:
    """Answer reads with what *change* makes of them."""

    async def read(share: IShareReader, offset: int, length: int) -> object:
        header = await share.read(0, HEADER_SIZE)
        data = await share.read(offset, length)
        answer = change(ShareOffsets.parse(header, ENCODING.total), offset, data)
        return await answer if isinstance(answer, Deferred) else answer

    async def buckets(honest: FoolscapStorage, index: bytes) -> object:
        found = await honest._storage.buckets(index)
        return readers({share: _method(partial(read, found[share])) for share in found})

    return lambda honest: {"get_buckets": _method(partial(buckets, honest))}


def _method(work: Callable[..., Any]) -> Callable[..., Deferred[object]]:
    return lambda *arguments: Deferred.fromCoroutine(work(*arguments))


def noise(_: ShareOffsets, __: int, data: bytes) -> object:
    """Have nothing of what was stored."""
    return random.Random(len(data)).randbytes(len(data))


def flipped(start: str, end: str) -> Change:
    """Change what is between two parts of the share."""

    def change(offsets: ShareOffsets, offset: int, data: bytes) -> object:
        first = max(0, getattr(offsets, start) - offset)
        last = max(first, getattr(offsets, end) - offset)
        wrong = bytes(each ^ 1 for each in data[first:last])
        return data[:first] + wrong + data[last:]

    return change


def has_blocks(offsets: ShareOffsets, offset: int, data: bytes) -> bool:
    """Tell whether a read goes beyond the header, and not to the hashes."""
    return offset + len(data) > HEADER_SIZE and offset < offsets.crypttext_tree


def no_blocks(offsets: ShareOffsets, offset: int, data: bytes) -> object:
    """Answer when asked for hashes, and not when asked for blocks."""
    return never() if has_blocks(offsets, offset, data) else data


def short(offsets: ShareOffsets, offset: int, data: bytes) -> object:
    """Cut the first block."""
    first = offset <= offsets.data and has_blocks(offsets, offset, data)
    return data[:-1] if first else data


def claiming(read: object, *numbers: int) -> Lie:
    """Have shares of these numbers."""
    return lambda _: {"get_buckets": readers(dict.fromkeys(numbers, read))}


# By what it is: the lie, and whether the server's operator can do something about it.
READ_LIES: dict[str, tuple[Lie, bool]] = {
    "noise": (reading(noise), True),
    "nothing": (reading(lambda *_: b""), True),
    "ciphertext hashes": (reading(flipped("crypttext_tree", "block_tree")), True),
    "block hashes": (reading(flipped("block_tree", "chain")), True),
    "chain": (reading(flipped("chain", "ueb")), True),
    "too long": (reading(lambda _, __, data: data + b"!"), False),
    "text": (reading(lambda _, __, data: "x" * len(data)), False),
    "fails": (claiming(raises, 0), False),
    "all numbers": (claiming(b"", *range(256)), True),
    "odd numbers": (claiming(b"", -(2**70), -1, 0, 10, 255, 256, 2**70), True),
}
BLOCK_LIES: dict[str, Lie] = {
    "blocks": reading(flipped("data", "crypttext_tree")),
    "short": reading(short),
}


# Lies to those who store something.


def writing(claims: str = WRITER, **answers: object) -> Lie:
    """Give writers some methods of which answer something else."""

    async def allocate(honest: Any, *arguments: object) -> object:
        already, writers = await honest.remote_allocate_buckets(*arguments)
        return already, {
            share: Liar(claims, dict(answers), writer) for share, writer in writers.items()
        }

    return lambda honest: {"allocate_buckets": _method(partial(allocate, honest))}


def saying(method: str, answer: object) -> Lie:
    """Answer a method."""
    return lambda _: {method: answer}


WRITE_LIES: dict[str, Lie] = {
    "no answer to the question": saying("get_buckets", never),
    "failure at the question": saying("get_buckets", raises),
    "text for shares": saying("get_buckets", "text"),
    "all shares": claiming(b"", *range(256)),
    "all shares as noise": claiming(bytes(10), *range(256)),
    "odd shares": claiming(b"", -(2**70), -1, 10, 255, 256, 2**70),
    "no answer to the allocation": saying("allocate_buckets", never),
    "failure of the allocation": saying("allocate_buckets", raises),
    "text for writers": saying("allocate_buckets", "text"),
    "no writers": saying("allocate_buckets", (set(), {})),
    "shares that are there already": saying("allocate_buckets", (set(range(10)), {})),
    "failing writes": writing(write=raises),
    "failing writes and aborts": writing(write=raises, abort=raises),
    "no answer to writes": writing(write=never),
    "no answer to writes and aborts": writing(write=never, abort=never),
    "failing closes": writing(close=raises),
    "no answer to closes": writing(close=never),
    "readers for writers": writing(READER),
}


# Of servers that do not say what they are, so that foolscap checks nothing by itself.
def _nameless(**answers: object) -> Liar:
    return Liar("", dict(answers))


NAMELESS_LIES: dict[str, Lie] = {
    "text for shares": saying("get_buckets", "text"),
    "text for numbers": saying("get_buckets", {"0": _nameless(read=b"")}),
    "nothing for readers": saying("get_buckets", {0: None}),
    "text to read": saying("get_buckets", {0: _nameless(read=lambda _, size: "x" * size)}),
    "nothing to read": saying("get_buckets", {0: _nameless(read=None)}),
    "text for writers": saying("allocate_buckets", "text"),
    "nothing for writers": saying("allocate_buckets", ({None}, dict.fromkeys(range(10)))),
}


@define(eq=False)
class Member:
    """One server: its disk, and who speaks for it."""

    disk: MoodyServer
    voice: Liar

    def tell(self, lie: Lie) -> None:
        """Lie from now on."""
        self.disk.advice.clear()
        self.voice.answers.update(lie(self.voice.honest))

    def be_honest(self) -> None:
        """Tell the truth again."""
        self.voice.answers.clear()


class _Case(TestCase):
    timeout = 120
    claims = SERVER  # what the servers say that they are

    async def setUp(self) -> None:  # type: ignore[override]
        self.chance = random.Random(self.id())
        self.grid = Grid.new(self, ENCODING, servers=10, happy=HAPPY)
        lair, client = Lair.new(self), new_client(self)
        self.members = []
        for number, disk in enumerate(self.grid.servers):
            voice = Liar(self.claims, honest=FoolscapStorage(disk, Clock()))
            self.members.append(Member(disk, voice))
            server: FoolscapServer = await client.connect(lair.furl(voice))
            server.name = disk.name
            server.permutation_seed = disk.permutation_seed
            limited = LimitedServer(server, REACTOR, PATIENCE)
            self.grid.servers[number] = limited  # type: ignore[call-overload]

    async def store(self) -> tuple[bytes, ChkReadCap]:
        """Store a file; return it and its cap."""
        data = self.chance.randbytes(SIZE)
        cap = await self.grid.uploader.upload(
            in_chunks(data, 5000), UploadOptions(RandomKey(), SIZE)
        )
        assert isinstance(cap, ChkReadCap)
        return data, cap

    def holders(self, cap: ChkReadCap, members: Sequence[Member]) -> dict[int, Member]:
        """Return who of *members* has which finished share on its disk."""
        return {
            share: member
            for member in members
            for share in member.disk.directory.shares(cap.storage_index)
        }


class DownloadTests(_Case):
    async def check(
        self, lie: Lie, told: bool = False
    ) -> tuple[list[str], list[tuple[int, str]]]:
        """
        Check that a file is read right while the server of its first share lies.

        Return what was logged of that server, and what its operator was told; he is waited
        for if he should be *told*.
        """
        data, cap = await self.store()
        liar = self.holders(cap, self.members)[0]
        liar.tell(lie)
        began = time.monotonic()
        with capturedLogs() as events:
            self.assertEqual(await self.grid.read(cap), data)
        self.assertLess(time.monotonic() - began, SOON)
        if told:
            await until(lambda: liar.disk.advice)
        liar.be_honest()
        lines = [formatEvent(event) for event in events]
        named = [line for line in lines if line and liar.disk.name in line]
        return named, list(liar.disk.advice)

    async def test_lies(self) -> None:
        """
        Whatever the server of a share says of it, the file is read; the log names the
        server, and its operator is told where there is something to be mended.
        """
        for what, (lie, told) in READ_LIES.items():
            log, advice = await self.check(lie, told)
            self.assertNotEqual(log, [], what)
            self.assertEqual(bool(advice), told, what)

    async def test_blocks(self) -> None:
        """A server that gives wrong blocks of each segment is named in the log."""
        for what, lie in BLOCK_LIES.items():
            log, advice = await self.check(lie, told=True)
            self.assertNotEqual(log, [], what)
            self.assertNotEqual(advice, [], what)

    async def test_no_answer(self) -> None:
        """A server that does not answer reads is waited for once, and not for long."""
        await self.check(claiming(never, 0))

    async def test_no_answer_to_blocks(self) -> None:
        """The same holds when it stops to answer after the first reads."""
        await self.check(reading(no_blocks))

    test_no_answer_to_blocks.timeout = 20  # type: ignore[attr-defined]


class _UploadCase(_Case):
    async def check(self, *lies: tuple[str, Lie]) -> None:
        """Check that a file is stored and read while a server tells each of *lies*."""
        liars = self.chance.sample(self.members, len(lies))
        for liar, (_, lie) in zip(liars, lies, strict=True):
            liar.tell(lie)
        what = " and ".join(what for what, _ in lies)
        began = time.monotonic()
        try:
            data, cap = await self.store()
        except Exception as error:
            self.fail(f"{what}: {error!r}")
        self.assertLess(time.monotonic() - began, SOON, what)
        honest = [member for member in self.members if member not in liars]
        self.assertGreaterEqual(len(self.holders(cap, honest)), HAPPY, what)
        self.assertEqual(await self.grid.read(cap), data, what)
        self.assertLess(time.monotonic() - began, SOON, what)
        for liar in liars:
            liar.be_honest()


class UploadTests(_UploadCase):
    async def test_same_lies(self) -> None:
        """When two servers of ten tell the same lie, a file is stored on seven others."""
        for lie in WRITE_LIES.items():
            await self.check(lie, lie)

    async def test_different_lies(self) -> None:
        """The same holds when each tells a lie of its own."""
        lies = list(WRITE_LIES.items())
        for _ in range(10):
            await self.check(*self.chance.sample(lies, 2))

    async def test_claims_that_cannot_be_read(self) -> None:
        """Shares that servers claim to have, and do not let be read, delay no upload."""
        liars = self.chance.sample(self.members, 2)
        for liar in liars:
            liar.tell(claiming(never, *range(256)))
        began = time.monotonic()
        data, cap = await self.store()
        self.assertLess(time.monotonic() - began, SOON)
        honest = [member for member in self.members if member not in liars]
        self.assertGreaterEqual(len(self.holders(cap, honest)), HAPPY)
        for liar in liars:
            liar.be_honest()
        self.assertEqual(await self.grid.read(cap), data)


class NamelessTests(_UploadCase):
    """Servers that do not say what they are."""

    claims = ""

    async def test_types(self) -> None:
        """Answers of any type keep nobody from storing and reading a file."""
        for lie in NAMELESS_LIES.items():
            await self.check(lie, lie)
