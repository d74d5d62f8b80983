"""
Getting one segment's ciphertext from any k shares.

Source: formats, "What a reader checks".  Nothing leaves here that is not proved.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof, join_segment
from truckee.codec.geometry import Geometry
from truckee.codec.merkle import PagedTree
from truckee.errors import Corrupt
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.flow.together import together
from truckee.immutable.locate import Located, Source
from truckee.storage.interfaces import ReadError


@define
class BrokenFile(Corrupt):
    """
    The shares of this file agree with each other and not with its cap: whoever stored it
    made a mistake or lied. No other share can help; upload the file again.
    """


@define(eq=False)
class Fetcher:
    """Reads segments of one file; several calls may be under way at once."""

    cap: ChkVerifyCap
    _located: Located
    _cpu: Workers
    # Sources with a bad block, by segment: they may be good for others.
    _bad_blocks: dict[int, frozenset[Source]] = field(factory=dict, init=False)
    _learning: Exclusive = field(factory=Exclusive, init=False)  # one reader a tree

    async def geometry(self) -> Geometry:
        """Return how the file is cut, which one good share has to tell."""
        await self._located.prove(self.cap.needed, frozenset())
        return self._file.geometry

    async def segment(self, number: int) -> bytes:
        """
        Return the ciphertext of one segment, verified.

        :raises NotEnoughShares: when fewer than k shares are good for it.
        :raises BrokenFile: when k good shares do not make the segment of the cap.
        """
        while True:
            avoid = self._bad_blocks.get(number, frozenset())
            sources = await self._located.prove(self.cap.needed, avoid)
            if not await self._learn_hash(sources, number):
                continue
            blocks = await together(self._block(source, number) for source in sources)
            read = dict(zip(sources, blocks, strict=True))
            bad = {source for source, block in read.items() if block is None}
            whole = {s: block for s, block in read.items() if block is not None}
            bad |= await self._cpu.run(_find_bad, whole, number)
            if bad:
                self._bad_blocks[number] = avoid | bad
                continue
            numbered = {source.number: block for source, block in whole.items()}
            try:
                return await self._cpu.run(join_segment, self._file, number, numbered)
            except ValueError:
                raise BrokenFile from None

    @property
    def _file(self) -> FileProof:
        file = self._located.file
        if file is None:
            raise AssertionError("no share was proved yet")
        return file

    async def _learn_hash(self, sources: list[Source], segment: int) -> bool:
        """Know what the ciphertext must hash to; False when a source was given up."""
        return await self._learn(
            sources[0],
            self._file.crypttext,
            _proof(sources[0]).offsets.crypttext_tree,
            segment,
        )

    async def _learn(self, source: Source, tree: PagedTree, start: int, leaf: int) -> bool:
        """Read what *tree* still needs for *leaf* from *source*; False: it was given up."""
        async with self._learning.hold(id(tree)):
            try:
                rows = await together(
                    source.reader.read(start + offset, length)
                    for offset, length in tree.missing(leaf)
                )
                if rows:
                    await self._cpu.run(tree.add, leaf, rows)
            except ValueError as error:
                self._located.give_up(source, str(error), corrupt=True)
                return False
            except ReadError as error:
                self._located.give_up(source, str(error))
                return False
        return True

    async def _block(self, source: Source, segment: int) -> bytes | None:
        """Return a block, not verified yet, whose hash is known; None if there is none."""
        proof = _proof(source)
        if not await self._learn(source, proof.blocks, proof.offsets.block_tree, segment):
            return None
        try:
            return await source.reader.read(
                *proof.block_range(self._file.geometry, segment)
            )
        except ReadError:
            return None


def _proof(source: Source) -> ShareProof:
    if source.proof is None:
        raise AssertionError("the source was not proved")
    return source.proof


def _find_bad(blocks: Mapping[Source, bytes], segment: int) -> set[Source]:
    """Return the sources whose block is not what their share must hold."""
    return {s for s, block in blocks.items() if not _proof(s).is_good(segment, block)}
