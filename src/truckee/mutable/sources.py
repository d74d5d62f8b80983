"""The shares of one version, and which of them are read first."""

from __future__ import annotations

from collections.abc import Mapping, Set

from attrs import define, evolve, field
from twisted.logger import Logger

from truckee.codec.merkle import PagedTree
from truckee.codec.mutable_share import VerifiedShare
from truckee.immutable.download.speed import Speed
from truckee.mutable.errors import NotEnoughMutableShares, VersionGone
from truckee.mutable.versions import Place
from truckee.storage.interfaces import IStorageServer

log = Logger()


@define(eq=False)
class BlockSource:
    """One share that blocks are read from."""

    place: Place
    share: VerifiedShare
    speed: Speed  # of its server
    bad_blocks: int = field(default=0, init=False)
    useless: bool = field(default=False, init=False)  # for all segments

    @property
    def number(self) -> int:
        """The number of the share."""
        return self.place.number


@define(eq=False)
class BlockSources:
    """The shares of one version, k of which are read at a time."""

    needed: int  # k
    _sources: list[BlockSource]
    # Whether a server was found to have another version by now.
    _replaced: bool = field(default=False, init=False)

    @classmethod
    def of(cls, needed: int, shares: Mapping[Place, VerifiedShare]) -> BlockSources:
        """
        Return sources of all *shares*, of one version.

        Each has a block tree of its own: others may read the same shares meanwhile.
        """
        speeds: dict[IStorageServer, Speed] = {}
        sources = []
        for place, share in shares.items():
            tree = PagedTree(share.blocks.root, share.blocks.leaves)
            speed = speeds.setdefault(place.server, Speed())
            sources.append(BlockSource(place, evolve(share, blocks=tree), speed))
        return cls(needed, sources)

    def choose(self, avoid: Set[BlockSource], taken: Set[int]) -> BlockSource | None:
        """
        Return the best source of a share not in *taken* that is not in *avoid*.

        That is one of a server that answers soon, and of those the lowest number: the first
        k shares have the segment itself, and nothing is to be decoded.
        """
        usable = [
            source
            for source in self._sources
            if not source.useless and source not in avoid and source.number not in taken
        ]
        known = [each.speed.usual for each in self._sources if each.speed.usual is not None]
        best = min(known, default=0.0)
        return min(usable, key=lambda each: _rank(each, best), default=None)

    def not_enough(self, avoid: Set[BlockSource]) -> NotEnoughMutableShares | VersionGone:
        """Return the error that too few shares beside *avoid* are good."""
        if self._replaced:
            return VersionGone()
        good = {
            source.number
            for source in self._sources
            if not source.useless and source not in avoid
        }
        return NotEnoughMutableShares(len(good), self.needed)

    def give_up(self, source: BlockSource, reason: str) -> None:
        """Never use *source* again, which cannot be read."""
        source.useless = True
        log.warn(
            "Share {share} on {server} cannot be read: {reason}",
            share=source.number,
            server=source.place.server.name,
            reason=reason,
        )

    def replaced(self, source: BlockSource) -> None:
        """Never use *source* again, whose server has another version there."""
        source.useless = self._replaced = True


def _rank(source: BlockSource, best: float) -> tuple[int, int, int]:
    speed = source.speed
    return source.bad_blocks + speed.faults, speed.delay(best), source.number
