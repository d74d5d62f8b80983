"""A reader of whole mutable shares, as simple as it can be."""

from __future__ import annotations

from collections.abc import Mapping

from truckee.codec.caps import MutableReadCap
from truckee.codec.mutable_layout import Part
from truckee.codec.mutable_segment import StoredBlock, decode_segment
from truckee.codec.mutable_share import ShareParser, VerifiedShare


def verify(fingerprint: bytes, number: int, share: bytes, first: int = 0) -> VerifiedShare:
    """Return what a share proves to be, read as it asks, after its *first* bytes."""
    parser = ShareParser(number, fingerprint)
    if first:
        parser.feed(0, share[:first], last=first >= len(share))
    for _round in ("header", "rest"):
        for part in parser.wanted():
            data = share[part.offset : part.end]
            parser.feed(part.offset, data, last=len(data) < part.length)
    assert parser.share is not None
    return parser.share


def read_part(share: bytes, part: Part) -> bytes:
    """Return the bytes of a part, or those of it that are there."""
    return share[part.offset : part.end]


def blocks_of(verified: VerifiedShare, share: bytes) -> list[StoredBlock]:
    """Return all blocks of a share, each checked."""
    blocks = []
    for segment in range(verified.header.prefix.geometry.segments):
        rows = [read_part(share, part) for part in verified.tree_parts(segment)]
        verified.add_tree_parts(segment, rows)
        data = read_part(share, verified.block_part(range(segment, segment + 1)))
        blocks.append(verified.check_block(segment, data))
    return blocks


def contents(cap: MutableReadCap, shares: Mapping[int, bytes]) -> bytes:
    """Return what is in a file, from k of its shares."""
    verified = {n: verify(cap.fingerprint, n, share) for n, share in shares.items()}
    prefixes = {each.header.prefix for each in verified.values()}
    assert len(prefixes) == 1
    (prefix,) = prefixes
    blocks = {number: blocks_of(verified[number], shares[number]) for number in shares}
    return b"".join(
        decode_segment(
            {number: each[segment] for number, each in blocks.items()},
            cap.read_key,
            segment,
            prefix.geometry,
        )
        for segment in range(prefix.geometry.segments)
    )
