"""A stream in chunks of any size becomes pieces of one size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.segments import Segmenter


def pieces_of(piece_size: int, chunks: list[bytes]) -> list[bytes]:
    """Return all pieces that *chunks* make, the rest last."""
    segmenter = Segmenter(piece_size)
    pieces = [bytes(piece) for chunk in chunks for piece in segmenter.feed(chunk)]
    rest = bytes(segmenter.finish())
    return [*pieces, rest] if rest else pieces


class SegmenterTests(SynchronousTestCase):
    def test_example(self) -> None:
        """A piece comes out with the chunk that fills it, the rest at the end."""
        segmenter = Segmenter(4)
        self.assertEqual(segmenter.feed(b"abc"), [])
        self.assertEqual(segmenter.held, 3)
        self.assertEqual(segmenter.feed(b""), [])
        self.assertEqual(segmenter.feed(b"defghij"), [b"abcd", b"efgh"])
        self.assertEqual(segmenter.held, 2)
        self.assertEqual(segmenter.finish(), b"ij")
        self.assertEqual(segmenter.held, 0)

    def test_full_piece_does_not_wait(self) -> None:
        """A piece that is just full leaves at once, and nothing is left over."""
        segmenter = Segmenter(4)
        self.assertEqual(segmenter.feed(b"abcd"), [b"abcd"])
        self.assertEqual(segmenter.finish(), b"")

    def test_another_size(self) -> None:
        """It counts from the next piece, also when something waits for one to fill."""
        segmenter = Segmenter(2)
        self.assertEqual(segmenter.feed(b"abc"), [b"ab"])
        segmenter.piece_size = 4
        self.assertEqual(segmenter.feed(b"defgh"), [b"cd", b"efgh"])
        segmenter.piece_size = 3
        self.assertEqual(segmenter.feed(b"i"), [])
        segmenter.piece_size = 1
        self.assertEqual(segmenter.feed(b"jkl"), [b"ijk", b"l"])
        self.assertEqual(segmenter.finish(), b"")

    def test_nothing(self) -> None:
        """No chunks make no pieces."""
        self.assertEqual(pieces_of(4, []), [])
        self.assertEqual(pieces_of(4, [b"", b""]), [])

    @given(st.binary(max_size=300), st.integers(1, 50), st.data())
    def test_chunks_do_not_matter(
        self, stream: bytes, piece_size: int, data: st.DataObject
    ) -> None:
        """Fed whole, byte by byte and in odd chunks, a stream has the same pieces."""
        step = range(0, len(stream), piece_size)
        expected = [stream[at : at + piece_size] for at in step]
        self.assertEqual(pieces_of(piece_size, [stream]), expected)
        single = [stream[at : at + 1] for at in range(len(stream))]
        self.assertEqual(pieces_of(piece_size, single), expected)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
        bounds = zip([0, *cuts], [*cuts, len(stream)], strict=True)
        odd = [stream[start:end] for start, end in bounds]
        self.assertEqual(pieces_of(piece_size, odd), expected)

    def test_pieces_are_the_callers(self) -> None:
        """A piece may be changed, and so may the chunk it came from."""
        segmenter = Segmenter(2)
        chunk = bytearray(b"abcde")
        first, second = segmenter.feed(memoryview(chunk))
        chunk[:] = b"....."
        first[:] = b"xx"
        self.assertEqual(second, b"cd")
        self.assertEqual(segmenter.finish(), b"e")
