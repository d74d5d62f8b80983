"""How a file is cut."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import (
    DEFAULT_SEGMENT_SIZE,
    MAX_SEGMENT_SIZE,
    Encoding,
    Geometry,
    round_up,
)

MIB = 1 << 20

# size, k, N, largest segment: segment, segments, tail, padded tail, block, tail block,
# data of one share.
TABLE = [
    ((56, 3, 10, MIB), (57, 1, 56, 57, 19, 19, 19)),
    ((1048575, 3, 10, MIB), (1048575, 1, 1048575, 1048575, 349525, 349525, 349525)),
    ((1048576, 3, 10, MIB), (1048578, 1, 1048576, 1048578, 349526, 349526, 349526)),
    ((1048578, 3, 10, MIB), (1048578, 1, 1048578, 1048578, 349526, 349526, 349526)),
    ((1048579, 3, 10, MIB), (1048578, 2, 1, 3, 349526, 1, 349527)),
    ((3145745, 3, 10, MIB), (1048578, 4, 11, 12, 349526, 4, 1048582)),
    (
        (1000000000, 3, 10, MIB),
        (1048578, 954, 705166, 705168, 349526, 235056, 333333334),
    ),
    ((131073, 3, 10, 1 << 17), (131073, 1, 131073, 131073, 43691, 43691, 43691)),
    ((5000, 101, 256, MIB), (5050, 1, 5000, 5050, 50, 50, 50)),
    ((56, 101, 256, 1 << 17), (101, 1, 56, 101, 1, 1, 1)),
]


class GeometryTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Sizes around the edges of segments are cut as stock clients cut them."""
        for (size, k, n, largest), expected in TABLE:
            cut = Encoding(k, n, largest).geometry(size)
            self.assertEqual(
                (
                    cut.segment_size,
                    cut.segments,
                    cut.tail_size,
                    cut.padded_tail_size,
                    cut.block_size,
                    cut.tail_block_size,
                    cut.share_data_size,
                ),
                expected,
            )
            self.assertEqual((cut.size, cut.needed, cut.total), (size, k, n))

    @given(st.integers(1, 256), st.integers(1, 1 << 50), st.integers(1, 1 << 26), st.data())
    def test_laws(self, total: int, size: int, largest: int, data: st.DataObject) -> None:
        """Segments make up the file, blocks the shares, and k blocks hold a segment."""
        needed = data.draw(st.integers(1, total))
        cut = Encoding(needed, total, largest).geometry(size)
        self.assertEqual(cut.segment_size % needed, 0)
        self.assertLess(cut.segment_size, min(size, largest) + needed)
        self.assertGreaterEqual(cut.segment_size, min(size, largest))
        self.assertTrue(1 <= cut.tail_size <= cut.segment_size)
        self.assertEqual((cut.segments - 1) * cut.segment_size + cut.tail_size, size)
        self.assertTrue(0 <= cut.padded_tail_size - cut.tail_size < needed)
        self.assertEqual(cut.share_data_size, -(-size // needed))
        last = cut.segments - 1
        self.assertEqual(cut.segment_length(last), cut.tail_size)
        self.assertEqual(cut.block_length(last), cut.tail_block_size)
        for segment in {0, last // 2, last - 1} - {last, -1}:
            self.assertEqual(cut.segment_length(segment), cut.segment_size)
            self.assertEqual(cut.block_length(segment) * needed, cut.segment_size)

    @given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 256))
    def test_others_segments(self, size: int, blocks: int, needed: int) -> None:
        """A reader takes any multiple of k as segment size, past the file's end too."""
        cut = Geometry(size, needed, 256, blocks * needed)
        self.assertEqual(
            sum(map(cut.segment_length, range(cut.segments)))
            if cut.segments < 99
            else size,
            size,
        )
        self.assertEqual(cut.block_size, blocks)

    def test_impossible(self) -> None:
        """No file has no bytes, and no geometry k > N, N > 256 or a fraction of a byte."""
        for size, k, n, segment in (
            (0, 3, 10, 57),
            (-1, 3, 10, 57),
            (56, 0, 10, 57),
            (56, 11, 10, 55),
            (56, 3, 257, 57),
            (56, 3, 10, 56),
            (56, 3, 10, 0),
            (56, 3, 10, -57),
        ):
            self.assertRaises(ValueError, Geometry, size, k, n, segment)
        self.assertRaises(ValueError, Encoding().geometry, 0)


class EncodingTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """Unless told otherwise, files are 3-of-10 in segments of 1 MiB."""
        encoding = Encoding()
        self.assertEqual((encoding.needed, encoding.total), (3, 10))
        self.assertEqual(encoding.max_segment_size, DEFAULT_SEGMENT_SIZE)
        self.assertEqual(DEFAULT_SEGMENT_SIZE, 1048576)
        self.assertEqual(encoding.streaming_segment_size, 1048578)

    @given(st.integers(1, 256), st.integers(1, 1 << 26), st.integers(1, 1 << 40))
    def test_streaming(self, needed: int, largest: int, size: int) -> None:
        """A long file has the same segments whether its size was known or not."""
        assume(size >= largest)
        encoding = Encoding(needed, 256, largest)
        cut = encoding.geometry(size)
        self.assertEqual(cut.segment_size, encoding.streaming_segment_size)

    def test_impossible(self) -> None:
        """Impossible shares and segment sizes are refused when they are configured."""
        for k, n, largest in (
            (0, 10, 1000),
            (11, 10, 1000),
            (3, 257, 1000),
            (-1, 3, 1000),
            (3, 10, 0),
            (3, 10, MAX_SEGMENT_SIZE + 1),
        ):
            self.assertRaises(ValueError, Encoding, k, n, largest)
        Encoding(1, 1, 1)
        Encoding(256, 256, MAX_SEGMENT_SIZE)


class RoundUpTests(SynchronousTestCase):
    @given(st.integers(0, 1 << 70), st.integers(1, 1000))
    def test_law(self, number: int, multiple: int) -> None:
        """The least multiple that is not below."""
        rounded = round_up(number, multiple)
        self.assertEqual(rounded % multiple, 0)
        self.assertTrue(0 <= rounded - number < multiple)
