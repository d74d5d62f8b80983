"""Where the share ends and the leases begin, whatever a power cut left of their count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.container import HEADER_SIZE, LEASE_SIZE, ContainerHeader
from truckee.codec.lease_area import LeaseArea, is_settled, lease_area

length = st.integers(1, 1 << 20)
few = st.integers(0, 64)


def area(
    stated: int | None, counted: int, space: int, needed: int | None = None
) -> LeaseArea:
    """The leases in a file of *space* bytes behind its header."""
    return lease_area(ContainerHeader(2, counted, stated), HEADER_SIZE + space, needed)


class LeaseAreaTests(SynchronousTestCase):
    @given(length, few, st.sampled_from([True, False]))
    def test_settled(self, size: int, leases: int, stated: bool) -> None:
        """Where header and file agree, or no length is stated, the count says it."""
        header = ContainerHeader(2, leases, size if stated else None)
        file_size = HEADER_SIZE + size + LEASE_SIZE * leases
        self.assertEqual(is_settled(header, file_size), stated)
        found = lease_area(header, file_size)
        self.assertEqual(found, LeaseArea(HEADER_SIZE + size, leases))
        self.assertEqual(found.share_length, size)

    @given(length, few, few, st.sampled_from([True, False]))
    def test_wrong_count(self, size: int, leases: int, counted: int, layout: bool) -> None:
        """A count too high or too low does not move the end of the share."""
        space, needed = size + LEASE_SIZE * leases, size if layout else None
        found = area(size, counted, space, needed)
        self.assertEqual((found.share_length, found.records), (size, leases))
        self.assertEqual(found.counted, leases == counted)

    @given(length, few)
    def test_wrong_count_without_length(self, size: int, leases: int) -> None:
        """Of a share too long for the field, its own layout says how long it is."""
        found = area(None, leases + 1, size + LEASE_SIZE * leases, size)
        self.assertEqual((found.share_length, found.records), (size, leases))

    def test_lying_layout(self) -> None:
        """A layout that claims more than a power cut can take away is not believed."""
        found = area(None, 200, 100 + 200 * LEASE_SIZE, 100 + 65 * LEASE_SIZE)
        self.assertEqual((found.share_length, found.records), (100, 200))

    def test_torn_record(self) -> None:
        """A record that was cut off at the end of a sector is no lease and no share."""
        size = 4096 - HEADER_SIZE - LEASE_SIZE - 30
        found = area(size, 1, 4096 - HEADER_SIZE)
        self.assertEqual(found, LeaseArea(HEADER_SIZE + size, 1, 30, counted=False))

    def test_length_is_not_believed(self) -> None:
        """A stated length that the file does not bear out counts for nothing."""
        for stated, counted, space, needed in (
            (3, 1, 10 + LEASE_SIZE, None),  # what is behind it is no row of records
            (10, 1, 200 + LEASE_SIZE, 200),  # the share itself is longer
            (1000, 1, 10 + LEASE_SIZE, None),  # the file is shorter
            (10, 1, 10 + 101 * LEASE_SIZE, None),  # so many were never added at once
            (100 + LEASE_SIZE, 2, 100 + 2 * LEASE_SIZE, 100),  # leases would be shown
        ):
            found = area(stated, counted, space, needed)
            self.assertEqual(found.share_length, space - counted * LEASE_SIZE)
            self.assertTrue(found.counted)

    def test_nothing_fits(self) -> None:
        """A file that is shorter than its leases is no container."""
        self.assertRaises(ValueError, area, None, 1, LEASE_SIZE - 1)
        self.assertRaises(ValueError, area, 5, 1, 4)
        self.assertEqual(area(5, 1, LEASE_SIZE).share_length, 0)
