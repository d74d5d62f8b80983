"""
Merkle trees in packed bytes: building them as leaves arrive, reading them in pages.

Source: formats, "Merkle trees".  A tree over *n* leaves is widened to the next power of
two with padding leaves.  Nodes are numbered breadth first from the root, 0; a packed
tree is all nodes in that order, 32 bytes each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from struct import Struct

from attrs import define, field

from truckee.codec.hashes import (
    HASH_SIZE,
    Buffer,
    node_hash,
    node_hashes,
    padding_leaf_hash,
)

CHAIN_ENTRY = Struct(">H32s")  # node number, hash

# A page holds this many levels of a tree: 64 hashes, 2 KiB, in its lowest row.
_PAGE_LEVELS = 6
# Pages kept for one tree: with 1 MiB segments, enough for 16 GiB around the reader.
_PAGES_KEPT = 256


def width_of(leaves: int) -> int:
    """Return the leaves of the widened tree: the least power of two not below."""
    return 1 << (leaves - 1).bit_length()


def tree_size(leaves: int) -> int:
    """Return the bytes of a packed tree over *leaves* leaves."""
    return HASH_SIZE * (2 * width_of(leaves) - 1)


def pair_up(row: Buffer) -> bytearray:
    """Return the row above *row*, both packed, the lower one of even length."""
    return bytearray(node_hashes(row))


def padding_rows(leaves: int) -> list[bytearray]:
    """
    Return, for every row from the leaves up, its nodes that stand over padding alone.

    They depend on the number of leaves only, so all trees of one file share them.
    """
    width = width_of(leaves)
    rows = [bytearray().join(map(padding_leaf_hash, range(leaves, width)))]
    for height in range(1, width.bit_length()):
        first = -(-leaves >> (height - 1))  # number of the row's first padding node
        below = memoryview(rows[-1])
        rows.append(pair_up(below[HASH_SIZE * (first % 2) :]))
    return rows


@define(eq=False)
class TreeBuilder:
    """
    Append leaves one by one; take the packed tree at the end.

    An inner node is made as soon as both its children are there, so that the end of a
    file of any size costs little.
    """

    leaves: int = field(default=0, init=False)
    _rows: list[bytearray] = field(factory=lambda: [bytearray()], init=False, repr=False)

    def append(self, leaf: bytes) -> None:
        """Add the next leaf, 32 bytes."""
        self.leaves += 1
        self._rows[0] += leaf
        height = 0
        while self.leaves % (2 << height) == 0:
            row = self._rows[height]
            height += 1
            if height == len(self._rows):
                self._rows.append(bytearray())
            self._rows[height] += pair_up(row[-2 * HASH_SIZE :])

    def leaf(self, index: int) -> bytes | None:
        """Return a leaf that was appended; None: it was not yet."""
        if index >= self.leaves:
            return None
        return bytes(self._rows[0][HASH_SIZE * index : HASH_SIZE * (index + 1)])

    def finish(self, padding: Sequence[Buffer]) -> bytes:
        """
        Return the packed tree; *padding* is ``padding_rows(leaves)``.

        The builder is used up.
        """
        rows = self._rows + [bytearray() for _ in padding[len(self._rows) :]]
        for height, row in enumerate(rows):
            if self.leaves % (1 << height):
                # One node of this row stands over real leaves and padding both.
                start = 2 * len(row)
                row.extend(pair_up(rows[height - 1][start : start + 2 * HASH_SIZE]))
            row.extend(padding[height])
        return b"".join(reversed(rows))


def build_tree(leaves: Sequence[bytes]) -> bytes:
    """Return the packed tree over *leaves*, 32 bytes each, at least one."""
    builder = TreeBuilder()
    for leaf in leaves:
        builder.append(leaf)
    return builder.finish(padding_rows(len(leaves)))


def chain_numbers(leaf: int, leaves: int) -> list[int]:
    """
    Return the nodes a share keeps of the share tree, ascending.

    They are the siblings on the way from *leaf* to the root, and the leaf itself.
    """
    node = width_of(leaves) - 1 + leaf
    numbers = [node]
    while node:
        numbers.append(node + 1 if node % 2 else node - 1)
        node = (node - 1) // 2
    return sorted(numbers)


def pack_chain(tree: bytes, leaf: int, leaves: int) -> bytes:
    """Return the chain of *leaf*, cut from a packed *tree*."""
    return b"".join(
        CHAIN_ENTRY.pack(number, tree[number * HASH_SIZE : (number + 1) * HASH_SIZE])
        for number in chain_numbers(leaf, leaves)
    )


def check_chain(chain: bytes, leaf: int, leaves: int, root: bytes) -> bytes:
    """
    Return the hash of *leaf* after climbing from it to *root*.

    Entries may come in any order; those not on the way are ignored, as stock readers do.

    :raises ValueError: when an entry is missing, stands twice with two hashes, or the
        way does not end at *root*.
    """
    if len(chain) % CHAIN_ENTRY.size:
        raise ValueError("the share hash chain has a broken entry")
    entries: dict[int, bytes] = {}
    for number, value in CHAIN_ENTRY.iter_unpack(chain):
        if entries.setdefault(number, value) != value:
            raise ValueError("the share hash chain contradicts itself")
    node = width_of(leaves) - 1 + leaf
    try:
        found = climbing = entries[node]
        while node:
            if node % 2:
                climbing = node_hash(climbing, entries[node + 1])
            else:
                climbing = node_hash(entries[node - 1], climbing)
            node = (node - 1) // 2
    except KeyError:
        raise ValueError("the share hash chain has a gap") from None
    if climbing != root:
        raise ValueError("the share hash chain does not lead to the root")
    return found


def check_top(rows: Buffer, root: bytes) -> None:
    """
    Believe the first rows of a packed tree, each node of them.

    :raises ValueError: when they do not lead to *root*.
    """
    view = memoryview(rows)
    if view[:HASH_SIZE] != root:
        raise ValueError("a hash tree has another root")
    end = HASH_SIZE
    while end < len(view):
        # A row begins behind all rows above it, which have one node less than itself.
        start, end = end, 2 * end + HASH_SIZE
        check_row(view[(start - HASH_SIZE) // 2 : start], view[start:end])


def check_row(above: Buffer, below: Buffer) -> None:
    """:raises ValueError: when nodes *above* are not made of their children *below*."""
    if pair_up(below) != above:
        raise ValueError("a hash tree does not lead to its root")


@define(eq=False)
class PagedTree:
    """
    The leaves of a packed tree that somebody else keeps, checked against its root.

    The tree is fetched in pages, each the lowest row of a small tree of its own: 64
    hashes side by side, or fewer at the top.  A page is believed when its own root is,
    and that stands in the page above, or is the root of all.  So one leaf costs one read
    for every 6 levels, its neighbours cost nothing, and only so many pages are in memory.

    One caller at a time may ``add``; others may read leaves they know of meanwhile.
    """

    root: bytes
    leaves: int
    # The least recently used first.  Its methods are single steps, which other threads that
    # read it do not see halfway.
    _pages: OrderedDict[tuple[int, int], bytes] = field(
        factory=OrderedDict, init=False, repr=False
    )

    def missing(self, leaf: int) -> list[tuple[int, int]]:
        """
        Return the (offset, length) byte ranges that *leaf* still needs, from the top.

        The pages that are there for it are in use now, and others are forgotten first.
        """
        wanted = []
        for depth, index, levels in self._way(leaf):
            if (depth, index) in self._pages:
                self._pages.move_to_end((depth, index))
            else:
                at = HASH_SIZE * (2**depth - 1 + index * 2**levels)
                wanted.append((at, HASH_SIZE * 2**levels))
        return wanted

    @property
    def held(self) -> int:
        """The bytes of its pages in memory."""
        return len(self._pages) * HASH_SIZE << _PAGE_LEVELS

    def add(self, leaf: int, rows: Sequence[bytes]) -> None:
        """
        Take the bytes of the ranges that ``missing(leaf)`` gave, in its order.

        :raises ValueError: when one is short or does not lead to the root; the good
            ones above it are kept.
        """
        given = iter(rows)
        for depth, index, levels in self._way(leaf):
            if (depth, index) in self._pages:
                continue
            row = next(given, b"")
            if len(row) != HASH_SIZE * 2**levels:
                raise ValueError("a hash tree is too short")
            top: Buffer = row
            while len(top) > HASH_SIZE:
                top = pair_up(top)
            if top != self._hash(depth - levels, index):
                raise ValueError("a hash tree does not lead to its root")
            self._pages[depth, index] = row
        self._forget(leaf)

    def leaf(self, leaf: int) -> bytes:
        """Return the hash of *leaf*; KeyError when it is not known (yet)."""
        return self._hash(width_of(self.leaves).bit_length() - 1, leaf)

    def _way(self, leaf: int) -> list[tuple[int, int, int]]:
        """Pages from the top to *leaf*: depth of the row, number in it, levels."""
        depth = width_of(self.leaves).bit_length() - 1
        way = []
        while depth > 0:
            levels = min(_PAGE_LEVELS, depth)
            leaf >>= levels
            way.append((depth, leaf, levels))
            depth -= levels
        return way[::-1]

    def _hash(self, depth: int, node: int) -> bytes:
        if depth == 0:
            return self.root
        levels = min(_PAGE_LEVELS, depth)
        page = self._pages[depth, node >> levels]
        at = HASH_SIZE * (node % 2**levels)
        return page[at : at + HASH_SIZE]

    def _forget(self, leaf: int) -> None:
        """Drop the pages that were not used for longest, never those of *leaf*."""
        for depth, index, _levels in self._way(leaf):
            self._pages.move_to_end((depth, index))
        while len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
