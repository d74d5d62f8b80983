"""
The erasure code: any k of N blocks give back a segment.

Source: formats, "Erasure code".  zfec defines the matrix and computes; where ISA-L is
installed that computes instead, with the matrix that zfec uses.  Either lets other threads
run meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import zfec

from truckee.codec import isal
from truckee.codec.hashes import Buffer


@lru_cache(maxsize=16)
def _encoder(needed: int, total: int) -> zfec.Encoder:
    return zfec.Encoder(needed, total)


@lru_cache(maxsize=16)
def _decoder(needed: int, total: int) -> zfec.Decoder:
    return zfec.Decoder(needed, total)


@lru_cache(maxsize=16)
def _matrix(needed: int, total: int) -> list[bytes]:
    """Return the N rows of k factors: what zfec makes of the unit vectors."""
    units = [bytes(int(i == j) for j in range(needed)) for i in range(needed)]
    return [bytes(row) for row in _encoder(needed, total).encode(units, list(range(total)))]


@lru_cache(maxsize=16)
def _check_rows(needed: int, total: int) -> isal.Product:
    return isal.Product(_matrix(needed, total)[needed:])


@lru_cache(maxsize=64)
def _check_row(needed: int, total: int, number: int) -> isal.Product:
    return isal.Product([_matrix(needed, total)[number]])


@lru_cache(maxsize=64)
def _missing_rows(needed: int, total: int, numbers: tuple[int, ...]) -> isal.Product:
    """Return what makes the primary blocks that *numbers* lacks from those it has."""
    matrix = _matrix(needed, total)
    inverse = isal.inverse([matrix[number] for number in numbers])
    return isal.Product([inverse[i] for i in range(needed) if i not in numbers])


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
    return [*primary, *_check_blocks(primary, needed, total)]


def encode_one(primary: Sequence[Buffer], number: int, total: int) -> Buffer:
    """Return block *number* of N alone, from the k primary ones, or a part from theirs."""
    needed = len(primary)
    if number < needed:
        return primary[number]
    if isal.available:
        return _check_row(needed, total, number).of(primary)[0]
    return bytes(_encoder(needed, total).encode(primary, [number])[0])


def _check_blocks(primary: Sequence[Buffer], needed: int, total: int) -> list[Buffer]:
    if isal.available:
        return _check_rows(needed, total).of(primary)
    return list(_encoder(needed, total).encode(primary, list(range(needed, total))))


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
    if isal.available:
        return _decode_by_isal(blocks, needed, total)
    # zfec wants a primary block at its own place and check blocks in the gaps.
    spare = iter(sorted(number for number in blocks if number >= needed))
    order = [number if number in blocks else next(spare) for number in range(needed)]
    decoded = _decoder(needed, total).decode([blocks[number] for number in order], order)
    return list(decoded)


def _decode_by_isal(blocks: Mapping[int, Buffer], needed: int, total: int) -> list[Buffer]:
    numbers = tuple(sorted(blocks))
    product = _missing_rows(needed, total, numbers)
    missing = iter(product.of([blocks[number] for number in numbers]))
    return [blocks[i] if i in blocks else next(missing) for i in range(needed)]
