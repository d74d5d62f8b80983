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
    """Return the k primary blocks, in order, from any k numbered *blocks*."""
    if len(blocks) != needed:
        raise ValueError(f"decoding takes exactly {needed} blocks, not {len(blocks)}")
    if all(number < needed for number in blocks):
        return [blocks[number] for number in range(needed)]
    # zfec wants a primary block at its own place and check blocks in the gaps.
    spare = iter(sorted(number for number in blocks if number >= needed))
    order = [number if number in blocks else next(spare) for number in range(needed)]
    decoded = _decoder(needed, total).decode([blocks[number] for number in order], order)
    return list(decoded)
