"""
A share of a mutable file, verified as it is read.

Source: ``docs/formats/mutable.md``, "What a reader checks".
"""

from __future__ import annotations

from functools import lru_cache

from attrs import define, field, frozen

from truckee.codec.hashes import HASH_SIZE, Buffer, block_hash
from truckee.codec.merkle import CHAIN_ENTRY, PagedTree, check_chain, check_top, width_of
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MAX_TREES_SIZE, SALT_SIZE, TooManySegments
from truckee.codec.mutable_layout import HEADER_SIZE, Part, ShareHeader
from truckee.codec.mutable_secrets import fingerprint_of
from truckee.codec.mutable_segment import StoredBlock
from truckee.codec.rsa_keys import VerifyingKey


@frozen(eq=False)
class VerifiedShare:
    """
    A share that belongs to a version which the owner of the file signed.

    Its blocks are not verified yet.
    """

    number: int
    header: ShareHeader
    public_key: bytes = field(repr=False)  # DER
    signature: bytes = field(repr=False)
    blocks: PagedTree  # leaves: the hashes of this share's blocks and salts

    def tree_parts(self, segment: int) -> list[Part]:
        """Return the parts of the block tree to read before a block of *segment*."""
        start = self.header.layout.block_tree.offset
        return [Part(start + at, length) for at, length in self.blocks.missing(segment)]

    def add_tree_parts(self, segment: int, rows: list[bytes]) -> None:
        """Take what ``tree_parts`` asked for, in its order.  :raises BadShare:"""
        try:
            self.blocks.add(segment, rows)
        except ValueError as error:
            raise BadShare(str(error)) from None

    def block_part(self, segments: range) -> Part:
        """
        Return where the blocks of adjacent *segments* are, with their salts.

        :raises SegmentTooLarge: when reading segments of this size takes too much memory.
        """
        cut = self.header.prefix.geometry
        cut.check_readable()
        offset = cut.block_offset(segments.start)
        length = cut.block_offset(segments.stop) - offset
        return Part(self.header.layout.data.offset + offset, length)

    def check_block(self, segment: int, data: Buffer) -> StoredBlock:
        """
        Return the block of *segment* from what was read of it, its salt included.

        :raises BadShare: when it is another one.  :raises KeyError: when ``tree_parts``
            were not read before.
        """
        prefix = self.header.prefix
        leaf = self.blocks.leaf(segment)
        view = memoryview(data)
        if len(view) != self.block_part(range(segment, segment + 1)).length:
            raise BadShare(f"it ends in its block of segment {segment}")
        if block_hash(view) != leaf:
            raise BadShare(f"its block of segment {segment} is damaged")
        if prefix.iv is not None:
            return StoredBlock(prefix.iv, view)
        return StoredBlock(bytes(view[:SALT_SIZE]), view[SALT_SIZE:])

    def whole_tree(self) -> Part:
        """Return where the whole block tree is.  :raises TooManySegments: for memory"""
        part = self.header.layout.block_tree
        if part.length > MAX_TREES_SIZE:
            raise TooManySegments(self.header.prefix.geometry.segments)
        return part

    def check_tree(self, packed: Buffer) -> None:
        """Check what was read of ``whole_tree``, each node of it.  :raises BadShare:"""
        if len(packed) != self.header.layout.block_tree.length:
            raise BadShare("it ends in its block tree")
        try:
            check_top(packed, self.blocks.root)
        except ValueError as error:
            raise BadShare(str(error)) from None


# What ``ShareParser`` reads, in the order in which messages name it.
_HEADER, _KEY, _SIGNATURE, _CHAIN, _ROOT = (
    "header",
    "public key",
    "signature",
    "share hash chain",
    "block tree",
)


@define(eq=False)
class ShareParser:
    """
    Read one share until it is verified: ask what is ``wanted``, ``feed`` it, in any pieces.

    It keeps at most 2 KiB, whatever it is fed.
    """

    number: int  # of the share, 0..N-1
    fingerprint: bytes  # of the public key, from the cap
    header: ShareHeader | None = field(default=None, init=False)
    share: VerifiedShare | None = field(default=None, init=False)  # once nothing is wanted
    _parts: dict[str, Part] = field(init=False, repr=False)
    _read: dict[str, bytearray] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._parts = {_HEADER: Part(0, HEADER_SIZE)}

    def wanted(self) -> list[Part]:
        """Return what is still to be read, to the end of the share if that is before."""
        return [rest for rest in map(self._rest, self._parts) if rest.length]

    def feed(self, offset: int, data: Buffer, last: bool = False) -> None:
        """
        Take *data*, which the share has at *offset*; *last*: nothing comes behind it.

        What is not wanted now is passed over.

        :raises BadShare: or BadPublicKey: then this share is of no use.
        """
        if self.share is not None:
            return
        self._take(offset, data)
        if self.header is None and not self._rest(_HEADER).length:
            self._begin()
            # The key of SDMF begins within what was read as the header.
            self._take(0, self._read[_HEADER])
            self._take(offset, data)
        end = offset + len(data)
        for name in self._parts:
            rest = self._rest(name)
            if last and rest.length and rest.end > end:
                raise BadShare(f"it ends in its {name}")
        if self.header is not None and not self.wanted():
            self.share = self._verify(self.header)

    def _rest(self, name: str) -> Part:
        part, got = self._parts[name], len(self._read.get(name, b""))
        return Part(part.offset + got, part.length - got)

    def _take(self, offset: int, data: Buffer) -> None:
        view = memoryview(data)
        for name in self._parts:
            rest = self._rest(name)
            start = rest.offset - offset
            if rest.length and 0 <= start < len(view):
                piece = view[start : start + rest.length]
                self._read.setdefault(name, bytearray()).extend(piece)

    def _begin(self) -> None:
        header = ShareHeader.parse(self._read[_HEADER])
        if not 0 <= self.number < header.prefix.geometry.total:
            raise BadShare(f"the file has no share {self.number}")
        layout = header.layout
        self.header = header
        self._parts = {
            _KEY: layout.public_key,
            _SIGNATURE: layout.signature,
            _CHAIN: layout.chain,
            _ROOT: Part(layout.block_tree.offset, HASH_SIZE),
        }

    def _verify(self, header: ShareHeader) -> VerifiedShare:
        prefix = header.prefix
        read = {name: bytes(self._read.get(name, b"")) for name in self._parts}
        if fingerprint_of(read[_KEY]) != self.fingerprint:
            raise BadShare("its public key is not the one that the cap names")
        if not _is_signed(read[_KEY], read[_SIGNATURE], prefix.pack()):
            raise BadShare("its signature is not that of its owner")
        total, root = prefix.geometry.total, read[_ROOT]
        leaf = CHAIN_ENTRY.pack(width_of(total) - 1 + self.number, root)
        try:
            # Entries of others are passed over, but not another hash for the leaf.
            check_chain(leaf + read[_CHAIN], self.number, total, prefix.root)
        except ValueError as error:
            raise BadShare(str(error)) from None
        tree = PagedTree(root, prefix.geometry.leaves)
        return VerifiedShare(self.number, header, read[_KEY], read[_SIGNATURE], tree)


# The shares of a version have equal ones, and its readers come again.
@lru_cache(maxsize=256)
def _is_signed(public_key: bytes, signature: bytes, prefix: bytes) -> bool:
    return VerifyingKey.parse(public_key).is_signature(signature, prefix)
