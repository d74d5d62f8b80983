"""The file in which a storage server keeps a share and its leases."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.container import (
    HEADER_SIZE,
    LEASE_DURATION,
    LEASE_SIZE,
    OWNER_OF_ADDED_LEASE,
    OWNER_OF_ALLOCATION,
    ContainerHeader,
    Lease,
    pack_header,
    parse_leases,
    renewed,
)
from truckee.codec.hashes import storage_index_of
from truckee.codec.secrets import LeaseSecrets, lease_secrets

SECRETS = lease_secrets(bytes(range(32)), storage_index_of(bytes(range(16))), b"\x42" * 20)
RENEW = bytes.fromhex("a27ef48400125e5538b6d634bb1433eb0ed9f82a2d70aa9317deceb48ce4a07f")
CANCEL = bytes.fromhex("74a8c1e7c29788c37ca38622a7145474360acbecdda8fe6986f91f80dbf98132")
NOW = 1_700_000_000.9  # seconds

secret = st.binary(min_size=32, max_size=32)
u32 = st.integers(0, 0xFFFFFFFF)
leases = st.builds(Lease, u32, secret, secret, u32)


class ContainerTests(SynchronousTestCase):
    def test_example(self) -> None:
        """A five-byte share and one lease make a container of 89 known bytes."""
        header = pack_header(5, 1)
        lease = ContainerHeader.parse(header).lease(OWNER_OF_ALLOCATION, SECRETS, NOW)
        container = header + b"SHARE" + lease.pack()
        expires = 1_700_000_000 + 2_678_400
        self.assertEqual(
            container.hex(),
            "000000020000000500000001"
            + b"SHARE".hex()
            + "00000000"
            + RENEW.hex()
            + CANCEL.hex()
            + expires.to_bytes(4, "big").hex(),
        )
        self.assertEqual(len(container), 89)

    def test_sizes(self) -> None:
        """Header, lease and duration are those of stock servers."""
        self.assertEqual((HEADER_SIZE, LEASE_SIZE), (12, 72))
        self.assertEqual(LEASE_DURATION, 31 * 86400)
        self.assertEqual((OWNER_OF_ALLOCATION, OWNER_OF_ADDED_LEASE), (0, 1))

    def test_long_share(self) -> None:
        """A length that does not fit its field is written as the largest that does."""
        self.assertEqual(pack_header(1 << 40, 2).hex(), "00000002ffffffff00000002")

    @given(st.lists(leases, max_size=4), u32, st.sampled_from([1, 2]))
    def test_header(self, held: list[Lease], length: int, version: int) -> None:
        """The length is None where the header does not state it."""
        start = b"".join(n.to_bytes(4, "big") for n in (version, length, len(held)))
        stated = None if length in (0, 0xFFFFFFFF) else length
        header = ContainerHeader.parse(start)
        self.assertEqual(header, ContainerHeader(version, len(held), stated))
        self.assertIsNone(ContainerHeader.parse(pack_header(1 << 32, 0)).length)

    def test_broken(self) -> None:
        """Short headers and unknown versions are refused."""
        for data in (
            b"",
            pack_header(5, 1)[:11],
            bytes.fromhex("000000000000000500000001"),
            bytes.fromhex("000000030000000500000001"),
        ):
            self.assertRaises(ValueError, ContainerHeader.parse, data)


class LeaseTests(SynchronousTestCase):
    def test_stored(self) -> None:
        """Version 1 keeps the secrets, version 2 their BLAKE2b hashes of 32 bytes."""
        old = ContainerHeader(1, 1)
        self.assertEqual(old.stored(SECRETS.renew), SECRETS.renew)
        new = ContainerHeader(2, 1)
        self.assertEqual(new.stored(SECRETS.renew), RENEW)
        self.assertEqual(new.stored(SECRETS.cancel), CANCEL)
        self.assertEqual(new.stored(b"x"), blake2b(b"x", digest_size=32).digest())

    def test_new_lease(self) -> None:
        """A lease runs 31 days from now, with the secrets as the container keeps them."""
        secrets = LeaseSecrets(b"r" * 32, b"c" * 32)
        lease = ContainerHeader(1, 0).lease(OWNER_OF_ADDED_LEASE, secrets, NOW)
        self.assertEqual(lease, Lease(1, b"r" * 32, b"c" * 32, 1_702_678_400))

    def test_renewing(self) -> None:
        """Renewing lengthens a lease and never shortens it."""
        lease = Lease(0, RENEW, CANCEL, 1000)
        later = renewed(lease, NOW)
        self.assertEqual(later, Lease(0, RENEW, CANCEL, 1_702_678_400))
        self.assertEqual(renewed(later, NOW - 60), later)

    @given(st.lists(leases, max_size=5))
    def test_round_trip(self, held: list[Lease]) -> None:
        """Leases are read back from their 72 bytes each, in order."""
        packed = b"".join(lease.pack() for lease in held)
        self.assertEqual(len(packed), LEASE_SIZE * len(held))
        self.assertEqual(parse_leases(packed), held)

    def test_not_in_repr(self) -> None:
        """Secrets do not show in a log."""
        self.assertEqual(repr(Lease(0, RENEW, CANCEL, 5)), "Lease(owner=0, expires=5)")
