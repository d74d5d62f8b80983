"""Directories in memory, thousands of them: tables as they are stored, and no servers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from functools import cache
from hashlib import sha256

from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.codec.caps import ChkReadCap, DirectoryCap, MutableWriteCap
from truckee.codec.children import Child, child_from_caps
from truckee.codec.directory_children import Link, pack_mutable
from truckee.codec.directory_table import DirectoryTable, parse_table
from truckee.flow.cpu import Workers
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.tree.directories import Directory
from truckee.tree.walk import Walk, Walked

Cap = str | DirectoryCap | ChkReadCap


def directory(name: str) -> DirectoryCap:
    """Return the write cap of the directory called *name*."""
    key = sha256(name.encode()).digest()
    return DirectoryCap(MutableWriteCap("SSK", key[:16], key))


def file(name: str, size: int = 1000) -> ChkReadCap:
    """Return the cap of a file that nobody stored."""
    key = sha256(name.encode()).digest()
    return ChkReadCap(key[:16], key, 3, 10, size)


@cache
def child(cap: Cap) -> Child:
    """Return *cap* as a child."""
    return (
        child_from_caps(None, cap)
        if isinstance(cap, str)
        else child_from_caps(str(cap), None)
    )


@define(eq=False)
class Forest:
    """What directories hold, by their verify caps."""

    cpu: Workers
    holds_up: bool = False  # reads wait until they are cancelled
    reads: int = field(default=0, init=False)
    reading: int = field(default=0, init=False)  # now
    most: int = field(default=0, init=False)  # at once
    _tables: dict[object, DirectoryTable] = field(factory=dict, init=False)

    def plant(self, name: str, children: Mapping[str, Cap]) -> DirectoryCap:
        """Let the directory *name* hold *children*."""
        cap = directory(name)
        assert isinstance(cap.inner, MutableWriteCap)
        links = {each: Link(child(to), {}) for each, to in children.items()}
        packed = pack_mutable(links, cap.inner.write_key)
        self._tables[cap.verify_cap()] = parse_table(packed)
        return cap

    def uproot(self, name: str) -> None:
        """Let the directory *name* be lost."""
        del self._tables[directory(name).verify_cap()]

    async def read(self, cap: DirectoryCap) -> Directory:
        """Return what a directory holds, in a later turn."""
        self.reads += 1
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            if self.holds_up:
                await Deferred()
            await self.cpu.run(int)
        finally:
            self.reading -= 1
        table = self._tables.get(cap.verify_cap())
        if table is None:
            raise NotEnoughMutableShares(0, 3)
        return Directory(cap, table)


async def all_of(walk: Walk) -> list[Walked]:
    """Return all that a walk gives."""
    found: list[Walked] = []
    async with aclosing(walk.batches()) as batches:
        async for batch in batches:
            found += batch
    return found


def paths(found: list[Walked]) -> list[str]:
    """Return where things are."""
    return ["/".join(each.path) for each in found]


__all__ = ["Forest", "all_of", "child", "directory", "file", "paths"]
