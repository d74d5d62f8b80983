"""
A few random bytes of each share, kept while it is written.

They are compared later with what its server gives back.  Pure: randomness is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random, SystemRandom

from attrs import define, field

from truckee.codec.encoder import EncodedFile
from truckee.codec.hashes import Buffer
from truckee.codec.share import ShareLayout

# Samples of the blocks of a share, each at a random place in a random block.
_SAMPLES = 2
_SAMPLE_SIZE = 1024  # bytes at most
_ALL_SHARES = 1 << 16  # bytes at most of one sample of all shares
# Of each hash tree, at a random place.
_TREE_SAMPLE = 512  # bytes

# What is read back of a share beside its proof, each as likely.
_KINDS = ("header", "tree", "blocks", "blocks", "blocks")

Part = tuple[int, bytes]  # an offset in the share, and what was written there


@define(eq=False)
class Samples:
    """Random bytes of the blocks of all shares of one file, while they are written."""

    _total: int
    _random: Random = field(factory=SystemRandom, repr=False)
    _seen: int = field(default=0, init=False)  # segments
    _kept: list[list[Part]] = field(init=False, repr=False)  # samples of every share

    def __attrs_post_init__(self) -> None:
        self._kept = [[] for _ in range(_SAMPLES)]

    def take(self, offset: int, blocks: Sequence[Buffer]) -> None:
        """
        Look at the *blocks* of one segment, which stand at *offset* in their shares.

        In the end each segment was equally likely to be kept.
        """
        self._seen += 1
        most = min(_SAMPLE_SIZE, _ALL_SHARES // self._total)
        for slot in range(_SAMPLES):
            if self._random.randrange(self._seen) == 0:
                self._kept[slot] = [self._cut(offset, block, most) for block in blocks]

    def of(self, share: int) -> Part:
        """Return a piece of the blocks of a share."""
        return self._random.choice(self._kept)[share]

    def _cut(self, offset: int, data: Buffer, most: int) -> Part:
        size = min(most, len(data))
        start = self._random.randrange(len(data) - size + 1)
        return offset + start, bytes(memoryview(data)[start : start + size])

    def parts(self, share: int, file: EncodedFile, layout: ShareLayout) -> list[Part]:
        """
        Return what its server must give back of a share that was written whole.

        That is what proves the share, and a piece of something else.
        """
        crypttext_tree, block_tree, *proof = file.trailer(share, layout)
        other = self._random.choice(_KINDS)
        if other == "header":
            piece = 0, layout.pack_header()
        elif other == "tree":
            trees = b"".join([crypttext_tree, block_tree])
            piece = self._cut(layout.crypttext_tree, trees, _TREE_SAMPLE)
        else:
            piece = self.of(share)
        return [piece, (layout.chain, b"".join(proof))]
