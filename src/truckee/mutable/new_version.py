"""
A new version of a mutable file that is in memory as a whole.

Encrypting, coding and signing are for a worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from truckee.codec.caps import MutableWriteCap
from truckee.codec.hashes import HASH_SIZE, Buffer
from truckee.codec.merkle import PagedTree
from truckee.codec.mutable_geometry import SALT_SIZE, MutableGeometry
from truckee.codec.mutable_layout import MutableLayout
from truckee.codec.mutable_secrets import write_key_of
from truckee.codec.mutable_segment import LONG, EncodedSegment, encode_segment
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.mutable_version import SignedVersion, VersionEncoder
from truckee.codec.rsa_keys import SigningKey
from truckee.mutable.write_errors import WrongKey
from truckee.storage.interfaces import SlotWrite


@frozen
class VersionSpec:
    """Which version is to be written."""

    cap: MutableWriteCap
    key: SigningKey = field(repr=False)
    sequence: int
    format: str  # SSK or MDMF
    needed: int  # k
    total: int  # N

    def geometry(self, size: int) -> MutableGeometry:
        """Return how it is cut when the file has *size* bytes."""
        make = MutableGeometry.mdmf if self.format == "MDMF" else MutableGeometry.sdmf
        return make(size, self.needed, self.total)

    def share_size(self, size: int) -> int:
        """Return the bytes of each share then."""
        public, private = len(self.key.verifying_key.der), len(self.key.der)
        return MutableLayout.planned(self.geometry(size), public, private).end

    def check_key(self) -> None:
        """:raises WrongKey: when the key is not that of the file."""
        if write_key_of(self.key.der) != self.cap.write_key:
            raise WrongKey


@frozen(eq=False)
class NewVersion:
    """A version, signed, and all its blocks."""

    signed: SignedVersion
    _segments: Sequence[EncodedSegment] = field(repr=False)

    @property
    def is_long(self) -> bool:
        """Whether ``writes`` is for a worker thread."""
        return self.signed.header.prefix.geometry.segment_size >= LONG

    def writes(self, number: int) -> list[SlotWrite]:
        """Return what makes up share *number*, all but the gap of MDMF."""
        parts = [SlotWrite(at, data) for at, data in self.signed.writes(number)]
        if self._segments:
            start = self.signed.header.layout.data.offset
            parts.append(SlotWrite(start, blocks_of(self._segments, number, self._salted)))
        return parts

    @property
    def _salted(self) -> bool:
        return self.signed.header.prefix.geometry.salted


def blocks_of(segments: Sequence[EncodedSegment], number: int, salted: bool) -> Buffer:
    """Return the blocks of adjacent *segments* as share *number* has them."""
    if not salted and len(segments) == 1:
        return segments[0].blocks[number]
    pieces: list[Buffer] = []
    for each in segments:
        pieces += [each.salt, each.blocks[number]]
    return b"".join(pieces)


def share_of(signed: SignedVersion, number: int) -> VerifiedShare:
    """Return share *number* as one who reads it from a server would know it."""
    tree = signed.version.block_trees[number]
    leaves = signed.header.prefix.geometry.leaves
    return VerifiedShare(
        number,
        signed.header,
        signed.public_key,
        signed.signature,
        PagedTree(tree[:HASH_SIZE], leaves),
    )


def salts_needed(geometry: MutableGeometry) -> int:
    """Return the random bytes that a version takes: an IV, or a salt for each segment."""
    return SALT_SIZE * (geometry.segments if geometry.salted else 1)


def encode(content: Buffer, spec: VersionSpec, salts: bytes) -> NewVersion:
    """
    Return the version with this *content*; ``salts_needed`` random bytes are *salts*.

    :raises WrongKey: :raises BadPrivateKey: when its signatures are not good
    """
    spec.check_key()
    geometry = spec.geometry(len(content))
    view, read_key = memoryview(content), spec.cap.read_cap().read_key
    encoder, segments = VersionEncoder(geometry.total), []
    for number in range(geometry.segments):
        start = number * geometry.segment_size
        piece = view[start : start + geometry.segment_size]
        salt = salts[number * SALT_SIZE :][:SALT_SIZE]
        segments.append(encode_segment(piece, read_key, salt, geometry))
        encoder.absorb(segments[-1])
    iv = None if geometry.salted else salts
    version = encoder.finish(geometry, spec.sequence, iv)
    return NewVersion(version.sign(spec.key, spec.cap.write_key), segments)
