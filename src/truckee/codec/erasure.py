"""
The erasure code: any k of N blocks give back a segment.

Source: formats, "Erasure code".  zfec defines the matrix and computes; where our own C was
built, or ISA-L is installed, that computes instead, with the matrix that zfec uses.  Each
lets other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import zfec

from truckee.codec import isal, speed
from truckee.codec.hashes import BLOCK_FRONT, Buffer, block_hashes


@lru_cache(maxsize=16)
def _encoder(needed: int, total: int) -> zfec.Encoder:
    return zfec.Encoder(needed, total)


@lru_cache(maxsize=16)
def _decoder(needed: int, total: int) -> zfec.Decoder:
    return zfec.Decoder(needed, total)


def _units(needed: int) -> list[bytes]:
    """Return the k unit vectors, of k factors each."""
    return [bytes(int(i == j) for j in range(needed)) for i in range(needed)]


@lru_cache(maxsize=16)
def _matrix(needed: int, total: int) -> list[bytes]:
    """Return the N rows of k factors: what zfec makes of the unit vectors."""
    rows = _encoder(needed, total).encode(_units(needed), list(range(total)))
    return [bytes(row) for row in rows]


# What multiplies, and its class; none: zfec itself.
_Product = speed.Product | isal.Product
_Kind = Callable[[Sequence[bytes]], _Product]


def _kind() -> _Kind | None:
    if speed.products:
        return speed.Product
    return isal.Product if isal.available else None


@lru_cache(maxsize=16)
def _check_rows(kind: _Kind, needed: int, total: int) -> _Product:
    return kind(_matrix(needed, total)[needed:])


@lru_cache(maxsize=16)
def _all_checks(needed: int, total: int) -> speed.Product:
    return speed.Product(_matrix(needed, total)[needed:])


@lru_cache(maxsize=64)
def _check_row(kind: _Kind, needed: int, total: int, number: int) -> _Product:
    return kind([_matrix(needed, total)[number]])


@lru_cache(maxsize=64)
def _missing_rows(kind: _Kind, needed: int, total: int, order: tuple[int, ...]) -> _Product:
    """Return what makes the primary blocks that *order* lacks from those it has."""
    rows = _decoder(needed, total).decode(_units(needed), list(order))
    return kind([bytes(rows[i]) for i in range(needed) if order[i] != i])


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


def encode_and_hash(
    segment: Buffer, needed: int, total: int
) -> tuple[list[Buffer], list[bytes]]:
    """Return the N blocks of *segment*, as ``encode`` does, and their hashes."""
    if speed.hashes:
        return speed.encode(segment, needed, _all_checks(needed, total), BLOCK_FRONT)
    blocks = encode(segment, needed, total)
    return blocks, block_hashes(blocks)


def encode_one(primary: Sequence[Buffer], number: int, total: int) -> Buffer:
    """Return block *number* of N alone, from the k primary ones, or a part from theirs."""
    needed, kind = len(primary), _kind()
    if number < needed:
        return primary[number]
    if kind is not None:
        return _check_row(kind, needed, total, number).of(primary)[0]
    return bytes(_encoder(needed, total).encode(primary, [number])[0])


def _check_blocks(primary: Sequence[Buffer], needed: int, total: int) -> list[Buffer]:
    kind = _kind()
    if kind is not None:
        return _check_rows(kind, needed, total).of(primary)
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
    # zfec wants a primary block at its own place and check blocks in the gaps.
    spare = iter(sorted(number for number in blocks if number >= needed))
    order = tuple(number if number in blocks else next(spare) for number in range(needed))
    given, kind = [blocks[number] for number in order], _kind()
    if kind is None:
        return list(_decoder(needed, total).decode(given, list(order)))
    missing = iter(_missing_rows(kind, needed, total, order).of(given))
    return [blocks[i] if i in blocks else next(missing) for i in range(needed)]
