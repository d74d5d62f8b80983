"""Changes of one link, each one change of its directory."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from truckee.codec.children import Child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link, new_entry
from truckee.codec.directory_table import DirectoryTable
from truckee.codec.link_metadata import Metadata
from truckee.tree.directories import Change, Directory
from truckee.tree.paths import NoSuchChild

Check = Callable[[Link | None], None]  # raises unless what is there may be replaced
Edit = Callable[[Metadata], Metadata]


def link_change(
    name: str, child: Child, edit: Edit, check: Check, now: Callable[[], float]
) -> Change:
    """Return the change that links *child*, with what *edit* makes of the metadata."""

    def change(directory: Directory) -> DirectoryTable | None:
        old = directory.link(name)
        # A try before this one may have linked it.
        if old is None or old.child != child:
            check(old)
        metadata = edit({} if old is None else old.metadata)
        entry = directory.with_link(name, GivenChild(child, metadata), now())
        return directory.table.changed([entry])

    return change


def metadata_change(name: str, edit: Edit) -> Change:
    """Return the change that leaves a link as it is, its times too, but for *edit*."""

    def change(directory: Directory) -> DirectoryTable | None:
        old = directory.link(name)
        if old is None:
            raise NoSuchChild(name)
        assert directory.write_key is not None
        link = evolve(old, metadata=edit(old.metadata))
        return directory.table.changed([new_entry(name, link, directory.write_key)])

    return change
