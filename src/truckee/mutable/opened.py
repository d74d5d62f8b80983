"""One version of a mutable file for one reader: any range of it, in order."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import MutableReadCap
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.flow.cpu import Workers
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.download.read_ahead import Download
from truckee.mutable.advisories import Advisories
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.mutable.retrieve import Retriever
from truckee.mutable.versions import Versions, numbers_of


@define(eq=False)
class OpenVersion:
    """
    One version that is read; nothing has to be closed.

    Read-ahead and the memory budget are those of immutable files.

    :raises SegmentTooLarge: when its segments take too much memory to be read here.
    """

    prefix: Prefix
    _retriever: Retriever
    holdings: Holdings
    clock: IReactorTime = field(repr=False)

    @classmethod
    def best_of(
        cls,
        read_cap: MutableReadCap,
        found: Versions,
        cpu: Workers,
        clock: IReactorTime,
        holdings: Holdings,
        advisories: Advisories | None = None,
    ) -> OpenVersion:
        """
        Return the best version that a map found.

        :raises NotEnoughMutableShares: when none of them can be read.
        """
        best = found.best
        if best is None:
            raise not_enough(found)
        retriever = Retriever(
            read_cap,
            best,
            found.of(best),
            cpu,
            clock,
            advisories or Advisories(),
            found.blocks,
        )
        return cls(best, retriever, holdings, clock)

    def __attrs_post_init__(self) -> None:
        self.geometry.check_readable()

    @property
    def geometry(self) -> MutableGeometry:
        """How the version is cut."""
        return self.prefix.geometry

    @property
    def segment_size(self) -> int:
        """
        Bytes of plaintext in every segment but the last, 0 in an empty file.

        A file of one segment says no more than it has: that much is reserved for it.
        """
        return min(self.geometry.segment_size, self.geometry.size)

    def read(self, start: int = 0, end: int = 0) -> Download:
        """Return the bytes from *start* up to, not including, *end*."""
        return Download(self, start, end)

    def leave(self, number: int, plaintext: bytes) -> None:
        """Keep nothing: the next reader may find another version."""

    def abandon(self, number: int, fetching: Deferred[bytes]) -> None:
        """Keep nothing, as above."""
        fetching.cancel()

    def settle(self) -> None:
        """Nothing is read before it is asked for."""

    async def segments(self, numbers: range) -> list[bytes]:
        """Return the plaintext of adjacent segments; raises as ``Retriever`` does."""
        return await self._retriever.segments(numbers)


def not_enough(found: Versions) -> NotEnoughMutableShares:
    """Return the error that reports the version with the most shares."""
    counts = [
        (len(numbers_of(shares)), prefix.geometry.needed)
        for prefix, shares in found.by_prefix().items()
    ]
    # Of a file that nobody has seen, one share is as good as any other number.
    return NotEnoughMutableShares(*max(counts, default=(0, 1)))
