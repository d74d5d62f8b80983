"""
Changing some leaves of a packed Merkle tree.

Source: ``docs/formats/mutable.md``, "Changing some segments".
"""

from __future__ import annotations

from collections.abc import Mapping

from truckee.codec.hashes import HASH_SIZE, Buffer, node_hash, padding_leaf_hash
from truckee.codec.merkle import TreeBuilder, padding_rows, tree_size, width_of


def replace_leaves(
    tree: Buffer, leaves: int, changed: Mapping[int, bytes], new_leaves: int
) -> bytes:
    """
    Return the packed *tree* over *leaves* leaves with others, and over *new_leaves*.

    Only what stands over changed leaves is computed anew, unless the tree becomes wider or
    narrower.  Both numbers of leaves are at least 1.

    :raises ValueError: when the tree has another size, or a new leaf is not given.
    """
    if len(tree) != tree_size(leaves):
        raise ValueError(f"a tree over {leaves} leaves has another size")
    if not all(0 <= leaf < new_leaves for leaf in changed) or not all(
        leaf in changed for leaf in range(leaves, new_leaves)
    ):
        raise ValueError("the changed leaves are not those of the new tree")
    width = width_of(new_leaves)
    if width != width_of(leaves):
        return _rebuilt(memoryview(tree), leaves, changed, new_leaves)
    nodes = bytearray(tree)
    touched = dict(changed)
    # A leaf that is there no more becomes padding again.
    touched |= {leaf: padding_leaf_hash(leaf) for leaf in range(new_leaves, leaves)}
    for leaf, value in touched.items():
        _put(nodes, width - 1 + leaf, value)
    row = {width - 1 + leaf for leaf in touched}
    while row and 0 not in row:
        row = {(node - 1) // 2 for node in row}
        for node in row:
            _put(
                nodes, node, node_hash(_get(nodes, 2 * node + 1), _get(nodes, 2 * node + 2))
            )
    return bytes(nodes)


def _get(nodes: bytearray, node: int) -> bytes:
    return bytes(nodes[node * HASH_SIZE : (node + 1) * HASH_SIZE])


def _put(nodes: bytearray, node: int, value: bytes) -> None:
    nodes[node * HASH_SIZE : (node + 1) * HASH_SIZE] = value


def _rebuilt(
    tree: memoryview, leaves: int, changed: Mapping[int, bytes], new_leaves: int
) -> bytes:
    first = width_of(leaves) - 1
    builder = TreeBuilder()
    for leaf in range(new_leaves):
        at = (first + leaf) * HASH_SIZE
        builder.append(changed.get(leaf) or bytes(tree[at : at + HASH_SIZE]))
    return builder.finish(padding_rows(new_leaves))
