"""The file of one share of a mutable file."""

from __future__ import annotations

import contextlib

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.container import LEASE_DURATION, MOST_LEASES
from truckee.codec.hashes import tagged_hash
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import (
    DATA_OFFSET,
    FREE_LEASE,
    HEADER_SIZE,
    LEASE_SIZE,
    MAX_SHARE_SIZE,
    SlotHeader,
    SlotLease,
    SlotLeases,
    extra_count,
    is_slot,
    parse_leases,
    place_of_lease,
)

LENGTHS = st.integers(0, MAX_SHARE_SIZE // 2)
HEADERS = st.builds(
    lambda version, node, enabler, length, slack: SlotHeader(
        version, node, enabler, length, DATA_OFFSET + length + slack
    ),
    st.sampled_from([1, 2]),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=32, max_size=32),
    LENGTHS,
    LENGTHS,
)
SECRETS = st.builds(
    LeaseSecrets,
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
HEADER = SlotHeader(2, b"n" * 20, b"w" * 32)
NODE = b"n" * 20


def secrets(number: int) -> LeaseSecrets:
    """One of many."""
    return LeaseSecrets(number.to_bytes(32, "big"), bytes(32))


class HeaderTests(SynchronousTestCase):
    def test_layout(self) -> None:
        """The fields are where stock servers have them."""
        self.assertEqual((HEADER_SIZE, LEASE_SIZE, DATA_OFFSET), (100, 92, 468))
        text = b"Tahoe mutable container v2\n"
        mark = tagged_hash(b"allmydata_mutable_container_header", text)[:5]
        packed = SlotHeader(2, b"n" * 20, b"w" * 32, 5, 473).pack()
        numbers = (5).to_bytes(8, "big") + (473).to_bytes(8, "big")
        self.assertEqual(packed, text + mark + b"n" * 20 + b"w" * 32 + numbers)
        first = SlotHeader(1, b"n" * 20, b"w" * 32).pack()
        begin = b"Tahoe mutable container v1\n" + bytes.fromhex("750944038e")
        self.assertTrue(first.startswith(begin))
        self.assertTrue(is_slot(first) and is_slot(packed[:32]))
        self.assertFalse(is_slot(packed[:31]) or is_slot(bytes(100)))

    @given(HEADERS, st.binary(max_size=500))
    def test_round_trip(self, header: SlotHeader, behind: bytes) -> None:
        """What is packed is parsed, whatever stands behind it; a part of it is not."""
        self.assertEqual(SlotHeader.parse(header.pack() + behind), header)
        with self.assertRaises(ValueError):
            SlotHeader.parse(header.pack()[: len(behind) % HEADER_SIZE])

    @given(HEADERS, st.binary(min_size=100, max_size=100))
    def test_any_bytes(self, header: SlotHeader, noise: bytes) -> None:
        """Whatever a disk holds is a header without contradictions, or a ValueError."""
        for data in (
            noise,
            header.pack()[:32] + noise[32:],
            header.pack()[:84] + noise[84:],
        ):
            with contextlib.suppress(ValueError):
                found = SlotHeader.parse(data)
                self.assertLessEqual(found.length, found.capacity)
                self.assertLessEqual(found.capacity, MAX_SHARE_SIZE)
                self.assertEqual(found.pack(), data)

    def test_bounds(self) -> None:
        """Numbers that contradict each other make no header."""
        for length, extra in (
            (1, DATA_OFFSET),
            (0, DATA_OFFSET - 1),
            (0, 0),
            (MAX_SHARE_SIZE + 1, DATA_OFFSET + MAX_SHARE_SIZE + 1),
            ((1 << 64) - 1, (1 << 64) - 1),
        ):
            with self.assertRaises(ValueError):
                SlotHeader.parse(evolve(HEADER, length=length, extra_offset=extra).pack())

    @given(HEADERS, LENGTHS)
    def test_growing(self, header: SlotHeader, size: int) -> None:
        """Growing moves the leases only when it must; cutting never does."""
        grown, cut = header.grown(size), header.cut(size)
        self.assertEqual(grown.length, max(header.length, size))
        self.assertEqual(grown.capacity, max(header.capacity, size))
        self.assertEqual(
            (cut.length, cut.capacity), (min(header.length, size), header.capacity)
        )
        for each in (grown, cut):
            self.assertEqual(SlotHeader.parse(each.pack()), each)


class LeaseTests(SynchronousTestCase):
    @given(
        st.lists(
            st.builds(
                SlotLease,
                st.integers(0, 1),
                st.integers(0, 0xFFFFFFFF),
                st.binary(min_size=32, max_size=32),
                st.binary(min_size=32, max_size=32),
                st.binary(min_size=20, max_size=20),
            ),
            max_size=9,
        ),
        st.integers(0, 200),
    )
    def test_round_trip(self, some: list[SlotLease], cut: int) -> None:
        """What is packed is parsed; what is cut off is left out."""
        places = (some + [FREE_LEASE] * 4)[: max(4, len(some))]
        leases = SlotLeases(tuple(places))
        self.assertEqual(SlotLeases.parse(leases.inline, leases.extra), leases)
        self.assertEqual(extra_count(leases.extra), len(places) - 4)
        short = leases.extra[: max(0, len(leases.extra) - cut)]
        left = max(0, len(short) - 4) // LEASE_SIZE
        found = SlotLeases.parse(leases.inline, short)
        self.assertEqual(found.places, leases.places[: 4 + left])

    @given(st.binary(max_size=1000), st.binary(max_size=1000))
    def test_any_bytes(self, inline: bytes, extra: bytes) -> None:
        """Whatever a disk holds, there are the four first places, and no error."""
        leases = SlotLeases.parse(inline, extra)
        self.assertGreaterEqual(len(leases.places), 4)
        self.assertLessEqual(len(leases.places), 4 + len(extra) // LEASE_SIZE)
        self.assertEqual(parse_leases(extra)[:3], parse_leases(extra[: 3 * LEASE_SIZE])[:3])

    @given(HEADERS, st.lists(SECRETS, max_size=12), st.integers(0, 1 << 31))
    def test_renewal(
        self, header: SlotHeader, all_secrets: list[LeaseSecrets], now: int
    ) -> None:
        """Each secret has one lease, in the first free place; none becomes shorter."""
        leases = SlotLeases()
        for each in [*all_secrets, *all_secrets]:
            leases, place = leases.renewed(header, each, NODE, now)
            assert place is not None
            lease = leases.places[place]
            self.assertEqual(lease.renew, header.stored(each.renew))
            same, again = leases.renewed(header, each, NODE, now - 1000)
            self.assertEqual((same, again), (leases, place))
            longer, _ = leases.renewed(header, each, NODE, now + 5)
            self.assertEqual(longer.places[place].expires, now + 5 + LEASE_DURATION)
        distinct = {each.renew for each in all_secrets}
        self.assertEqual(len(leases.in_use), len(distinct))
        self.assertEqual(len(leases.places), max(4, len(distinct)))

    def test_free_places(self) -> None:
        """A lease that is gone leaves its place to the next one."""
        leases = SlotLeases()
        for number in range(6):
            leases, _ = leases.renewed(HEADER, secrets(number), NODE, 0)
        places = list(leases.places)
        places[2] = FREE_LEASE
        _, place = SlotLeases(tuple(places)).renewed(HEADER, secrets(9), NODE, 0)
        self.assertEqual(place, 2)

    def test_too_many(self) -> None:
        """Of so many leases none is added, until one has expired."""
        full = [
            SlotLease(1, 1000 + number, number.to_bytes(32, "big"), bytes(32), NODE)
            for number in range(MOST_LEASES)
        ]
        leases = SlotLeases(tuple(full))
        new = secrets(MOST_LEASES)
        self.assertEqual(leases.renewed(HEADER, new, NODE, 1000), (leases, None))
        changed, place = leases.renewed(HEADER, new, NODE, 1001)
        self.assertEqual((place, len(changed.places)), (0, MOST_LEASES))

    def test_places(self) -> None:
        """Four are before the share, the others behind their number."""
        header = HEADER.grown(1000)
        found = [place_of_lease(header, place) for place in (0, 3, 4, 5)]
        self.assertEqual(found, [100, 376, 1468 + 4, 1468 + 4 + 92])
