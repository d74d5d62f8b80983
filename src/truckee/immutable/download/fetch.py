"""
Getting the ciphertext of adjacent segments from any k shares.

Source: formats, "What a reader checks".  Nothing leaves here that is not proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof, prove_segment
from truckee.codec.geometry import Geometry
from truckee.codec.guess import Guess
from truckee.codec.merkle import PagedTree
from truckee.errors import Corrupt, Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.flow.together import Work, together
from truckee.immutable.download.hedged_reads import Pace, Race
from truckee.immutable.download.sources import Located, NotEnoughShares, Source
from truckee.storage.interfaces import ReadError

# A page of a hash tree has more.
MOST_AT_ONCE = 16  # segments
# No writer makes segments this small, but for tests and to waste time: a file is cut into
# a few large ones.  Of such segments as many are fetched at once as a page has, and nothing
# is done for one alone.
TINY = 32  # bytes; a segment of these is not tiny any more
MOST_TINY_AT_ONCE = 64  # segments


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
    _clock: IReactorTime
    _guess: Guess = field(factory=Guess)
    _pace: Pace = field(factory=Pace, init=False)
    _learning: Exclusive = field(factory=Exclusive, init=False)  # one reader a share's tree
    _adding: Exclusive = field(factory=Exclusive, init=False)  # one writer a tree

    @property
    def file(self) -> FileProof:
        """What is known of the file, once its ``geometry`` was asked for."""
        file = self._located.file
        if file is None:
            raise AssertionError("no share was proved yet")
        return file

    @property
    def held(self) -> int:
        """The bytes of hash trees in memory."""
        return self._located.held

    @property
    def is_near(self) -> bool:
        """Whether servers usually answer within a moment."""
        return self._pace.is_quick

    async def geometry(self, start: int | None = None) -> Geometry:
        """
        Return how the file is cut, once k shares of it are proved.

        Who wants the byte at *start* next has it read meanwhile.
        """

        found: dict[Source, bool] = {}

        async def prove(source: Source) -> bool | None:
            if start is not None:
                guessed = self._geometry
                segment = min(start // guessed.segment_size, guessed.segments - 1)
                self._begin(source, segment, teaches=len(race.tried) == 1)
            return await self._located.prove(source) or None

        race = Race(self._located, prove, self._pace, self._clock)
        await race.run(found)
        self._guess.learn(self.file.geometry, _proof(next(iter(found))).offsets)
        return self.file.geometry

    def settle(self) -> None:
        """Forget what was read early and nobody took."""
        self._located.settle()

    async def segment(self, number: int) -> bytes:
        """
        Return the ciphertext of one segment, verified.

        :raises NotEnoughShares: when fewer than k shares are good for it.
        :raises BrokenFile: when k good shares do not make the segment of the cap.
        """
        found = await self._segments(range(number, number + 1))
        assert found is not None
        return found[0]

    async def segments(self, numbers: range) -> list[bytes]:
        """
        Return the ciphertext of adjacent segments, which costs little more than one.

        There are at most ``MOST_AT_ONCE``, of tiny ones ``MOST_TINY_AT_ONCE``.  Raises as
        ``segment`` does, for any of them.
        """
        found = None
        if len(numbers) > 1:
            with suppress(NotEnoughShares):
                found = await self._segments(numbers)
        # A bad block costs no more than its segment.
        return found or [await self.segment(number) for number in numbers]

    async def _segments(self, numbers: range) -> list[bytes] | None:
        """Return adjacent segments; None: one of several has a bad block."""
        blocks: dict[Source, bytes] = {}
        asked: list[Source] = []

        async def block(source: Source) -> bytes | None:
            asked.append(source)
            began = self._clock.seconds()
            # One of them is enough to learn the hashes of the segments from.
            found = await self._blocks(source, numbers, teaches=len(asked) == 1)
            if found is not None:
                source.speed.took((self._clock.seconds() - began) / len(numbers))
            return found

        race = Race(self._located, block, self._pace, self._clock, len(numbers))
        try:
            while True:
                await race.run(blocks)
                bad = await self._not_taught(blocks, numbers)
                if not bad:
                    bad, found = await self._join(blocks, numbers)
                    if found or len(numbers) > 1:
                        return found
                for source in bad:
                    del blocks[source]
        finally:
            for source in asked:
                source.reader.settle()

    @property
    def _geometry(self) -> Geometry:
        """How the file is cut, probably."""
        file = self._located.file
        return self._guess.geometry(self.cap) if file is None else file.geometry

    def _begin(self, source: Source, segment: int, teaches: bool) -> None:
        """Have all read at once that a source which is not proved yet is asked for."""
        if source.proof is None and not source.useless and not source.reader.begun:
            geometry, file = self._geometry, self._located.file
            tree = file.crypttext if file else PagedTree(b"", geometry.segments)
            reads = self._guess.reads(geometry, segment, tree if teaches else None)
            source.reader.begin(reads)

    async def _not_taught(
        self, blocks: Mapping[Source, bytes], segments: range
    ) -> set[Source]:
        """Return the sources of *blocks* that could not tell the hashes of *segments*."""
        for segment in _unknown(self.file.crypttext, segments):
            for source in blocks:
                if not await self._teach(source, segment):
                    return {source}
        return set()

    async def _join(
        self, blocks: Mapping[Source, bytes], segments: range
    ) -> tuple[set[Source], list[bytes] | None]:
        """Return the sources whose blocks are bad; else the segments."""
        try:
            bad, found = await self._cpu.run(_join, self.file, segments, blocks)
        except ValueError:
            raise BrokenFile from None
        if len(segments) == 1:
            for source in bad:
                source.speed.demote()
                reason = f"the block of segment {segments[0]} is wrong"
                self._located.report(source, reason, corrupt=True)
        return bad, found

    async def _teach(self, source: Source, segment: int) -> bool:
        """Know what the ciphertext must hash to; False when *source* was given up."""
        start = _proof(source).offsets.crypttext_tree
        return await self._tried(
            source, self._learn(source, self.file.crypttext, start, segment)
        )

    async def _tried(self, source: Source, work: Work[None]) -> bool:
        """Return whether *work* went well; give *source* up for what is its fault."""
        try:
            await work
        except ValueError as error:
            self._located.give_up(source, str(error), corrupt=True)
        except Unavailable as error:
            # It is gone, or takes too long for one segment, and so for the next.
            self._located.unreadable(source, error)
        except ReadError as error:
            # A disk may have one bad spot.
            source.speed.demote()
            self._located.report(source, str(error), corrupt=False)
        else:
            return True
        return False

    async def _blocks(self, source: Source, segments: range, teaches: bool) -> bytes | None:
        """
        Return the adjacent blocks of *segments*, not verified yet; None if there are none.

        Their hashes are known then.
        """
        found: list[bytes] = []

        async def blocks() -> None:
            where = _proof(source).block_range(self.file.geometry, segments)
            found.append(await source.reader.read(*where))

        async def read() -> None:
            proof = _proof(source)
            trees = [(proof.blocks, proof.offsets.block_tree)]
            if teaches:
                trees.append((self.file.crypttext, proof.offsets.crypttext_tree))
            learning = [
                self._learn(source, tree, start, segment)
                for tree, start in trees
                for segment in _unknown(tree, segments)
            ]
            # Most of the time all hashes are known.
            if learning:
                await together([blocks(), *learning])
            else:
                await blocks()

        self._begin(source, segments[0], teaches)
        if not await self._located.prove(source):
            return None
        return found[0] if await self._tried(source, read()) else None

    async def _learn(self, source: Source, tree: PagedTree, start: int, leaf: int) -> None:
        """
        Read what *tree* still needs for *leaf* from *source*.

        Nobody waits for another source here, which may never answer.  :raises ValueError:
        """
        async with self._learning.hold((source, id(tree))):
            wanted = tree.missing(leaf)
            if not wanted:
                return
            rows = await together(
                source.reader.read(start + offset, length) for offset, length in wanted
            )
            async with self._adding.hold(id(tree)):
                # Others may have added some of it meanwhile.
                had = dict(zip(wanted, rows, strict=True))
                left = [had.get(each, b"") for each in tree.missing(leaf)]
                if left:
                    await self._cpu.run(tree.add, leaf, left)


def _proof(source: Source) -> ShareProof:
    if source.proof is None:
        raise AssertionError("the source was not proved")
    return source.proof


def _unknown(tree: PagedTree, leaves: range) -> list[int]:
    """Return leaves that *tree* needs before it knows all of *leaves*."""
    # They are fewer than a page has, so those between come with the first or the last.
    ends = {leaves[0], leaves[-1]}
    return [leaf for leaf in sorted(ends) if tree.missing(leaf)]


def _join(
    file: FileProof, segments: range, blocks: Mapping[Source, bytes]
) -> tuple[set[Source], list[bytes] | None]:
    """
    Return the sources with a block that is not what their share must hold; else the
    ciphertext of *segments*.

    :raises ValueError: when good blocks do not make a segment.
    """
    size = file.geometry.block_size
    joined = []
    for place, segment in enumerate(segments):
        at = slice(place * size, (place + 1) * size)
        cut = {_proof(each): memoryview(row)[at] for each, row in blocks.items()}
        bad, ciphertext = prove_segment(file, segment, cut)
        if bad:
            return {each for each in blocks if _proof(each) in bad}, None
        joined.append(ciphertext)
    return set(), joined
