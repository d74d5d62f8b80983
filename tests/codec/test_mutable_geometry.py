"""How a version of a mutable file is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import MAX_SEGMENT_SIZE
from truckee.codec.mutable_geometry import MutableGeometry, SegmentTooLarge

MOST = (1 << 64) - 1


@st.composite
def geometries(draw: st.DrawFn, most: int = 10**7) -> MutableGeometry:
    """Any geometry a share may have."""
    total = draw(st.integers(1, 255))
    needed = draw(st.integers(1, total))
    size, salted = draw(st.integers(0, most)), draw(st.booleans())
    if not salted:
        return MutableGeometry.sdmf(size, needed, total)
    pieces = draw(st.integers(1, 1000))
    return MutableGeometry(size, needed, total, pieces * needed, True)


class GeometryTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The sizes of the examples are known."""
        cut = MutableGeometry.mdmf(300_000, 3, 10)
        self.assertEqual(
            (cut.segment_size, cut.segments, cut.block_size), (131073, 3, 43691)
        )
        self.assertEqual(cut.segment_length(2), 37854)
        self.assertEqual(cut.block_length(2), 12618)
        self.assertEqual([cut.block_offset(n) for n in (0, 1, 2)], [0, 43707, 87414])
        self.assertEqual(cut.data_size, 87414 + 16 + 12618)
        short = MutableGeometry.sdmf(20, 2, 3)
        self.assertEqual((short.segment_size, short.segments, short.data_size), (20, 1, 10))
        self.assertEqual(MutableGeometry.sdmf(20, 3, 3).segment_size, 21)

    def test_empty(self) -> None:
        """An empty file has no segment, and a tree of one leaf."""
        for cut, size in (
            (MutableGeometry.sdmf(0, 3, 10), 0),
            (MutableGeometry.mdmf(0, 3, 10), 131073),
        ):
            self.assertEqual((cut.segments, cut.leaves, cut.data_size), (0, 1, 0))
            self.assertEqual(cut.segment_size, size)

    @given(geometries())
    def test_laws(self, cut: MutableGeometry) -> None:
        """Segments make up the file, blocks with their salts the data of a share."""
        count = cut.segments
        some = {*range(min(count, 50)), *range(max(count - 50, 0), count)}
        lengths = {number: cut.segment_length(number) for number in some}
        self.assertTrue(all(0 < length <= cut.segment_size for length in lengths.values()))
        if count <= 50:
            self.assertEqual(sum(lengths.values()), cut.size)
            self.assertEqual(
                cut.data_size,
                sum(cut.block_length(n) for n in some) + count * cut.salt_size,
            )
        for segment in some:
            self.assertEqual(
                cut.block_offset(segment + 1) - cut.block_offset(segment),
                cut.salt_size + cut.block_length(segment),
            )
        if count:
            last = lengths[count - 1]
            self.assertEqual((count - 1) * cut.segment_size + last, cut.size)

    def test_impossible(self) -> None:
        """Numbers that no file has make no geometry."""
        for size, needed, total, segment, salted in (
            (1, 0, 1, 1, False),
            (1, 2, 1, 2, False),
            (1, 1, 256, 1, False),
            (1, 3, 10, 4, True),
            (1, 3, 10, 0, True),
            (1, 3, 10, 0, False),
            (7, 3, 10, 6, False),  # SDMF has one segment
            (-1, 3, 10, 3, True),
            (MOST + 1, 1, 1, 1, True),
            (1, 1, 1, MOST + 1, True),
        ):
            with self.assertRaises(ValueError):
                MutableGeometry(size, needed, total, segment, salted)
        self.assertEqual(MutableGeometry(7, 3, 10, 6, True).segments, 2)

    def test_hostile_numbers_cost_nothing(self) -> None:
        """The largest numbers are computed with, and nothing is made of their size."""
        cut = MutableGeometry(MOST, 1, 255, 1, True)
        self.assertEqual(cut.segments, MOST)
        self.assertEqual(cut.data_size, 17 * MOST)

    def test_too_large(self) -> None:
        """A segment that would take too much memory is refused; a short file is not."""
        most = MAX_SEGMENT_SIZE
        MutableGeometry(most, 1, 1, most, False).check_readable()
        MutableGeometry(most * 9, 1, 1, most, True).check_readable()
        MutableGeometry(5, 1, 1, most * 2, True).check_readable()
        for size, segment in ((most + 1, most + 1), (most * 9, most + 1), (MOST, MOST)):
            with self.assertRaisesRegex(SegmentTooLarge, f"{segment} bytes; at most"):
                MutableGeometry(size, 1, 1, segment, True).check_readable()
