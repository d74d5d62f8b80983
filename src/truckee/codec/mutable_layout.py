"""
Where the parts of a mutable share stand.

Source: ``docs/formats/mutable.md``, "SDMF share" and "MDMF share".  Offsets count from the
start of the share.  Nothing vouches for them: whoever follows one checks what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise, starmap
from struct import Struct

from attrs import frozen

from truckee.codec.hashes import Buffer
from truckee.codec.merkle import CHAIN_ENTRY, tree_size, width_of
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.rsa_keys import MAX_PRIVATE_KEY_SIZE, MAX_PUBLIC_KEY_SIZE, SIGNATURE_SIZE
from truckee.codec.slot_container import MAX_SHARE_SIZE

_SDMF_OFFSETS = Struct(">4L2Q")
_MDMF_OFFSETS = Struct(">8Q")
MDMF_DATA_OFFSET = 2167  # where stock writers and we put the first salt
_SPARE_ENTRIES = 2  # of a chain, which nobody needs: its own leaf and the root

SDMF_HEADER_SIZE = 107  # bytes
HEADER_SIZE = 123  # bytes of MDMF's header; enough to read one of either kind


@frozen
class Part:
    """Some bytes of a share."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind them."""
        return self.offset + self.length

    def cut(self, data: Buffer, offset: int = 0) -> memoryview | None:
        """Return them from *data*, which was read at *offset*; None: not all are there."""
        start = self.offset - offset
        if start < 0 or start + self.length > len(data):
            return None
        return memoryview(data)[start : start + self.length]


def chain_size(total: int) -> int:
    """Return the bytes of the chain that a share of a file with N = *total* has."""
    return CHAIN_ENTRY.size * (width_of(total).bit_length() - 1)


@frozen
class MutableLayout:
    """The parts of one share, as its header says or as they are to be written."""

    public_key: Part
    signature: Part
    chain: Part
    block_tree: Part
    data: Part  # salts and blocks
    private_key: Part  # encrypted
    end: int

    @classmethod
    def planned(
        cls, geometry: MutableGeometry, public_key: int, private_key: int
    ) -> MutableLayout:
        """
        Return the layout that writers choose, given the bytes of both keys.

        :raises ValueError: when the keys are too long for it.
        """
        chain, tree = chain_size(geometry.total), tree_size(geometry.leaves)
        if not geometry.salted:
            parts = public_key, SIGNATURE_SIZE, chain, tree, geometry.data_size, private_key
            return cls._of_sdmf([*accumulate(parts, initial=SDMF_HEADER_SIZE)][1:])
        sizes = private_key, chain, SIGNATURE_SIZE, public_key
        head = [*accumulate(sizes, initial=HEADER_SIZE)]
        if head[-1] > MDMF_DATA_OFFSET:
            raise ValueError("the keys of this file are too long for MDMF")
        behind = accumulate((geometry.data_size, tree), initial=MDMF_DATA_OFFSET)
        return cls._of_mdmf([*head, *behind])

    @classmethod
    def parse(cls, prefix: Prefix, header: Buffer) -> MutableLayout:
        """
        Return where the parts of a share stand that begins with *header*.

        :raises BadShare: when it is short, or says what cannot be.
        """
        salted = prefix.geometry.salted
        kind = _MDMF_OFFSETS if salted else _SDMF_OFFSETS
        if len(header) < prefix.size + kind.size:
            raise BadShare("it ends in its header")
        offsets = kind.unpack_from(header, prefix.size)
        # Ascending parts cannot overlap.
        if any(a > b for a, b in pairwise((prefix.size + kind.size, *offsets))):
            raise BadShare("its offsets are out of order")
        layout = cls._of_mdmf(offsets) if salted else cls._of_sdmf(offsets)
        layout._check(prefix.geometry)
        return layout

    @classmethod
    def _of_sdmf(cls, at: Sequence[int]) -> MutableLayout:
        way = pairwise((SDMF_HEADER_SIZE, *at))
        key, signature, chain, tree, data, private = starmap(_between, way)
        return cls(key, signature, chain, tree, data, private, at[-1])

    @classmethod
    def _of_mdmf(cls, at: Sequence[int]) -> MutableLayout:
        private, chain, signature, key, _gap, data, tree = starmap(_between, pairwise(at))
        return cls(key, signature, chain, tree, data, private, at[-1])

    def _check(self, geometry: MutableGeometry) -> None:
        chain, tree = chain_size(geometry.total), tree_size(geometry.leaves)
        spare = CHAIN_ENTRY.size * _SPARE_ENTRIES
        for name, part, least, most in (
            ("public key", self.public_key, 1, MAX_PUBLIC_KEY_SIZE),
            ("signature", self.signature, SIGNATURE_SIZE, SIGNATURE_SIZE),
            ("share hash chain", self.chain, chain, chain + spare),
            ("block tree", self.block_tree, tree, tree),
            ("data", self.data, geometry.data_size, MAX_SHARE_SIZE),
            ("private key", self.private_key, 1, MAX_PRIVATE_KEY_SIZE),
        ):
            if not least <= part.length <= most:
                raise BadShare(f"its {name} cannot have {part.length} bytes")
        if self.chain.length % CHAIN_ENTRY.size:
            raise BadShare("its share hash chain has a broken entry")
        if self.end > MAX_SHARE_SIZE:
            raise BadShare(f"it cannot have {self.end} bytes")

    def pack(self, salted: bool) -> bytes:
        """Return the offsets as they stand behind the prefix, of MDMF if *salted*."""
        if salted:
            return _MDMF_OFFSETS.pack(
                self.private_key.offset,
                self.chain.offset,
                self.signature.offset,
                self.public_key.offset,
                self.public_key.end,
                self.data.offset,
                self.block_tree.offset,
                self.end,
            )
        return _SDMF_OFFSETS.pack(
            self.signature.offset,
            self.chain.offset,
            self.block_tree.offset,
            self.data.offset,
            self.private_key.offset,
            self.end,
        )


@frozen
class ShareHeader:
    """How a share begins.  Shares of one version by one writer have equal ones."""

    prefix: Prefix
    layout: MutableLayout

    @classmethod
    def parse(cls, data: Buffer) -> ShareHeader:
        """Return the header *data* starts with; 123 bytes suffice.  :raises BadShare:"""
        prefix = Prefix.parse(data)
        return cls(prefix, MutableLayout.parse(prefix, data))

    def pack(self) -> bytes:
        """Return the first bytes of the share, 107 or 123."""
        return self.prefix.pack() + self.layout.pack(self.prefix.geometry.salted)


def _between(start: int, end: int) -> Part:
    return Part(start, end - start)
