"""Random segments, coded by the extension and by the libraries that it stands in for."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import zfec

from truckee.codec import erasure, speed
from truckee.codec.encoder import FileEncoder, encode_segment
from truckee.codec.geometry import round_up
from truckee.codec.hashes import (
    CRYPTTEXT,
    TaggedHasher,
    block_hash,
    node_hash,
    segment_and_block_hashes,
    segment_hash,
)
from truckee.codec.merkle import pair_up

# The largest segment, and how likely sizes up to it are.
_SIZES = ((80, 6), (700, 6), (9000, 3), (70_000, 1))  # bytes


def wrong_of(random: Random) -> list[str]:
    """Return what is wrong with the coding of one random file of a few segments."""
    sizes, weights = zip(*_SIZES, strict=True)
    total = random.choice(
        (*[random.randint(1, 12)] * 20, *[random.randint(1, 40)] * 9, 256)
    )
    needed = random.randint(1, total)
    largest = random.choices(sizes, weights)[0] if total < 41 else 700
    encoder, flat = FileEncoder(bytes(16), needed, total), TaggedHasher(CRYPTTEXT)
    wrong: list[str] = []
    size = round_up(random.randint(1, largest), needed)
    for length in (*[size] * random.randint(0, 2), random.randint(1, size)):
        segment = bytearray(random.randbytes(length))
        case = f"{len(segment)} bytes, {needed} of {total}"
        blocks = _blocks_of(segment, needed, total)
        coded = encode_segment(segment, needed, total)
        flat.update(segment)
        digest = encoder.absorb(segment, coded)
        if [bytes(block) for block in coded.blocks] != blocks:
            wrong.append(f"{case}: blocks")
        if coded.block_hashes != [block_hash(block) for block in blocks]:
            wrong.append(f"{case}: block hashes")
        if digest != segment_hash(segment):
            wrong.append(f"{case}: the segment's hash")
        if not _comes_back(segment, blocks, needed, random):
            wrong.append(f"{case}: decoding")
    if b"crypttext_hash:32:" + flat.digest() not in encoder.finish(size).ueb:
        wrong.append(f"{case}: the flat hash")
    row = random.randbytes(64 * random.randint(0, 5))
    pairs = [row[at : at + 64] for at in range(0, len(row), 64)]
    if pair_up(row) != b"".join(node_hash(pair[:32], pair[32:]) for pair in pairs):
        wrong.append(f"a row of {len(row)} bytes")
    return wrong


_encoder = lru_cache(maxsize=256)(zfec.Encoder)


def _blocks_of(segment: bytearray, needed: int, total: int) -> list[bytes]:
    """Return the blocks that zfec makes."""
    size = -(-len(segment) // needed)
    padded = bytes(segment).ljust(size * needed, b"\0")
    primary = [padded[i * size : (i + 1) * size] for i in range(needed)]
    return [bytes(block) for block in _encoder(needed, total).encode(primary)]


def _comes_back(
    segment: bytearray, blocks: list[bytes], needed: int, random: Random
) -> bool:
    """Tell whether any k of the blocks give the segment back, and the same hashes."""
    numbers = random.sample(range(len(blocks)), needed)
    chosen = {number: blocks[number] for number in numbers}
    found = b"".join(erasure.decode(chosen, needed, len(blocks)))[: len(segment)]
    hashes = segment_and_block_hashes(found, list(chosen.values()))
    own = [block_hash(block) for block in chosen.values()]
    return found == segment and hashes == (segment_hash(segment), own)


def what_is_used() -> str:
    """Return a word for what computes here."""
    return "the extension" if speed.hashes else "Python"
