"""
What the signature of a mutable file covers.

Source: ``docs/formats/mutable.md``, "Prefix".
"""

from __future__ import annotations

from struct import Struct

from attrs import frozen

from truckee.codec.hashes import HASH_SIZE, Buffer
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import SALT_SIZE, MutableGeometry

_SDMF = Struct(">BQ32s16sBBQQ")
_MDMF = Struct(">BQ32sBBQQ")
_KINDS = {0: _SDMF, 1: _MDMF}
CHECK_SIZES = {"SSK": 57, "MDMF": 41}  # bytes that writers test, of each kind
MAX_SEQUENCE = (1 << 64) - 1
MAX_PREFIX_SIZE = _SDMF.size


@frozen
class Prefix:
    """Names one version of a file: a share whose prefix is another is of another one."""

    sequence: int  # 1 for the first version
    root: bytes  # 32 bytes, of the share tree
    geometry: MutableGeometry
    iv: bytes | None = None  # 16 bytes, of SDMF

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.sequence <= MAX_SEQUENCE:
            raise ValueError(f"{self.sequence} is no sequence number")
        if len(self.root) != HASH_SIZE:
            raise ValueError("a root hash has 32 bytes")
        salted = self.geometry.salted
        if (self.iv is None) != salted or len(self.iv or b"") != (
            0 if salted else SALT_SIZE
        ):
            raise ValueError("SDMF has an IV of 16 bytes, MDMF has none")

    @classmethod
    def parse(cls, data: Buffer) -> Prefix:
        """
        Return the prefix that *data* starts with; nothing vouches for it yet.

        :raises BadShare: when *data* is short, or the prefix impossible.
        """
        kind = _KINDS.get(data[0] if len(data) else 0)
        if kind is None:
            raise BadShare(f"version {data[0]} of the format is unknown")
        if len(data) < kind.size:
            raise BadShare("it ends in its prefix")
        _kind, sequence, root, *middle, needed, total, segment_size, size = (
            kind.unpack_from(data)
        )
        try:
            geometry = MutableGeometry(size, needed, total, segment_size, not middle)
        except ValueError as error:
            raise BadShare(f"its prefix is impossible, {error}") from None
        return cls(sequence, root, geometry, *middle)

    def pack(self) -> bytes:
        """Return the bytes that are signed, 75 or 59."""
        cut = self.geometry
        numbers = cut.needed, cut.total, cut.segment_size, cut.size
        if self.iv is None:
            return _MDMF.pack(1, self.sequence, self.root, *numbers)
        return _SDMF.pack(0, self.sequence, self.root, self.iv, *numbers)

    @property
    def format(self) -> str:
        """The kind of file, as in caps: SSK or MDMF."""
        return "MDMF" if self.iv is None else "SSK"

    @property
    def size(self) -> int:
        """Bytes of the prefix."""
        return (_MDMF if self.iv is None else _SDMF).size

    @property
    def checkstring(self) -> bytes:
        """What a writer tests, that nobody else wrote: the first 57 or 41 bytes."""
        return self.pack()[: CHECK_SIZES[self.format]]
