"""Plaintext on its way through memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.immutable.upload.body import Body, FileTooLarge, Pieces
from truckee.immutable.upload.sinks import WrongSize


class Chunks:
    """An iterator that counts what was taken."""

    def __init__(self, *chunks: bytes) -> None:
        self.left = list(chunks)
        self.ends = 0

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            self.ends += 1
            raise StopAsyncIteration
        return self.left.pop(0)


async def all_of(chunks: AsyncIterator[Any]) -> list[bytes]:
    """Return all that comes."""
    return [bytes(chunk) async for chunk in chunks]


class _Case(SynchronousTestCase):
    def peek(self, body: Body, size: int) -> None:
        self.successResultOf(Deferred.fromCoroutine(body.peek(size)))

    def rest(self, chunks: AsyncIterator[Any]) -> list[bytes]:
        found: list[bytes] = self.successResultOf(Deferred.fromCoroutine(all_of(chunks)))
        return found


class BodyTests(_Case):
    def test_chunks(self) -> None:
        """Without a look ahead chunks pass as they are, and are counted."""
        body = Body(Chunks(b"ab", b"", b"c"), 100)
        self.assertEqual(self.rest(body), [b"ab", b"", b"c"])
        self.assertEqual((body.size, body.ended), (3, True))

    def test_peek(self) -> None:
        """A look ahead takes no more chunks than it needs, and they are given later."""
        chunks = Chunks(b"ab", b"cd", b"ef")
        body = Body(chunks, 100)
        self.peek(body, 3)
        self.assertEqual(chunks.left, [b"ef"])
        self.assertFalse(body.ended)
        self.peek(body, 3)
        self.assertEqual(chunks.left, [b"ef"])
        self.assertEqual(self.rest(body), [b"ab", b"cd", b"ef"])

    def test_peek_to_the_end(self) -> None:
        """A short body is over after the look, and can be taken whole."""
        chunks = Chunks(b"ab", b"cd")
        body = Body(chunks, 100)
        self.peek(body, 5)
        self.assertTrue(body.ended)
        self.assertEqual(body.take_all(), b"abcd")
        self.assertEqual(self.rest(body), [])
        self.assertEqual(chunks.ends, 1)

    def test_exact_peek(self) -> None:
        """A look as long as the body does not see its end."""
        body = Body(Chunks(b"abc"), 100)
        self.peek(body, 3)
        self.assertFalse(body.ended)
        self.assertEqual(self.rest(body), [b"abc"])

    def test_limit(self) -> None:
        """One byte above the limit is refused, in a look as well."""
        self.assertEqual(self.rest(Body(Chunks(b"abc", b"d"), 4)), [b"abc", b"d"])
        body = Body(Chunks(b"abc", b"de"), 4)
        self.failureResultOf(Deferred.fromCoroutine(all_of(body)), FileTooLarge)
        body = Body(Chunks(b"abcde"), 4)
        self.failureResultOf(Deferred.fromCoroutine(body.peek(1)), FileTooLarge)

    def test_promised(self) -> None:
        """A body that is longer or shorter than promised is refused as soon as it is."""
        self.assertEqual(self.rest(Body(Chunks(b"abc"), 9, 3)), [b"abc"])
        self.assertEqual(self.rest(Body(Chunks(), 9, 0)), [])
        for promised in (0, 2, 4):
            body = Body(Chunks(b"abc"), 9, promised)
            self.failureResultOf(Deferred.fromCoroutine(all_of(body)), WrongSize)
        long = Chunks(b"abc", b"d", b"e")
        self.failureResultOf(Deferred.fromCoroutine(all_of(Body(long, 9, 3))), WrongSize)
        self.assertEqual(long.left, [b"e"])


class PiecesTests(_Case):
    @given(st.lists(st.binary(max_size=20)), st.integers(1, 12))
    def test_pieces(self, chunks: list[bytes], size: int) -> None:
        """The same bytes, in pieces of one size; only the last one may be shorter."""
        pieces = self.rest(Pieces(Chunks(*chunks), lambda: size))
        self.assertEqual(b"".join(pieces), b"".join(chunks))
        self.assertTrue(all(len(piece) == size for piece in pieces[:-1]))
        self.assertTrue(all(0 < len(piece) <= size for piece in pieces))

    def test_as_early_as_possible(self) -> None:
        """A piece is given before the chunk behind it is asked for."""
        chunks = Chunks(b"abc", b"d", b"e")
        pieces = Pieces(chunks, lambda: 4)
        first = self.successResultOf(Deferred.fromCoroutine(pieces.__anext__()))
        self.assertEqual((bytes(first), chunks.left), (b"abcd", [b"e"]))

    def test_other_size(self) -> None:
        """How large the next piece is may change, but not of one that is begun."""
        sizes = [3]
        pieces = Pieces(Chunks(b"abcd", b"efghi", b"j"), lambda: sizes[0])
        given = []
        for size in (2, 4, 1):
            piece = self.successResultOf(Deferred.fromCoroutine(pieces.__anext__()))
            given.append(bytes(piece))
            sizes[0] = size
        self.assertEqual(given, [b"abc", b"def", b"gh"])
        self.assertEqual([bytes(piece) for piece in self.rest(pieces)], [b"ij"])

    def test_odd_chunks(self) -> None:
        """Pieces grow though no chunk ends where a piece does."""
        sizes = iter([2, 2, 2, *[9] * 10])
        pieces = self.rest(Pieces(Chunks(*[b"abcde"] * 8), lambda: next(sizes)))
        self.assertEqual([len(piece) for piece in pieces], [2, 2, 2, 2, 2, 9, 9, 9, 3])
