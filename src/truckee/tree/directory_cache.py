"""
Tables of directories that were read or written a moment ago.

A mutable directory may have been changed by another gateway since: what is here of it only
saves reading the version again that servers are found to have.  Who is about to change it
may look at what was written here a moment ago: the change is made on what there is then.

Source: ``docs/directories.md``, "What is remembered".
"""

from __future__ import annotations

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkReadCap, MutableReadCap
from truckee.codec.directory_table import DirectoryTable
from truckee.codec.mutable_prefix import Prefix
from truckee.flow.recently_used import RecentlyUsed

# Bytes of all tables together.
_LIMIT = 24 << 20
# What is kept of a table beside its bytes, and of an entry beside its own.
_AROUND, _START = 1024, 8
# So long is what was written here good enough for one who is about to change it.
JUST_WRITTEN = 2.0  # seconds

Key = MutableReadCap | ChkReadCap


@frozen(eq=False)
class Known:
    """A table, and of which version it is."""

    table: DirectoryTable = field(repr=False)
    version: Prefix | None  # None: of a directory that never changes
    written: float | None = None  # by the clock, if it was written here

    @property
    def cost(self) -> int:
        """Bytes that it takes in memory."""
        return len(self.table.packed) + _START * len(self.table) + _AROUND


@define(eq=False)
class DirectoryCache:
    """The tables used last, by read cap: who has that may see them."""

    _clock: IReactorTime
    _limit: int = _LIMIT  # bytes
    _known: RecentlyUsed[Key, Known] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._known = RecentlyUsed(self._limit, lambda known: known.cost)

    def get(self, cap: Key) -> Known | None:
        """Return what is known of a directory, of whatever version."""
        return self._known.get(cap)

    def is_current(self, known: Known, recent: bool = False) -> bool:
        """
        Tell whether nobody has to be asked which version there is now.

        *recent*: what was written here a moment ago is enough.
        """
        if known.version is None:
            return True
        if not recent:
            return False
        now = self._clock.seconds()
        return known.written is not None and now - known.written < JUST_WRITTEN

    def found(self, cap: Key, table: DirectoryTable, version: Prefix | None) -> None:
        """Remember what was read, unless something newer was written here meanwhile."""
        old = self._known.get(cap)
        if old is None or not self.is_current(old, recent=True):
            self._known.put(cap, Known(table, version))

    def wrote(self, cap: Key, table: DirectoryTable, version: Prefix) -> None:
        """Remember what was written."""
        self._known.put(cap, Known(table, version, self._clock.seconds()))

    def drop(self, cap: Key) -> None:
        """Forget a directory, of which is not known what was written."""
        self._known.drop(cap)
