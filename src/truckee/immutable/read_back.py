"""
Reading back a little of each share after an upload.

A server can accept everything and drop it.  So a few random bytes of each share are kept
while it is written, and compared with what its server gives when it is asked as a reader
asks, after the share was closed.  The cost is bounded, however large the file is; what a
server drops or changes elsewhere is found by a check with ``verify``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random, SystemRandom

from attrs import define, field

from truckee.codec.encoder import EncodedFile
from truckee.codec.hashes import Buffer
from truckee.codec.share import ShareLayout
from truckee.flow.together import together
from truckee.storage.interfaces import IShareReader

# Samples of the blocks of a share, each at a random place in a random block.
_SAMPLES = 2
_SAMPLE_SIZE = 1024  # bytes at most
_ALL_SHARES = 1 << 16  # bytes at most of one sample of all shares
# Of each hash tree, at a random place.
_TREE_SAMPLE = 512  # bytes
# What lies so near to each other is read in one call, as long as it is no larger than that.
_GAP = 1024  # bytes
_LARGEST_READ = 8192  # bytes

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


async def read_back(reader: IShareReader, parts: Iterable[Part]) -> None:
    """
    Compare a share with *parts* that were written to it.

    :raises ValueError: when one of them is not there.  :raises ReadError:
    """
    reads = _joined(sorted(parts))
    found = await together(
        reader.read(start, end - start) for (start, end), _inside in reads
    )
    for ((start, _), inside), data in zip(reads, found, strict=True):
        for offset, written in inside:
            if data[offset - start : offset - start + len(written)] != written:
                raise ValueError("it does not give back what was stored")


def _joined(parts: Sequence[Part]) -> list[tuple[tuple[int, int], list[Part]]]:
    """Return (start, end) of few reads with the sorted *parts* that lie in each."""
    reads: list[tuple[tuple[int, int], list[Part]]] = []
    for offset, data in parts:
        end = offset + len(data)
        if reads:
            (start, last), inside = reads[-1]
            reach = max(last, end)
            if offset - last <= _GAP and reach - start <= _LARGEST_READ:
                reads[-1] = (start, reach), [*inside, (offset, data)]
                continue
        reads.append(((offset, end), [(offset, data)]))
    return reads
