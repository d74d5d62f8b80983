"""
The file in which a storage server keeps one immutable share.

Source: formats, "Container" and "Leases".
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from attrs import evolve, field, frozen

from truckee.codec.secrets import LeaseSecrets

_HEADER = Struct(">LLL")  # container version, informational length, number of leases
_LEASE = Struct(">L32s32sL")  # owner, renew secret, cancel secret, expiration

HEADER_SIZE = _HEADER.size
LEASE_COUNT_AT = 8  # offset in the header
LEASE_SIZE = _LEASE.size
LEASE_DURATION = 31 * 24 * 60 * 60  # seconds

# The most leases one share has.  Each gateway has one on a share that it uses; whoever adds
# more would make every later renewal read them all.
MOST_LEASES = 512

# What the header states of a share that is as long, or longer.
_SATURATED = 0xFFFFFFFF

OWNER_OF_ALLOCATION = 0
OWNER_OF_ADDED_LEASE = 1


@frozen
class Lease:
    """A promise to keep a share until *expires*; secrets as they stand in the file."""

    owner: int
    renew: bytes = field(repr=False)  # 32 bytes
    cancel: bytes = field(repr=False)  # 32 bytes
    expires: int  # Unix seconds

    @property
    def blank(self) -> bool:
        """Whether it is a record that was never written, of a file that was extended."""
        return not self.expires and not any(self.renew)

    def pack(self) -> bytes:
        """Return the 72 bytes of this lease."""
        return _LEASE.pack(self.owner, self.renew, self.cancel, self.expires)


@frozen
class ContainerHeader:
    """The first 12 bytes of the file."""

    version: int  # 1: secrets in the clear, 2: hashed; only 2 is written
    leases: int  # as counted; see lease_area
    length: int | None = None  # bytes of the share, None where it is not stated

    @classmethod
    def parse(cls, data: bytes) -> ContainerHeader:
        """:raises ValueError: for a short header or an unknown version."""
        if len(data) < HEADER_SIZE:
            raise ValueError("the container is shorter than its header")
        version, length, leases = _HEADER.unpack_from(data)
        if version not in (1, 2):
            raise ValueError(f"container version {version} is unknown")
        return cls(version, leases, length if 0 < length < _SATURATED else None)

    def stored(self, secret: bytes) -> bytes:
        """Return *secret* as a lease in this container holds it."""
        return secret if self.version == 1 else blake2b(secret, digest_size=32).digest()

    def lease(self, owner: int, secrets: LeaseSecrets, now: float) -> Lease:
        """Return a new lease that runs from *now*, Unix seconds."""
        return Lease(
            owner,
            self.stored(secrets.renew),
            self.stored(secrets.cancel),
            int(now) + LEASE_DURATION,
        )


def pack_lease_count(leases: int) -> bytes:
    """Return what stands at ``LEASE_COUNT_AT``."""
    return leases.to_bytes(4, "big")


def pack_header(share_length: int, leases: int) -> bytes:
    """Return the first 12 bytes of a container of version 2."""
    return _HEADER.pack(2, min(_SATURATED, share_length), leases)


def parse_leases(data: bytes) -> list[Lease]:
    """Return the leases in the last bytes of a container."""
    return [Lease(*fields) for fields in _LEASE.iter_unpack(data)]


def renewed(lease: Lease, now: float) -> Lease:
    """Return *lease* running from *now*; it never becomes shorter."""
    return evolve(lease, expires=max(lease.expires, int(now) + LEASE_DURATION))
