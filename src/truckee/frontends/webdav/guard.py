"""
Whether a request may change what it asks to change: the If header, and locks.

Source: RFC 4918, sections 6, 7 and 10.4.
"""

from __future__ import annotations

from attrs import define, field, frozen

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.codec.entity_tags import entity_tags, version_tag
from truckee.errors import TruckeeError
from truckee.frontends.http.conditions import PreconditionFailed, is_known, is_wanted
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.emptied import shown_link
from truckee.frontends.webdav.errors import IfFailed, Locked
from truckee.frontends.webdav.if_header import StateList, holds, parse_if, tokens_of
from truckee.frontends.webdav.lock_table import Lock
from truckee.frontends.webdav.way import Way, find_way


@frozen(eq=False)
class Touched:
    """What a request changes."""

    way: Way
    name: bool = False  # whether the name comes or goes, which is its directory's
    inside: bool = False  # whether all that is in it changes too


@frozen
class _State:
    """What an address has, as far as conditions ask."""

    tokens: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()


@define(eq=False)
class Guard:
    """Lets one request pass, or not."""

    asked: Asked
    tokens: frozenset[str] = field(default=frozenset(), init=False, repr=False)

    async def check(self, way: Way, *touched: Touched) -> None:
        """
        Let a request for *way* pass that changes what is *touched*.

        :raises PreconditionFailed: :raises BadIf: :raises IfFailed: :raises Locked:
        """
        if self.asked.header("if-match") or self.asked.header("if-none-match"):
            check_tags(self.asked, await tags_of(self.asked, way), way.exists)
        text = self.asked.header("if")
        if text is not None:
            lists = parse_if(text)
            self.tokens = tokens_of(lists)
            await self._check_if(lists)
        await self.check_locks(*touched)

    async def check_locks(self, *touched: Touched) -> None:
        """
        Look at the locks again, of one that has passed and took its time since then.

        :raises Locked:
        """
        locks, now = await self.asked.dav.locks.table(), self.asked.dav.locks.now()
        if not len(locks):
            return
        for each in touched:
            keys = each.way.keys
            found = locks.covering(keys, now)
            if each.name and len(keys) > 1:
                found += locks.covering(keys[:-1], now)
            if each.inside:
                found += locks.inside(keys[-1], now)
            self._check_tokens(each.way, found)

    def _check_tokens(self, way: Way, locks: list[Lock]) -> None:
        """Of the locks on each thing, one must be this client's."""
        by_key: dict[str, set[str]] = {}
        for lock in locks:
            by_key.setdefault(lock.key, set()).add(lock.token)
        for key, tokens in by_key.items():
            if self.tokens.isdisjoint(tokens):
                raise Locked([self._href_of(way, key)])

    def _href_of(self, way: Way, key: str) -> str:
        keys = way.keys
        number = keys.index(key) if key in keys else len(keys) - 1
        is_directory = number < len(keys) - 1 or way.directory is not None
        return self.asked.href(way.names[:number], is_directory)

    async def _check_if(self, lists: list[StateList]) -> None:
        states = {}
        for each in lists:
            if each.resource not in states:
                states[each.resource] = await self._state(each.resource)
        for one in lists:
            if holds(
                one,
                lambda resource, token: token in states[resource].tokens,
                lambda resource, tag: tag in states[resource].tags,
            ):
                return
        raise IfFailed

    async def _state(self, resource: str | None) -> _State:
        asked = self.asked
        try:
            root, names = asked.root, asked.names
            if resource is not None:
                root, names = asked.elsewhere(resource)
            way = await find_way(asked.dav.directories, root, names)
        except TruckeeError:
            return _State()  # of what is not here nothing holds
        locks, now = await asked.dav.locks.table(), asked.dav.locks.now()
        tokens = frozenset(each.token for each in locks.covering(way.keys, now))
        tags = await tags_of(asked, way)
        return _State(tokens, tuple(f'"{each}"' for each in tags))


def check_tags(asked: Asked, tags: tuple[str, ...], exists: bool) -> None:
    """:raises PreconditionFailed: unless what is there is what the client means"""
    if_match = asked.header("if-match")
    if if_match is not None:
        wanted = any(is_wanted(if_match, tag) for tag in tags)
        if not exists or not (wanted or if_match.strip() == "*"):
            raise PreconditionFailed
    if_none_match = asked.header("if-none-match")
    if if_none_match is not None and exists and is_known(if_none_match, tags):
        raise PreconditionFailed


async def tags_of(asked: Asked, way: Way) -> tuple[str, ...]:
    """Return the entity tags of what stands somewhere, without quotes."""
    link = await shown_link(asked, way)
    cap = None if link is None else link.child.cap
    if isinstance(cap, ChkReadCap | LiteralCap):
        return entity_tags(cap)
    if isinstance(cap, MutableReadCap | MutableWriteCap):
        best = (await asked.dav.mutable.reader.look(cap.read_cap())).best
        return () if best is None else (version_tag(cap, best),)
    return ()
