"""MKCOL, DELETE, MOVE and COPY: names that come and go."""

from __future__ import annotations

from truckee.codec.caps import DirectoryCap
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_name import normalize_name
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.copying import Copies
from truckee.frontends.webdav.emptied import leave, settle
from truckee.frontends.webdav.errors import BadHeader, RootStays, Taken, Unmoved
from truckee.frontends.webdav.guard import Guard, Touched
from truckee.frontends.webdav.places import writable_place
from truckee.frontends.webdav.way import Way
from truckee.net.http.respond import Answer, WrongMethod
from truckee.tree.links import NameTaken, Replace
from truckee.tree.paths import NoSuchChild

ON_ANYTHING = (
    "OPTIONS, PROPFIND, PROPPATCH, GET, HEAD, PUT, DELETE, COPY, MOVE, LOCK, UNLOCK"
)


async def mkcol(asked: Asked) -> Answer:
    """Make a directory."""
    if not asked.names:
        raise WrongMethod("MKCOL", ON_ANYTHING)
    way = await writable_place(asked)
    await Guard(asked).check(way, Touched(way, name=True))
    if way.exists:
        raise WrongMethod("MKCOL", ON_ANYTHING)
    made = await asked.dav.directories.make()
    given = {way.name: GivenChild.of(made)}
    try:
        await asked.dav.links.set(way.parent.cap, given, Replace.NOTHING)
    except NameTaken:
        raise WrongMethod("MKCOL", ON_ANYTHING) from None
    return Answer(b"", 201)


async def delete(asked: Asked) -> Answer:
    """Remove the name at the end of the path."""
    way = await writable_place(asked)
    # A name that breaks a rule has no link, and can be removed.
    if not way.exists and way.name not in way.parent.table:
        raise NoSuchChild(way.name)
    await Guard(asked).check(way, Touched(way, name=True, inside=True))
    await asked.dav.links.remove(way.parent.cap, way.name)
    await asked.dav.locks.forget(way.keys[-1])
    return Answer(b"", 204)


async def move(asked: Asked) -> Answer:
    """Let what is at one name be at another."""
    if asked.depth("infinity") != "infinity":
        raise BadHeader("Depth", "what is moved goes with all that is in it")
    source = await writable_place(asked)
    if not source.exists:
        raise NoSuchChild(source.name)
    target = await _destination(asked)
    _check_apart(source, target)
    if source.keys[-1] in target.keys[:-1]:
        raise Unmoved  # into itself, by whatever way
    overwrite = asked.overwrite()
    if target.exists and not overwrite:
        raise Taken
    await Guard(asked).check(
        source,
        Touched(source, name=True, inside=True),
        Touched(target, name=True, inside=True),
    )
    await settle(asked, source)
    await leave(asked, target)
    replace = Replace.ANYTHING if overwrite else Replace.NOTHING
    try:
        await asked.dav.links.move(
            source.parent.cap, source.name, target.parent.cap, target.name, replace
        )
    except NameTaken:
        raise Taken from None
    await asked.dav.locks.forget(source.keys[-1])
    if target.exists:
        await asked.dav.locks.forget(target.keys[-1])
    return Answer(b"", 204 if target.exists else 201)


async def copy(asked: Asked) -> Answer:
    """Let what is at one name be at another too, so that each can change by itself."""
    depth = asked.depth("infinity")
    if depth == "1":
        raise BadHeader("Depth", "a copy has 0 or infinity")
    source = await asked.way()
    if not source.exists:
        raise NoSuchChild(source.name)
    target = await _destination(asked)
    _check_apart(source, target)
    overwrite = asked.overwrite()
    if target.exists and not overwrite:
        raise Taken
    await Guard(asked).check(source, Touched(target, name=True, inside=target.exists))
    copies = Copies(asked.dav.directories, asked.dav.mutable)
    given = await copies.link(source, deep=depth == "infinity")
    await leave(asked, target)
    replace = Replace.ANYTHING if overwrite else Replace.NOTHING
    try:
        await asked.dav.links.set(target.parent.cap, {target.name: given}, replace)
    except NameTaken:
        raise Taken from None
    if target.exists:
        await asked.dav.locks.forget(target.keys[-1])
    return Answer(b"", 204 if target.exists else 201)


async def _destination(asked: Asked) -> Way:
    """Return where the Destination header leads.  :raises BadHeader:"""
    address = asked.header("destination")
    if address is None:
        raise BadHeader("Destination", "it is missing")
    root, names = asked.elsewhere(address)
    if not names:
        raise RootStays
    return await writable_place(asked, root, names)


def _check_apart(source: Way, target: Way) -> None:
    """:raises Unmoved: when both are the same name, or the source is in the target"""
    if source.names and _edge(source) == _edge(target):
        raise Unmoved
    if target.keys[-1] in source.keys[:-1]:
        raise Unmoved


def _edge(way: Way) -> tuple[DirectoryCap | None, str]:
    parent = way.parent.cap
    return parent.verify_cap() or parent, normalize_name(way.name)
