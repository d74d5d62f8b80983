"""Changing some leaves of a tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.hashes import padding_leaf_hash
from truckee.codec.merkle import build_tree
from truckee.codec.merkle_update import replace_leaves


def leaf(number: int, version: int = 0) -> bytes:
    """A leaf of its own for each number and version."""
    return bytes([version]) * 4 + number.to_bytes(28, "big")


class UpdateTests(SynchronousTestCase):
    @given(st.integers(1, 40), st.integers(1, 40), st.sets(st.integers(0, 39)))
    def test_as_built_anew(self, before: int, after: int, chosen: set[int]) -> None:
        """A changed tree is the tree over the changed leaves, longer or shorter."""
        changed = {n for n in chosen if n < after} | set(range(before, after))
        leaves = [leaf(n, n in changed) for n in range(after)]
        tree = build_tree([leaf(n) for n in range(before)])
        found = replace_leaves(
            memoryview(tree), before, {n: leaf(n, 1) for n in changed}, after
        )
        self.assertEqual(found, build_tree(leaves))

    def test_empty_file(self) -> None:
        """The tree of an empty file has one leaf, which is replaced by the first real."""
        empty = padding_leaf_hash(0)
        self.assertEqual(replace_leaves(empty, 1, {0: leaf(0)}, 1), leaf(0))
        grown = replace_leaves(empty, 1, {n: leaf(n) for n in range(3)}, 3)
        self.assertEqual(grown, build_tree([leaf(n) for n in range(3)]))

    def test_refused(self) -> None:
        """A tree of another size, or leaves that do not fit, change nothing."""
        tree = build_tree([leaf(n) for n in range(3)])
        for given_tree, changed, after in (
            (tree[:-32], {0: leaf(0)}, 3),
            (tree, {3: leaf(3)}, 3),
            (tree, {-1: leaf(0)}, 3),
            (tree, {3: leaf(3)}, 5),
        ):
            with self.assertRaises(ValueError):
                replace_leaves(given_tree, 3, changed, after)
