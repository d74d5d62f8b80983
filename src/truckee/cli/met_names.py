"""The names that entries get in one directory of the grid."""

from __future__ import annotations

from attrs import define, field

from truckee.cli.problems import Problem
from truckee.cli.tree_walk import Entry
from truckee.codec.directory_name import new_name


@define(eq=False)
class MetNames:
    """Which entry was met first under each name: two may be one in the grid (NFC)."""

    _first: dict[str, Entry] = field(factory=dict, init=False)

    def of(self, entry: Entry) -> str:
        """Return the name that *entry* gets.  :raises Problem: when it is taken."""
        name = new_name(entry.name)
        if self._first.setdefault(name, entry) is not entry:
            raise Problem(f"{entry.shown}: another one has the same name in the grid")
        return name
