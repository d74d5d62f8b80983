"""
Files that whoever has locked them has emptied, to write them anew.

Many programs empty a file before they send what it is to hold.  What is stored stays until
that comes or the lock is given back; whoever may write sees an empty file meanwhile.

Source: ``docs/reference/webdav.md``, "Locks".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import evolve

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.children import Child, new_child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.directory_table import DirectoryTable
from truckee.codec.entity_tags import entity_tags
from truckee.codec.hashes import tagged_pair_hash
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.way import Way, name_key
from truckee.tree.directories import Directory

_NOTHING = LiteralCap(b"")
EMPTY = new_child(str(_NOTHING), None)
EMPTY_TAG = entity_tags(_NOTHING)[0]

_MARK = b"truckee_webdav_emptied_v1"


def mark_of(parent: Directory, child: Child) -> str:
    """
    Return what stands on disk for a file that was emptied.

    It tells nothing to who has not the write cap of *parent*, not even whether a guess of
    what the file held is right.
    """
    assert parent.write_key is not None
    return base32.encode(tagged_pair_hash(_MARK, parent.write_key, str(child.ro).encode()))


async def empty(asked: Asked, way: Way, tokens: Collection[str]) -> bool:
    """
    Empty a file that is under a lock of *tokens*; tell whether it was done that way.

    :raises LocksNotKept:
    """
    locks, link = asked.dav.locks, way.link
    if not tokens or link is None:
        return False
    if not isinstance(link.child.cap, ChkReadCap | LiteralCap):
        return False
    mark = mark_of(way.parent, link.child)
    async with locks.changing() as table:
        return table.mark(way.keys[-1], tokens, mark, locks.now())


async def leave(asked: Asked, way: Way) -> None:
    """
    Let what is stored be what is shown: something else is on its way to that place.

    Should that fail, the file is what it was.  :raises LocksNotKept:
    """
    locks, key = asked.dav.locks, way.keys[-1]
    if (await locks.table()).emptied(key, locks.now()):
        async with locks.changing() as table:
            table.unmark(key)


async def settle(asked: Asked, way: Way, token: str | None = None) -> None:
    """Link an empty file where one was emptied under a lock, that of *token* if given."""
    locks = asked.dav.locks
    for lock in (await locks.table()).on(way.keys[-1], locks.now()):
        if lock.emptied and token in (None, lock.token):
            await _link_empty(asked, way, lock.emptied)
            return


async def _link_empty(asked: Asked, way: Way, mark: str) -> None:
    """Link an empty file in place of that of *mark*, unless another one is there by now."""
    now = asked.dav.directories.now

    def change(directory: Directory) -> DirectoryTable | None:
        link = directory.link(way.name)
        if link is None or mark_of(directory, link.child) != mark:
            return None
        given = GivenChild(EMPTY, link.metadata)
        return directory.table.changed([directory.with_link(way.name, given, now())])

    await asked.dav.directories.change(way.parent.cap, change)


async def shown_link(asked: Asked, way: Way) -> Link | None:
    """Return what stands at the end of a way, as clients are shown it."""
    if way.link is None or way.parent.write_key is None:
        return way.link
    table, now = await asked.dav.locks.table(), asked.dav.locks.now()
    return _shown(way.parent, way.link, table.emptied(way.keys[-1], now))


async def shown_links(
    asked: Asked, key: str, directory: Directory, named: Sequence[tuple[str, Link]]
) -> list[tuple[str, Link]]:
    """Return links in the directory of a lock *key*, as clients are shown them."""
    table, now = await asked.dav.locks.table(), asked.dav.locks.now()
    marks = {each.key: each.emptied for each in table.inside(key, now) if each.emptied}
    if not marks or directory.write_key is None:
        return list(named)
    return [
        (name, _shown(directory, link, marks.get(name_key(key, name), "")))
        for name, link in named
    ]


def _shown(parent: Directory, link: Link, mark: str) -> Link:
    if mark and mark_of(parent, link.child) == mark:
        return evolve(link, child=EMPTY)
    return link
