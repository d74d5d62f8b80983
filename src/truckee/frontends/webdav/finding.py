"""PROPFIND: what is there, sent while it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TypeVar

from attrs import evolve

from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.codec.directory_children import Link
from truckee.codec.entity_tags import entity_tags, version_tag
from truckee.errors import TruckeeError
from truckee.flow.together import together
from truckee.frontends.http.content_types import content_type
from truckee.frontends.http.streamed import send_stream
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.dead_properties import dead_properties
from truckee.frontends.webdav.emptied import shown_link, shown_links
from truckee.frontends.webdav.errors import FiniteDepth
from truckee.frontends.webdav.lock_table import Lock
from truckee.frontends.webdav.properties import Facts, ShownLock, describe, needs_size
from truckee.frontends.webdav.way import Way, directory_key, name_key
from truckee.frontends.webdav.xml_in import PropFind, parse_propfind
from truckee.frontends.webdav.xml_out import END, START, XML, escaped
from truckee.mutable.reader import MutableReader
from truckee.net.http.respond import Answer
from truckee.tree.directories import Directory
from truckee.tree.link_times import created, modified
from truckee.tree.paths import NoSuchChild

HEADERS = {"content-type": XML, "cache-control": "no-store", "dav": "1, 2"}

ROOT = "truckee"  # as people see what has no name: its address is a secret

_CHILDREN = 200  # in a piece
_SHORT = 256 << 10  # bytes of an answer that is made before it is sent
_LOOKS = 16  # at mutable files, at once

T = TypeVar("T")


async def propfind(asked: Asked, body: bytes) -> Answer | None:
    """Answer a PROPFIND.  :raises FiniteDepth: :raises BadXml: :raises NoSuchChild:"""
    wanted = parse_propfind(body)
    depth = asked.depth("infinity")
    if depth == "infinity":
        raise FiniteDepth
    way = await asked.way()
    if not way.exists:
        raise NoSuchChild(way.name)
    finding = _Finding(asked, wanted, way)
    if way.directory is None or depth == "0":
        return await _answer(asked, finding.pieces(None))
    directory = await asked.dav.directories.read(way.directory)
    async with asked.dav.directories.hold(directory):
        return await _answer(asked, finding.pieces(directory))


async def _answer(asked: Asked, pieces: AsyncGenerator[bytes, None]) -> Answer | None:
    """Send *pieces*, or return them if they are few: Finder wants to know their length."""
    async with aclosing(pieces):
        first: list[bytes] = []
        async for piece in pieces:
            first.append(piece)
            if sum(map(len, first)) > _SHORT:
                break
        else:
            return Answer(b"".join(first), 207, HEADERS)
        await send_stream(asked.request, HEADERS, _all_of(b"".join(first), pieces), 207)
    return None


async def _all_of(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in rest:
        yield piece


class _Finding:
    """The answer to one PROPFIND."""

    def __init__(self, asked: Asked, wanted: PropFind, way: Way) -> None:
        self._asked = asked
        self._wanted = wanted
        self._way = way

    async def pieces(self, directory: Directory | None) -> AsyncGenerator[bytes, None]:
        """Give the document, about the place itself and the children of *directory*."""
        asked, way = self._asked, self._way
        link = await shown_link(asked, way)
        if link is None:
            facts = Facts(asked.href((), True), ROOT, is_directory=True)
        else:
            href = asked.href(way.names, way.directory is not None)
            parent = way.parent
            [facts] = await self._facts([(href, way.name, link)], parent.is_immutable)
        writable = shows_locks(way)
        if writable:
            facts = evolve(facts, lockable=True, locks=await shown_locks(asked, way))
        if facts.is_directory:
            facts = evolve(facts, quota=asked.dav.quota())
        yield (START + describe(facts, self._wanted)).encode()
        if directory is not None:
            async for piece in self._children(directory):
                yield piece
        yield END.encode()

    async def _children(self, directory: Directory) -> AsyncGenerator[bytes, None]:
        links, cpu = directory.links(), self._asked.dav.directories.cpu
        while batch := await cpu.run(_taken, links, _CHILDREN):
            shown = await shown_links(self._asked, self._way.keys[-1], directory, batch)
            named = [
                (self._href(name, link), name, link)
                for name, link in shown
                if self._asked.shows((*self._way.names, name))
            ]
            facts = await self._facts(named, directory.is_immutable)
            if directory.write_key is not None:
                facts = await self._with_locks(facts, [link for _, _, link in named])
            text = await cpu.run(self._described, facts)
            if text:
                yield text

    def _href(self, name: str, link: Link) -> str:
        return self._asked.href((*self._way.names, name), link.child.is_directory)

    def _described(self, facts: Sequence[Facts]) -> bytes:
        return "".join(describe(each, self._wanted) for each in facts).encode()

    async def _facts(
        self, named: Sequence[tuple[str, str, Link]], immutable: bool
    ) -> list[Facts]:
        facts = await self._asked.dav.directories.cpu.run(_known, named, immutable)
        if not needs_size(self._wanted):
            return facts
        mutable = [
            (number, link.child.cap)
            for number, (_, _, link) in enumerate(named)
            if isinstance(link.child.cap, MutableReadCap | MutableWriteCap)
        ]
        reader = self._asked.dav.mutable.reader
        for start in range(0, len(mutable), _LOOKS):
            some = mutable[start : start + _LOOKS]
            looks = (_looked(reader, cap, facts[number]) for number, cap in some)
            for (number, _), found in zip(some, await together(looks), strict=True):
                facts[number] = found
        return facts

    async def _with_locks(
        self, facts: Sequence[Facts], links: Sequence[Link]
    ) -> list[Facts]:
        table, now = await self._asked.dav.locks.table(), self._asked.dav.locks.now()
        found = [evolve(each, lockable=True) for each in facts]
        if not len(table):
            return found
        above = self._way.keys
        for number, (each, link) in enumerate(zip(facts, links, strict=True)):
            cap = link.child.cap
            if isinstance(cap, DirectoryCap):
                key = directory_key(cap)
            else:
                key = name_key(above[-1], each.name)
            names = (*self._way.names, each.name)
            shown = [
                _shown(self._asked, names, [*above, key], lock, now, each.is_directory)
                for lock in table.covering([*above, key], now)
            ]
            found[number] = evolve(found[number], locks=shown)
        return found


def shows_locks(way: Way) -> bool:
    """Tell whether who has the cap may lock, and see locks: who only reads may not."""
    cap = way.parent.cap if way.names else way.root
    return isinstance(cap.inner, MutableWriteCap)


async def shown_locks(asked: Asked, way: Way) -> list[ShownLock]:
    """Return the locks that hold for what stands somewhere."""
    table, now = await asked.dav.locks.table(), asked.dav.locks.now()
    is_directory = way.directory is not None
    return [
        _shown(asked, way.names, way.keys, lock, now, is_directory)
        for lock in table.covering(way.keys, now)
    ]


def _shown(
    asked: Asked,
    names: Sequence[str],
    keys: Sequence[str],
    lock: Lock,
    now: float,
    is_directory: bool,
) -> ShownLock:
    number = keys.index(lock.key)
    root = asked.href(names[:number], number < len(names) or is_directory)
    left = max(0, int(lock.until - now))
    return ShownLock(lock.token, lock.exclusive, lock.deep, lock.owner, left, root)


def _taken(source: Iterator[T], most: int) -> list[T]:
    return list(islice(source, most))


def _known(named: Sequence[tuple[str, str, Link]], immutable: bool) -> list[Facts]:
    return [_facts_of(*each, immutable) for each in named]


def _facts_of(href: str, name: str, link: Link, immutable: bool) -> Facts:
    """Return what the link itself says."""
    cap = link.child.cap
    facts = Facts(
        href,
        name,
        is_directory=isinstance(cap, DirectoryCap),
        modified=modified(link, immutable),
        created=created(link),
        dead=dead_properties(link.metadata),
    )
    if facts.is_directory:
        return facts
    facts = evolve(facts, content_type=content_type(name))
    if isinstance(cap, ChkReadCap | LiteralCap):
        return evolve(facts, size=cap.size, tag=entity_tags(cap)[0])
    return facts


async def _looked(
    reader: MutableReader, cap: MutableReadCap | MutableWriteCap, facts: Facts
) -> Facts:
    """Return *facts* with what servers have; without that if they cannot be asked."""
    try:
        best = (await reader.look(cap.read_cap())).best
    except TruckeeError:
        return facts
    if best is None:
        return facts
    return evolve(facts, size=best.geometry.size, tag=version_tag(cap, best))


def nothing_above(path: str, body: bytes) -> Answer:
    """Return what is said of an address above all caps: a directory, and empty."""
    wanted = parse_propfind(body)
    text = START + describe(Facts(escaped(path), ROOT, is_directory=True), wanted) + END
    return Answer(text.encode(), 207, HEADERS)
