"""
SDMF: a mutable file of one segment, made and read as a whole.

Source: ``docs/formats/mutable.md``, "SDMF share".
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from truckee.codec.hashes import Buffer
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_segment import (
    EncodedSegment,
    StoredBlock,
    decode_segment,
    encode_segment,
)
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion, VersionEncoder


@frozen(eq=False)
class SdmfVersion:
    """A version whose contents are encoded; ``version.sign`` signs it."""

    version: UnsignedVersion
    segments: list[EncodedSegment] = field(repr=False)  # one, or none in an empty file

    def share(self, number: int, signed: SignedVersion) -> bytes:
        """Return the bytes of share *number*; *signed* is ``version``, signed."""
        return signed.share(number, self.segments)


def encode(
    plaintext: Buffer, read_key: bytes, iv: bytes, needed: int, total: int, sequence: int
) -> SdmfVersion:
    """
    Return the version *sequence* that holds *plaintext*, k-of-N.

    *iv* is 16 random bytes, other ones for each version.  This is for a worker thread.

    :raises ValueError: when k and N or the sequence number cannot be.
    """
    geometry = MutableGeometry.sdmf(len(plaintext), needed, total)
    encoder, segments = VersionEncoder(total), []
    if geometry.segments:
        segments.append(encode_segment(plaintext, read_key, iv, geometry))
        encoder.absorb(segments[0])
    return SdmfVersion(encoder.finish(geometry, sequence, iv), segments)


def decode(prefix: Prefix, blocks: Mapping[int, StoredBlock], read_key: bytes) -> bytes:
    """
    Return the contents of a version from k checked blocks, by share number.

    An empty file needs none.  :raises BadShare: :raises ValueError: as ``decode_segment``
    """
    if not prefix.geometry.segments:
        return b""
    return decode_segment(blocks, read_key, 0, prefix.geometry)
