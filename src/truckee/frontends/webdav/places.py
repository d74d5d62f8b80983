"""Where something is put or taken away: names in directories that can be changed."""

from __future__ import annotations

from truckee.codec.caps import DirectoryCap
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.errors import NoParent, RootStays
from truckee.frontends.webdav.way import Way, find_way
from truckee.tree.directories import NotADirectory, ReadOnlyDirectory
from truckee.tree.paths import NoSuchChild


async def writable_place(
    asked: Asked, root: DirectoryCap | None = None, names: tuple[str, ...] | None = None
) -> Way:
    """
    Return a name that may come to be, or to lead elsewhere; without more, the request's.

    :raises RootStays: :raises NoParent: :raises ReadOnlyDirectory:
    """
    names = asked.names if names is None else names
    if not names:
        raise RootStays
    try:
        way = await find_way(asked.dav.directories, root or asked.root, names)
    except (NoSuchChild, NotADirectory) as error:
        raise NoParent(error.name) from None
    if way.parent.write_key is None:
        raise ReadOnlyDirectory
    return way
