"""
The file in which a storage server keeps one share of a mutable file.

Source: ``docs/formats/slots.md``, "Container".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

from attrs import evolve, field, frozen

from truckee.codec.container import LEASE_DURATION, MOST_LEASES
from truckee.codec.secrets import LeaseSecrets

_HEADER = Struct(">32s20s32sQQ")  # magic, node id, write enabler, length, extra offset
_LEASE = Struct(">LL32s32s20s")  # owner, expiration, renew, cancel, node id
_COUNT = Struct(">L")  # of extra leases
_SIZES = Struct(">QQ")  # length, extra offset: the last ones of the header

HEADER_SIZE = _HEADER.size
SIZES_OFFSET = HEADER_SIZE - _SIZES.size
LEASE_SIZE = _LEASE.size
COUNT_SIZE = _COUNT.size
WRITE_ENABLER_SIZE = 32
INLINE_LEASES = 4
DATA_OFFSET = HEADER_SIZE + INLINE_LEASES * LEASE_SIZE  # 468
MAX_SHARE_SIZE = 69_105_000_000_000_000  # bytes; what stock servers admit

_MAGIC = {
    1: b"Tahoe mutable container v1\n" + bytes.fromhex("750944038e"),
    2: b"Tahoe mutable container v2\n" + bytes.fromhex("c355219925"),
}
_FREE, _IN_USE = 0, 1


@frozen
class SlotLease:
    """A promise to keep a share until *expires*; secrets as they stand in the file."""

    owner: int  # 0: this place in the file is free
    expires: int  # Unix seconds
    renew: bytes = field(repr=False)  # 32 bytes
    cancel: bytes = field(repr=False)  # 32 bytes
    node_id: bytes  # 20 bytes, of the server that accepted the secrets

    def pack(self) -> bytes:
        """Return the 92 bytes of this lease."""
        return _LEASE.pack(self.owner, self.expires, self.renew, self.cancel, self.node_id)


FREE_LEASE = SlotLease(_FREE, 0, bytes(32), bytes(32), bytes(20))


def parse_leases(data: bytes) -> list[SlotLease]:
    """Return the leases in *data*; a part of one at its end is left out."""
    whole = len(data) - len(data) % LEASE_SIZE
    return [SlotLease(*fields) for fields in _LEASE.iter_unpack(data[:whole])]


@frozen
class SlotHeader:
    """The first 100 bytes of the file."""

    version: int  # 1: lease secrets in the clear, 2: hashed
    node_id: bytes  # 20 bytes, of the server that accepted the write enabler
    write_enabler: bytes = field(repr=False)  # 32 bytes, in the clear
    length: int = 0  # bytes of the share
    extra_offset: int = DATA_OFFSET  # in the file, of the number of extra leases

    @classmethod
    def parse(cls, data: bytes) -> SlotHeader:
        """:raises ValueError: when this is no container, or its numbers contradict."""
        if len(data) < HEADER_SIZE:
            raise ValueError("the container is shorter than its header")
        magic, node_id, write_enabler, length, extra = _HEADER.unpack_from(data)
        version = _VERSIONS.get(magic)
        if version is None:
            raise ValueError("it is no container of a mutable share")
        if (
            length > MAX_SHARE_SIZE
            or not 0 <= extra - DATA_OFFSET - length <= MAX_SHARE_SIZE
        ):
            raise ValueError("the length and the place of the leases contradict each other")
        return cls(version, node_id, write_enabler, length, extra)

    def pack(self) -> bytes:
        """Return the first 100 bytes of the file."""
        return _HEADER.pack(
            _MAGIC[self.version],
            self.node_id,
            self.write_enabler,
            self.length,
            self.extra_offset,
        )

    def pack_sizes(self) -> bytes:
        """Return the last 16 bytes of them, which alone change when a share grows."""
        return _SIZES.pack(self.length, self.extra_offset)

    @property
    def capacity(self) -> int:
        """The bytes between the header and the extra leases; the share uses the first."""
        return self.extra_offset - DATA_OFFSET

    def stored(self, secret: bytes) -> bytes:
        """Return *secret* as a lease in this container holds it."""
        return secret if self.version == 1 else blake2b(secret, digest_size=32).digest()

    def grown(self, end: int) -> SlotHeader:
        """Return the header after a write that ends at byte *end* of the share."""
        return evolve(
            self,
            length=max(self.length, end),
            extra_offset=max(self.extra_offset, DATA_OFFSET + end),
        )

    def widened(self, capacity: int) -> SlotHeader:
        """Return the header with room for a share of *capacity* bytes, or more."""
        return evolve(self, extra_offset=max(self.extra_offset, DATA_OFFSET + capacity))

    def cut(self, length: int) -> SlotHeader:
        """Return the header of a share of at most *length* bytes; the file stays."""
        return evolve(self, length=min(self.length, length))


_VERSIONS = {magic: version for version, magic in _MAGIC.items()}


def is_slot(data: bytes) -> bool:
    """Tell whether a file that begins with *data* is a container of a mutable share."""
    return data[:32] in _VERSIONS


@frozen
class SlotLeases:
    """All places for leases in one file: four before the share, the others behind it."""

    places: tuple[SlotLease, ...] = (FREE_LEASE,) * INLINE_LEASES

    @classmethod
    def parse(cls, inline: bytes, extra: bytes) -> SlotLeases:
        """
        Return the leases in what is at 100 and at the extra offset of a file.

        What is missing of them, as a broken write leaves it, is free.
        """
        first = parse_leases(inline)[:INLINE_LEASES]
        first += [FREE_LEASE] * (INLINE_LEASES - len(first))
        count = extra_count(extra)
        behind = extra[COUNT_SIZE : COUNT_SIZE + count * LEASE_SIZE]
        return cls((*first, *parse_leases(behind)))

    @property
    def inline(self) -> bytes:
        """What stands before the share."""
        return b"".join(lease.pack() for lease in self.places[:INLINE_LEASES])

    @property
    def extra(self) -> bytes:
        """What stands behind the share, with its number."""
        behind = self.places[INLINE_LEASES:]
        return _COUNT.pack(len(behind)) + b"".join(lease.pack() for lease in behind)

    @property
    def in_use(self) -> Sequence[SlotLease]:
        """The leases, without the free places."""
        return [lease for lease in self.places if lease.owner != _FREE]

    def renewed(
        self, header: SlotHeader, secrets: LeaseSecrets, node_id: bytes, now: float
    ) -> tuple[SlotLeases, int | None]:
        """
        Return them with the lease of *secrets* running from *now*, and its place.

        It is added when there is none; no place: there are too many to add one.  A lease
        never becomes shorter.
        """
        expires = int(now) + LEASE_DURATION
        renew = header.stored(secrets.renew)
        for place, lease in enumerate(self.places):
            if lease.owner != _FREE and lease.renew == renew:
                longer = evolve(lease, expires=max(lease.expires, expires))
                return self._with(place, longer), place
        new = SlotLease(_IN_USE, expires, renew, header.stored(secrets.cancel), node_id)
        free = (place for place, each in enumerate(self.places) if each.owner == _FREE)
        place = next(free, len(self.places))
        if place >= MOST_LEASES:
            over = (place for place, each in enumerate(self.places) if each.expires < now)
            place = next(over, -1)
            if place < 0:
                return self, None
        return self._with(place, new), place

    def _with(self, place: int, lease: SlotLease) -> SlotLeases:
        return SlotLeases((*self.places[:place], lease, *self.places[place + 1 :]))


def extra_count(data: bytes) -> int:
    """Return how many extra leases *data* says that follow; 0 when it is cut off."""
    if len(data) < COUNT_SIZE:
        return 0
    (count,) = _COUNT.unpack_from(data)
    return int(count)


def place_of_lease(header: SlotHeader, place: int) -> int:
    """Return where in the file a lease stands."""
    if place < INLINE_LEASES:
        return HEADER_SIZE + place * LEASE_SIZE
    behind = place - INLINE_LEASES
    return header.extra_offset + COUNT_SIZE + behind * LEASE_SIZE
