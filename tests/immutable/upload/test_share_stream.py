"""Pieces of one share, in few calls."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.grids import new_directory, new_server, new_workers
from truckee.codec.hashes import Buffer
from truckee.flow.together import Group
from truckee.immutable.upload.share_stream import BATCH, ShareStream
from truckee.storage.interfaces import IShareWriter


@implementer(IShareWriter)
@define(eq=False)
class Pen:
    """A writer that waits to be told that a call is done."""

    calls: list[tuple[int, list[bytes]]] = field(factory=list)
    turns: list[Deferred[None]] = field(factory=list)
    closed: list[int] = field(factory=list)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        self.calls.append((offset, [bytes(part) for part in parts]))
        turn: Deferred[None] = Deferred()
        self.turns.append(turn)
        await turn

    async def close(self, size: int) -> None:
        self.closed.append(size)
        turn: Deferred[None] = Deferred()
        self.turns.append(turn)
        await turn

    async def abort(self) -> None:
        raise NotImplementedError


class Oops(Exception):
    """What a writer fails with."""


class ShareStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pen = Pen()
        self.group = Group()
        self.clock = Clock()
        self.lost: list[ShareStream] = []
        self.fatal: Exception | None = None
        server = new_server(new_directory(self), new_workers(self))
        self.stream = ShareStream(
            3, server, self.pen, self.group, self.clock.seconds, self.on_lost
        )

    def on_lost(self, stream: ShareStream) -> None:
        self.lost.append(stream)
        if self.fatal is not None:
            raise self.fatal

    def put(self, offset: int, data: bytes) -> Deferred[None]:
        return Deferred.fromCoroutine(self.stream.put(offset, data))

    def test_one_piece(self) -> None:
        """A piece is written at once, and put when it is stored."""
        putting = self.put(5, b"abc")
        self.assertEqual(self.pen.calls, [(5, [b"abc"])])
        self.assertNoResult(putting)
        self.pen.turns[0].callback(None)
        self.successResultOf(putting)
        self.successResultOf(Deferred.fromCoroutine(self.group.join()))

    def test_what_piles_up_is_joined(self) -> None:
        """Pieces that come during a call go with the next one, as far as they adjoin."""
        first = self.put(0, b"a")
        others = [self.put(o, d) for o, d in ((3, b"d"), (1, b"bc"), (9, b"x"), (4, b"e"))]
        self.assertEqual(self.pen.calls, [(0, [b"a"])])
        self.pen.turns[0].callback(None)
        self.successResultOf(first)
        self.assertEqual(self.pen.calls[1:], [(1, [b"bc", b"d", b"e"])])
        self.pen.turns[1].callback(None)
        self.assertEqual(self.pen.calls[2:], [(9, [b"x"])])
        self.assertNoResult(others[2])
        self.pen.turns[2].callback(None)
        for each in others:
            self.successResultOf(each)
        again = self.put(10, b"y")
        self.assertEqual(self.pen.calls[3:], [(10, [b"y"])])
        self.pen.turns[3].callback(None)
        self.successResultOf(again)

    def test_batches_are_bounded(self) -> None:
        """A call has at most so many bytes, unless one piece alone has more."""
        half = BATCH // 2
        self.put(0, b"a")
        for offset in range(1, 4 * half, half):
            self.put(offset, bytes(half))
        self.put(4 * half + 1, bytes(BATCH + 1))
        self.pen.turns[0].callback(None)
        for turn in range(1, 4):
            self.pen.turns[turn].callback(None)
        sizes = [sum(map(len, parts)) for _, parts in self.pen.calls]
        self.assertEqual(sizes, [1, BATCH, BATCH, BATCH + 1])

    def test_nothing(self) -> None:
        """No bytes are no call."""
        self.successResultOf(self.put(5, b""))
        self.assertEqual(self.pen.calls, [])

    def test_lost(self) -> None:
        """When a write fails the share is lost, once, and all that is put then is done."""
        first, second = self.put(0, b"a"), self.put(1, b"b")
        self.pen.turns[0].errback(Oops())
        for each in (first, second, self.put(2, b"c")):
            self.successResultOf(each)
        self.assertEqual(self.lost, [self.stream])
        self.assertIsInstance(self.stream.error, Oops)
        self.assertEqual(len(self.pen.calls), 1)
        self.successResultOf(Deferred.fromCoroutine(self.stream.close(3)))
        self.assertEqual(self.pen.closed, [])
        self.group.check()

    def test_lost_and_fatal(self) -> None:
        """When a lost share is one too many, the whole group fails with that."""
        self.fatal = KeyError()
        first = self.put(0, b"a")
        self.pen.turns[0].errback(Oops())
        self.successResultOf(first)
        with self.assertRaises(KeyError):
            self.group.check()
        self.failureResultOf(self.put(1, b"b"), KeyError)

    def test_group_fails(self) -> None:
        """When another share ends the group, nobody waits for this one any more."""
        first, second = self.put(0, b"a"), self.put(1, b"b")

        async def fail() -> None:
            raise KeyError

        self.group.start(fail())
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.lost, [])
        self.failureResultOf(self.put(2, b"c"), KeyError)
        self.failureResultOf(Deferred.fromCoroutine(self.group.join()), KeyError)

    def test_cancelled_put(self) -> None:
        """One who does not wait for his piece any more changes nothing for the others."""
        first, second = self.put(0, b"a"), self.put(1, b"b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.pen.turns[0].callback(None)
        self.pen.turns[1].callback(None)
        self.successResultOf(second)

    def test_close(self) -> None:
        """A close closes the share at its size; one that fails loses it and is no error."""
        closing = Deferred.fromCoroutine(self.stream.close(7))
        self.assertEqual(self.pen.closed, [7])
        self.pen.turns[0].errback(Oops())
        self.successResultOf(closing)
        self.assertEqual(self.lost, [self.stream])

    def test_close_is_one_too_many(self) -> None:
        """When it is one share too many, that is the error."""
        self.fatal = KeyError()
        closing = Deferred.fromCoroutine(self.stream.close(7))
        self.pen.turns[0].errback(Oops())
        self.failureResultOf(closing, KeyError)

    def test_cancelled_close(self) -> None:
        """A close that is cancelled loses nothing."""
        closing = Deferred.fromCoroutine(self.stream.close(7))
        closing.cancel()
        self.failureResultOf(closing, CancelledError)
        self.assertEqual(self.lost, [])
