"""Merkle trees: built leaf by leaf, proved by chains, read in pages."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.merkle import (
    CHAIN_ENTRY,
    PagedTree,
    TreeBuilder,
    build_tree,
    chain_numbers,
    check_chain,
    pack_chain,
    padding_rows,
    tree_size,
    width_of,
)

# The worked example: a tree over three leaves.
LEAVES = [b"\x11" * 32, b"\x22" * 32, b"\x33" * 32]
NODES = [
    "906f3defc8d6a6e67e4d1a76b31d972df24a0bbaa75342787e048fca6bf54f04",
    "4d727d908032c79af5d2b033c31b099462a10e248d430861c98443de0d6087aa",
    "f9c92c5684d03f75d2dc55604cafe8cd38d6cb66a1b5794949b272b9b1c82b09",
    "11" * 32,
    "22" * 32,
    "33" * 32,
    "9ed59076b6bee6b75864630c3c20cff6934efe03a60a7fd28b69542fb13a68a3",
]


def leaves_of(count: int, seed: int = 0) -> list[bytes]:
    """Return *count* different leaves."""
    return [sha256(b"%d %d" % (seed, i)).digest() for i in range(count)]


def plain_tree(leaves: list[bytes]) -> list[bytes]:
    """Return all nodes of the tree, computed from its description in the simplest way."""

    def double(data: bytes) -> bytes:
        return sha256(sha256(data).digest()).digest()

    row = list(leaves)
    while len(row) & (len(row) - 1):
        row.append(double(b"22:Merkle tree empty leaf," + str(len(row)).encode()))
    nodes = row
    while len(row) > 1:
        row = [
            double(b"25:Merkle tree internal node,32:%b,32:%b," % pair)
            for pair in zip(row[::2], row[1::2], strict=True)
        ]
        nodes = row + nodes
    return nodes


def node(tree: bytes, number: int) -> bytes:
    """Return one node of a packed tree."""
    return tree[32 * number : 32 * number + 32]


def cut(tree: bytes, ranges: list[tuple[int, int]]) -> list[bytes]:
    """Return the asked ranges of a packed tree, as a server would."""
    return [tree[offset : offset + length] for offset, length in ranges]


class BuildTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The example tree has its nodes, padding leaf included, in order from the root."""
        self.assertEqual(build_tree(LEAVES).hex(), "".join(NODES))

    def test_one_leaf(self) -> None:
        """A single leaf is the root and the whole tree."""
        self.assertEqual(build_tree(LEAVES[:1]), LEAVES[0])

    def test_sizes(self) -> None:
        """A tree is widened to the next power of two."""
        for leaves, width in ((1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (10, 16), (256, 256)):
            self.assertEqual(width_of(leaves), width)
            self.assertEqual(tree_size(leaves), 32 * (2 * width - 1))

    def test_every_small_tree(self) -> None:
        """Trees of 1 to 130 leaves equal those made in the simplest way."""
        for count in range(1, 131):
            leaves = leaves_of(count)
            self.assertEqual(build_tree(leaves), b"".join(plain_tree(leaves)), count)

    @settings(max_examples=30)
    @given(st.integers(1, 3000), st.integers())
    def test_any_tree(self, count: int, seed: int) -> None:
        """Trees of many leaves equal those made in the simplest way."""
        leaves = leaves_of(count, seed)
        tree = build_tree(leaves)
        self.assertEqual(len(tree), tree_size(count))
        self.assertEqual(tree, b"".join(plain_tree(leaves)))

    def test_shared_padding(self) -> None:
        """One set of padding rows serves all trees of a size, and is not changed."""
        padding = padding_rows(11)
        before = [bytes(row) for row in padding]
        for seed in range(3):
            builder = TreeBuilder()
            for leaf in leaves_of(11, seed):
                builder.append(leaf)
            self.assertEqual(builder.leaves, 11)
            expected = b"".join(plain_tree(leaves_of(11, seed)))
            self.assertEqual(builder.finish(padding), expected)
        self.assertEqual([bytes(row) for row in padding], before)


class ChainTests(SynchronousTestCase):
    def test_uncles(self) -> None:
        """Over three leaves, a chain is the leaf itself and two uncles."""
        self.assertEqual(chain_numbers(0, 3), [2, 3, 4])
        self.assertEqual(chain_numbers(1, 3), [2, 3, 4])
        self.assertEqual(chain_numbers(2, 3), [1, 5, 6])

    def test_ten_shares(self) -> None:
        """Over ten shares, neighbours store the same five nodes."""
        for pair, numbers in enumerate(
            (
                [2, 4, 8, 15, 16],
                [2, 4, 7, 17, 18],
                [2, 3, 10, 19, 20],
                [2, 3, 9, 21, 22],
                [1, 6, 12, 23, 24],
            )
        ):
            self.assertEqual(chain_numbers(2 * pair, 10), numbers)
            self.assertEqual(chain_numbers(2 * pair + 1, 10), numbers)

    def test_lengths(self) -> None:
        """A chain has one entry for each level, the root's only when it is the leaf."""
        self.assertEqual(chain_numbers(0, 1), [0])
        for low, high, entries in (
            (1, 1, 1),
            (2, 2, 2),
            (3, 4, 3),
            (5, 8, 4),
            (9, 16, 5),
            (17, 32, 6),
            (33, 64, 7),
            (65, 128, 8),
            (129, 256, 9),
        ):
            for total in (low, high):
                for leaf in (0, total - 1):
                    self.assertEqual(len(chain_numbers(leaf, total)), entries)

    @given(st.integers(1, 256), st.data())
    def test_true_chain(self, total: int, data: st.DataObject) -> None:
        """Every chain leads from its leaf to the root, in any order of its entries."""
        leaves = leaves_of(total)
        tree = build_tree(leaves)
        leaf = data.draw(st.integers(0, total - 1))
        chain = pack_chain(tree, leaf, total)
        self.assertEqual(check_chain(chain, leaf, total, tree[:32]), leaves[leaf])
        entries = list(CHAIN_ENTRY.iter_unpack(chain))
        shuffled = data.draw(st.permutations(entries))
        mixed = b"".join(CHAIN_ENTRY.pack(*entry) for entry in shuffled)
        self.assertEqual(check_chain(mixed, leaf, total, tree[:32]), leaves[leaf])

    def test_more_than_needed(self) -> None:
        """Nodes that are not on the way, the root or the whole tree, do no harm."""
        tree = build_tree(leaves_of(10))
        whole = b"".join(CHAIN_ENTRY.pack(i, node(tree, i)) for i in range(31))
        for leaf in range(10):
            self.assertEqual(check_chain(whole, leaf, 10, tree[:32]), leaves_of(10)[leaf])
            twice = whole + pack_chain(tree, leaf, 10)
            self.assertEqual(check_chain(twice, leaf, 10, tree[:32]), leaves_of(10)[leaf])

    def test_flipped(self) -> None:
        """A chain with any bit changed never gives another hash for the leaf."""
        tree = build_tree(leaves_of(10))
        for leaf in range(10):
            chain = pack_chain(tree, leaf, 10)
            for at in range(len(chain)):
                bad = bytearray(chain)
                bad[at] ^= 1
                self.assertRaises(ValueError, check_chain, bytes(bad), leaf, 10, tree[:32])

    def test_not_for_this_leaf(self) -> None:
        """A chain proves its own leaf and its neighbour's, and no other."""
        tree = build_tree(leaves_of(10))
        chain = pack_chain(tree, 4, 10)
        self.assertEqual(check_chain(chain, 5, 10, tree[:32]), leaves_of(10)[5])
        for leaf in (0, 3, 6, 9):
            self.assertRaises(ValueError, check_chain, chain, leaf, 10, tree[:32])

    def test_broken(self) -> None:
        """Cut entries, gaps, contradictions and an empty chain are refused."""
        tree = build_tree(leaves_of(10))
        chain = pack_chain(tree, 0, 10)
        for bad in (
            b"",
            chain[:-1],
            chain[34:],
            chain[:-34],
            chain + CHAIN_ENTRY.pack(15, bytes(32)),
            chain + b"\0",
        ):
            self.assertRaises(ValueError, check_chain, bad, 0, 10, tree[:32])
        self.assertRaises(ValueError, check_chain, chain, 0, 10, bytes(32))


class PagedTreeTests(SynchronousTestCase):
    def test_one_leaf(self) -> None:
        """The tree over one leaf needs nothing but its root."""
        tree = PagedTree(LEAVES[0], 1)
        self.assertEqual(tree.missing(0), [])
        self.assertEqual(tree.leaf(0), LEAVES[0])

    def test_example(self) -> None:
        """A small tree is one page: its row of leaves."""
        packed = build_tree(LEAVES)
        tree = PagedTree(packed[:32], 3)
        self.assertRaises(KeyError, tree.leaf, 1)
        self.assertEqual(tree.missing(1), [(96, 128)])
        tree.add(1, [packed[96:224]])
        for leaf in range(3):
            self.assertEqual(tree.missing(leaf), [])
            self.assertEqual(tree.leaf(leaf), LEAVES[leaf])

    @settings(max_examples=25)
    @given(st.integers(1, 5000), st.integers())
    @example(4096, 0)
    @example(4097, 0)
    @example(5000, 0)
    def test_true_tree(self, count: int, seed: int) -> None:
        """Every leaf of a true tree is found, and asked for once with its neighbours."""
        leaves = leaves_of(count, seed)
        packed = build_tree(leaves)
        tree = PagedTree(packed[:32], count)
        asked: list[tuple[int, int]] = []
        for leaf in range(count):
            ranges = tree.missing(leaf)
            asked += ranges
            tree.add(leaf, cut(packed, ranges))
            self.assertEqual(tree.leaf(leaf), leaves[leaf])
        self.assertEqual(len(asked), len(set(asked)))
        self.assertTrue(all(offset + size <= len(packed) for offset, size in asked))

    @settings(max_examples=50)
    @given(st.integers(2, 5000), st.data())
    def test_any_leaf_first(self, count: int, data: st.DataObject) -> None:
        """Leaves are found in any order."""
        leaves = leaves_of(count)
        packed = build_tree(leaves)
        tree = PagedTree(packed[:32], count)
        for leaf in data.draw(st.lists(st.integers(0, count - 1), max_size=10)):
            tree.add(leaf, cut(packed, tree.missing(leaf)))
            self.assertEqual(tree.missing(leaf), [])
            self.assertEqual(tree.leaf(leaf), leaves[leaf])

    @settings(max_examples=100)
    @given(st.integers(2, 5000), st.data())
    def test_flipped(self, count: int, data: st.DataObject) -> None:
        """A flipped byte in what was asked for is refused; the true bytes then pass."""
        leaves = leaves_of(count)
        packed = build_tree(leaves)
        tree = PagedTree(packed[:32], count)
        leaf = data.draw(st.integers(0, count - 1))
        ranges = tree.missing(leaf)
        offset, size = data.draw(st.sampled_from(ranges))
        at = offset + data.draw(st.integers(0, size - 1))
        bad = bytearray(packed)
        bad[at] ^= data.draw(st.integers(1, 255))
        self.assertRaises(ValueError, tree.add, leaf, cut(bytes(bad), ranges))
        self.assertRaises(KeyError, tree.leaf, leaf)
        tree.add(leaf, cut(packed, tree.missing(leaf)))
        self.assertEqual(tree.leaf(leaf), leaves[leaf])

    def test_every_flipped_byte(self) -> None:
        """In a tree of two pages' depth, no byte asked for can change unnoticed."""
        packed = build_tree(leaves_of(100))
        ranges = PagedTree(packed[:32], 100).missing(70)
        asked = [at for start, size in ranges for at in range(start, start + size)]
        self.assertGreater(len(asked), 2000)
        for at in asked:
            bad = bytearray(packed)
            bad[at] ^= 0x80
            tree = PagedTree(packed[:32], 100)
            self.assertRaises(ValueError, tree.add, 70, cut(bytes(bad), ranges))

    def test_good_pages_stay(self) -> None:
        """Pages above a bad one are kept, so only the bad one is asked for again."""
        packed = build_tree(leaves_of(5000))
        tree = PagedTree(packed[:32], 5000)
        ranges = tree.missing(4321)
        self.assertEqual(len(ranges), 3)
        rows = cut(packed, ranges)
        self.assertRaises(ValueError, tree.add, 4321, [*rows[:2], bytes(len(rows[2]))])
        self.assertEqual(tree.missing(4321), ranges[2:])

    def test_wrong_lengths(self) -> None:
        """Rows that are short, long or not there are refused."""
        packed = build_tree(leaves_of(100))
        ranges = PagedTree(packed[:32], 100).missing(0)
        rows = cut(packed, ranges)
        for bad in (
            [],
            rows[:1],
            [rows[0], rows[1][:-1]],
            [rows[0] + b"\0", rows[1]],
            [b""],
        ):
            tree = PagedTree(packed[:32], 100)
            self.assertRaises(ValueError, tree.add, 0, bad)
            self.assertRaises(KeyError, tree.leaf, 0)

    def test_higher_row(self) -> None:
        """A row from further up leads to the root too, and is refused all the same."""
        packed = build_tree(leaves_of(100))
        tree = PagedTree(packed[:32], 100)
        top, _lowest = cut(packed, tree.missing(0))
        for depth in range(2, 7):
            # The first page's part of the row at this depth.
            start = 2**depth - 1
            row = packed[32 * start : 32 * (start + 2 ** (depth - 1))]
            self.assertRaises(ValueError, tree.add, 0, [top, row])
            tree = PagedTree(packed[:32], 100)

    def test_another_tree(self) -> None:
        """Rows of a tree with another root are refused."""
        packed = build_tree(leaves_of(100, 1))
        tree = PagedTree(build_tree(leaves_of(100, 2))[:32], 100)
        self.assertRaises(ValueError, tree.add, 0, cut(packed, tree.missing(0)))

    def test_bounded(self) -> None:
        """A very large tree read through is not held whole, and can be read again."""
        leaves = leaves_of(1 << 15)
        packed = build_tree(leaves)
        tree = PagedTree(packed[:32], len(leaves))
        for _round in range(2):
            for leaf in range(0, len(leaves), 64):
                ranges = tree.missing(leaf)
                # The lowest row was dropped long ago; the rows above stay in use.
                self.assertGreaterEqual(len(ranges), 1)
                tree.add(leaf, cut(packed, ranges))
                self.assertEqual(tree.leaf(leaf), leaves[leaf])
        last = len(leaves) - 1
        self.assertEqual(tree.missing(last), [])
        self.assertEqual(tree.leaf(last), leaves[last])

    def test_pages_in_use_stay(self) -> None:
        """A page that is asked after stays, however many others come meanwhile."""
        leaves = leaves_of(1 << 16)
        packed = build_tree(leaves)
        tree = PagedTree(packed[:32], len(leaves))
        tree.add(0, cut(packed, tree.missing(0)))
        for leaf in range(64, len(leaves), 64):
            self.assertEqual(tree.missing(0), [])
            tree.add(leaf, cut(packed, tree.missing(leaf)))
        self.assertEqual(tree.leaf(0), leaves[0])
        self.assertLessEqual(tree.held, 256 * 2048)
