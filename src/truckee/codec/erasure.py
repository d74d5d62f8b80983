"""
The erasure code: any k of N blocks give back a segment.

Source: formats, "Erasure code".  zfec computes it and lets other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import zfec

from truckee.codec.hashes import Buffer


@lru_cache(maxsize=16)
def _encoder(needed: int, total: int) -> zfec.Encoder:
    return zfec.Encoder(needed, total)


@lru_cache(maxsize=16)
def _decoder(needed: int, total: int) -> zfec.Decoder:
    return zfec.Decoder(needed, total)


def encode(segment: Buffer, needed: int, total: int) -> list[Buffer]:
    """
    Return the N blocks of *segment*, whose length is a multiple of k.

    The first k are views of *segment*; do not change it while they are in use.
    """
    view = memoryview(segment)
    size = len(view) // needed
    primary: list[Buffer] = [view[i * size : (i + 1) * size] for i in range(needed)]
    if needed == total:
        return primary
    check = _encoder(needed, total).encode(primary, list(range(needed, total)))
    return [*primary, *check]


def decode(blocks: Mapping[int, Buffer], needed: int, total: int) -> list[Buffer]:
    """
    Return the k primary blocks, in order, from any k numbered *blocks*.

    :raises ValueError: when they are not k, not all of one length, or one has a number
        that no share has.
    """
    if len(blocks) != needed:
        raise ValueError(f"decoding takes exactly {needed} blocks, not {len(blocks)}")
    # zfec looks beyond its matrix for a row that is not there.
    if not all(0 <= number < total for number in blocks):
        raise ValueError(f"blocks are numbered 0 to {total - 1}")
    if len({len(block) for block in blocks.values()}) > 1:
        raise ValueError("the blocks are not all of one length")
    if all(number < needed for number in blocks):
        return [blocks[number] for number in range(needed)]
    # zfec wants a primary block at its own place and check blocks in the gaps.
    spare = iter(sorted(number for number in blocks if number >= needed))
    order = [number if number in blocks else next(spare) for number in range(needed)]
    decoded = _decoder(needed, total).decode([blocks[number] for number in order], order)
    return list(decoded)
