"""
Every byte of one share that belongs to something, against the cap of its file.

Source: formats, "What a reader checks".  What a reader takes on trust of its server, as
the rows of a tree that it does not need, is looked at here too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof
from truckee.codec.geometry import Geometry
from truckee.codec.hashes import HASH_SIZE, block_hash
from truckee.codec.merkle import check_row, check_top, width_of
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.immutable.share_proof import read_proof
from truckee.storage.interfaces import IShareReader

# So much of the blocks is read at a time, and so many; one block can be larger.
BATCH = 1 << 20  # bytes
_BLOCKS = 4096
# The rows of a tree that are read at once: 8191 nodes, enough for 4 GiB in usual segments.
_TOP_LEVELS = 12
# Nodes of a lower row that are read at once, together with their children.
_NODES = 4096


@frozen(eq=False)
class ShareVerifier:
    """Verifies shares in memory that is counted in *budget*."""

    _cpu: Workers
    _budget: Budget

    async def verify(self, cap: ChkVerifyCap, number: int, reader: IShareReader) -> None:
        """
        Read share *number* of a file from its header to its UEB.

        :raises ValueError: when it is not what it must be; the text says where.
        :raises UnknownVersion: when it may be good, for others.
        :raises ReadError: when it cannot be read.
        """
        offsets, chain, ueb = await read_proof(reader, cap.total)
        file = FileProof.check(cap, ueb)
        share = ShareProof.check(file, number, offsets, chain)
        segments = file.geometry.segments
        trees = (
            ("ciphertext", offsets.crypttext_tree, file.crypttext.root),
            ("block", offsets.block_tree, share.blocks.root),
        )
        for name, start, root in trees:
            try:
                await self._check_tree(reader, start, segments, root)
            except ValueError as error:
                raise ValueError(f"the {name} tree is wrong: {error}") from None
        await self._check_blocks(reader, file.geometry, share)

    async def _check_tree(
        self, reader: IShareReader, start: int, leaves: int, root: bytes
    ) -> None:
        """Check each node of the packed tree at *start*, that of padding too."""
        depth = width_of(leaves).bit_length() - 1
        top = min(depth, _TOP_LEVELS)
        ranges = [(start, HASH_SIZE * (2 ** (top + 1) - 1))]
        async with self._reading(reader, ranges) as [rows]:
            await self._cpu.run(check_top, rows, root)
        for row in range(top, depth):
            for first in range(0, 2**row, _NODES):
                node = 2**row - 1 + first
                ranges = [
                    (start + HASH_SIZE * node, HASH_SIZE * _NODES),
                    (start + HASH_SIZE * (2 * node + 1), 2 * HASH_SIZE * _NODES),
                ]
                async with self._reading(reader, ranges) as [above, below]:
                    await self._cpu.run(check_row, above, below)

    async def _check_blocks(
        self, reader: IShareReader, geometry: Geometry, share: ShareProof
    ) -> None:
        """Check each block against its leaf."""
        at_once = min(max(1, BATCH // geometry.block_size), _BLOCKS)
        for first in range(0, geometry.segments, at_once):
            batch = range(first, min(first + at_once, geometry.segments))
            # Read once more, since a server can tell two stories.
            for segment in batch:
                missing = share.blocks.missing(segment)
                if missing:
                    start = share.offsets.block_tree
                    rows = [await reader.read(start + at, size) for at, size in missing]
                    await self._cpu.run(share.blocks.add, segment, rows)
            leaves = [share.blocks.leaf(segment) for segment in batch]
            lengths = [geometry.block_length(segment) for segment in batch]
            where = share.block_range(geometry, batch)
            async with self._reading(reader, [where]) as [data]:
                wrong = await self._cpu.run(_find_wrong, data, lengths, leaves)
            if wrong is not None:
                raise ValueError(f"block {first + wrong} is wrong")

    @asynccontextmanager
    async def _reading(
        self, reader: IShareReader, ranges: Sequence[tuple[int, int]]
    ) -> AsyncIterator[list[bytes]]:
        """Hold the bytes of some *ranges* in memory, all of them whole."""
        cost = sum(length for _offset, length in ranges)
        async with self._budget.hold(cost):
            found = []
            for offset, length in ranges:
                found.append(await reader.read(offset, length))
                if len(found[-1]) != length:
                    raise ValueError("the share ends too early")
            yield found


def _find_wrong(data: bytes, lengths: Sequence[int], leaves: Sequence[bytes]) -> int | None:
    """Return which of the blocks in *data* is the first that has another hash."""
    view = memoryview(data)
    start = 0
    for index, (length, leaf) in enumerate(zip(lengths, leaves, strict=True)):
        if block_hash(view[start : start + length]) != leaf:
            return index
        start += length
    return None
