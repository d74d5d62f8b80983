"""
The inner loops of coding in C, where they were built and the processor is made for them.

A processor with instructions for SHA-256 makes two hashes side by side in little more time
than one, which no library offers; products over GF(256) take no library either then.  The
callers have the same in Python, for all other machines.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

try:
    from truckee.codec import _speed as _extension
except ImportError:  # not built, or switched off by TRUCKEE_PURE
    _extension = None  # type: ignore[assignment]

Buffer = bytes | bytearray | memoryview

_HASH_SIZE = 32  # bytes

# Whether there is anything here: the hashes and ``encode``; ``Product``.
hashes: bool = _extension is not None and _extension.SHA
products: bool = _extension is not None and _extension.LEVEL > 0


def hashes_of(prefixes: Sequence[bytes], pieces: Sequence[Buffer]) -> list[bytes]:
    """
    Return SHA-256 of SHA-256 of each of *pieces* behind its prefix, of 63 bytes at most.

    Two are made side by side; when they differ in length, put the longest first.
    """
    return _cut(_extension.hashes(prefixes, pieces), _HASH_SIZE)


def row_above(front: bytes, between: bytes, behind: bytes, row: Buffer) -> bytes:
    """Return the hash of each pair of 32 bytes in *row*, in what stands around them."""
    return _extension.row_above(front, between, behind, row)


@define(eq=False)
class Product:
    """Multiplies *rows*, each of k factors, with k blocks of one length."""

    _rows: Sequence[bytes] = field(repr=False)
    tables: bytes = field(init=False, repr=False)  # what C takes for the factors

    def __attrs_post_init__(self) -> None:
        self.tables = _extension.tables(b"".join(self._rows))

    def of(self, blocks: Sequence[Buffer]) -> list[Buffer]:
        """Return one block for each row; other threads run meanwhile."""
        whole = memoryview(_extension.product(self.tables, blocks))
        size = len(blocks[0])
        return [whole[row * size : (row + 1) * size] for row in range(len(self._rows))]


def encode(
    segment: Buffer, needed: int, check: Product, prefix: bytes
) -> tuple[list[Buffer], list[bytes]]:
    """
    Return all blocks of *segment*, and the hash of each behind *prefix*.

    The first ones are views of *segment*, whose length is a multiple of *needed*.
    """
    made, found = _extension.encode(segment, needed, check.tables, prefix)
    view, size = memoryview(segment), len(segment) // needed
    blocks: list[Buffer] = [view[i * size : (i + 1) * size] for i in range(needed)]
    hashed = _cut(found, _HASH_SIZE)
    view = memoryview(made)
    blocks += [view[i * size : (i + 1) * size] for i in range(len(hashed) - needed)]
    return blocks, hashed


@define(eq=False)
class FlatHash:
    """One hash over pieces that come in order, which are hashed by themselves as well."""

    _prefix: bytes
    _piece_prefix: bytes
    _state: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._state = _extension.flat(self._prefix)

    def absorb(self, piece: Buffer) -> bytes:
        """Go on over *piece*; return its own hash."""
        self._state, own = _extension.absorb(self._state, piece, self._piece_prefix)
        return own

    def digest(self) -> bytes:
        """Return the hash of all pieces so far."""
        return _extension.end(self._state)


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]
