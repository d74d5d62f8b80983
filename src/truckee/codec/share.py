"""
Where the parts of an immutable share stand.  Source: formats, "Share layout".

All offsets count from the start of the share, that is, after the container's header.
"""

from __future__ import annotations

from struct import Struct, error

from attrs import field, frozen

from truckee.codec.geometry import Geometry
from truckee.codec.hashes import HASH_SIZE
from truckee.codec.merkle import CHAIN_ENTRY, chain_numbers, tree_size
from truckee.codec.ueb import MAX_SIZE, pack_ueb

# version, block size, share data size, then the offsets of the data, the (unused)
# plaintext tree, the ciphertext tree, the block tree, the share hash chain, the UEB.
_HEADERS = {1: Struct(">9L"), 2: Struct(">L8Q")}
_UEB_LENGTHS = {1: Struct(">L"), 2: Struct(">Q")}
_V1_LIMIT = 1 << 32

HEADER_SIZE = _HEADERS[2].size  # bytes; enough to read a header of either version


def ueb_size(geometry: Geometry) -> int:
    """Return the bytes of the UEB of a file, which do not depend on its hashes."""
    nothing = bytes(HASH_SIZE)
    return len(pack_ueb(geometry, nothing, nothing, nothing))


@frozen
class ShareLayout:
    """The share that we write for a file of a known size, or once its size is known."""

    version: int  # 1 or 2
    geometry: Geometry
    plaintext_tree_size: int  # bytes, zeros that nobody reads

    @classmethod
    def stock(cls, geometry: Geometry) -> ShareLayout:
        """Return the layout that stock writers choose, byte for byte."""
        layout = cls(1, geometry, tree_size(geometry.segments))
        fits = max(geometry.share_data_size, layout.ueb) < _V1_LIMIT
        return layout if fits else cls(2, geometry, layout.plaintext_tree_size)

    @classmethod
    def streamed(cls, geometry: Geometry) -> ShareLayout:
        """Return the layout of a share whose data began before its size was known."""
        return cls(2, geometry, 0)

    @staticmethod
    def streamed_data_offset() -> int:
        """Return where the data of a streamed share starts, whatever its size."""
        return _HEADERS[2].size

    @property
    def data(self) -> int:
        """Offset of the first block."""
        return _HEADERS[self.version].size

    @property
    def crypttext_tree(self) -> int:
        """Offset of the ciphertext tree."""
        return self.data + self.geometry.share_data_size + self.plaintext_tree_size

    @property
    def block_tree(self) -> int:
        """Offset of this share's block tree."""
        return self.crypttext_tree + tree_size(self.geometry.segments)

    @property
    def chain(self) -> int:
        """Offset of the share hash chain."""
        return self.block_tree + tree_size(self.geometry.segments)

    @property
    def ueb(self) -> int:
        """Offset of the UEB's length field."""
        return self.chain + CHAIN_ENTRY.size * len(chain_numbers(0, self.geometry.total))

    @property
    def size(self) -> int:
        """Bytes of the whole share."""
        return self.ueb + _UEB_LENGTHS[self.version].size + ueb_size(self.geometry)

    def block(self, segment: int) -> int:
        """Return the offset of the block of *segment*."""
        return self.data + segment * self.geometry.block_size

    def pack_header(self) -> bytes:
        """Return the first bytes of the share."""
        return _HEADERS[self.version].pack(
            self.version,
            self.geometry.block_size,
            self.geometry.share_data_size,
            self.data,
            self.data + self.geometry.share_data_size,
            self.crypttext_tree,
            self.block_tree,
            self.chain,
            self.ueb,
        )

    def pack_ueb_length(self, length: int) -> bytes:
        """Return the field in front of the UEB."""
        return _UEB_LENGTHS[self.version].pack(length)


class UnknownVersion(ValueError):
    """The share may be good, for somebody who knows its kind."""


@frozen
class ShareOffsets:
    """Where the parts of somebody's share stand, as its header says."""

    data: int
    crypttext_tree: int
    block_tree: int
    chain: int
    ueb: int  # of the length field
    _length: Struct = field(repr=False)

    @classmethod
    def parse(cls, header: bytes, geometry_total: int) -> ShareOffsets:
        """
        Read a header; bytes after it are ignored.

        :raises UnknownVersion: :raises ValueError: when the header is short, or the hash
            chain between the parts cannot be one of N = *geometry_total* shares.
        """
        if len(header) < 4:
            raise ValueError("the share header is too short")
        version = int.from_bytes(header[:4], "big")
        if version not in _HEADERS:
            raise UnknownVersion(f"share version {version} is unknown")
        try:
            fields = _HEADERS[version].unpack_from(header)
        except error:
            raise ValueError("the share header is too short") from None
        # Sizes and the plaintext tree's offset may hold anything: nobody reads them.
        data, _plain, crypttext, blocks, chain, ueb = fields[3:]
        # Some writers keep the whole share tree, none keeps more.
        longest = CHAIN_ENTRY.size * 4 * geometry_total
        if not 0 < ueb - chain <= longest or (ueb - chain) % CHAIN_ENTRY.size:
            raise ValueError("the share hash chain has an impossible length")
        return cls(data, crypttext, blocks, chain, ueb, _UEB_LENGTHS[version])

    @property
    def ueb_length(self) -> tuple[int, int]:
        """Offset and length of the field that says how long the UEB is."""
        return self.ueb, self._length.size

    def end(self, ueb_length: bytes) -> int:
        """
        Return where the share ends at the earliest, given that field.

        :raises ValueError: when it is not whole or says what cannot be.
        """
        if len(ueb_length) != self._length.size:
            raise ValueError("the share ends before its UEB")
        (length,) = self._length.unpack(ueb_length)
        if not 0 < length <= MAX_SIZE:
            raise ValueError("the UEB has an impossible length")
        return self.ueb + self._length.size + int(length)

    @property
    def proof(self) -> tuple[int, int]:
        """Offset and length of the read that holds the chain and the UEB."""
        return self.chain, self.ueb - self.chain + self._length.size + MAX_SIZE

    def split_proof(self, read: bytes) -> tuple[bytes, bytes]:
        """
        Return the chain and the UEB from the bytes of the ``proof`` read.

        :raises ValueError: when one of them is not whole.
        """
        start = self.ueb - self.chain + self._length.size
        if len(read) < start:
            raise ValueError("the share ends before its UEB")
        (length,) = self._length.unpack_from(read, start - self._length.size)
        if not 0 < length <= min(MAX_SIZE, len(read) - start):
            raise ValueError("the UEB has an impossible length")
        return read[: self.ueb - self.chain], read[start : start + length]
