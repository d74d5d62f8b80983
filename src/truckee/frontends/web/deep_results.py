"""
What was found of a tree, for a handle: numbers in memory, and tables on disk.

Source: ``docs/reference/web-api.md``, "Handles".
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Protocol

from attrs import define, field

from truckee.flow.spooled_lines import NewSpool, SpooledLines
from truckee.frontends.web.deep_units import describe, index_in
from truckee.tree.tree_statistics import TreeStatistics
from truckee.tree.walk import Walked

Pieces = AsyncGenerator[bytes, None]
Row = dict[str, Any]


class Results(Protocol):
    """What one kind of operation keeps of a tree."""

    async def add(self, walked: Walked, found: dict[str, Any]) -> None:
        """Keep what was *found* of an object.  :raises SpoolDiskFull:"""

    def document(self, finished: bool) -> Pieces:
        """Give the JSON document that programs for stock gateways read."""

    def text(self, finished: bool) -> Pieces:
        """Give the same as a text."""

    def close(self) -> None:
        """Give the disk back; may be called twice."""


@define(eq=False)
class Numbers:
    """The statistics alone: of deep-size, or of deep-stats."""

    _statistics: TreeStatistics
    _as_size: bool

    async def add(self, walked: Walked, found: dict[str, Any]) -> None:
        """Keep nothing: the walk counts."""

    async def document(self, finished: bool) -> Pieces:
        """Give the statistics, under ``size`` or as they are."""
        told = self._statistics.document()
        size = {"finished": finished, "size": told}
        yield _json(size if self._as_size else {**told, "finished": finished})

    async def text(self, finished: bool) -> Pieces:
        """Give the size of all that has one."""
        told = self._statistics
        size = told.immutable_size + told.directory_size
        yield f"{_finished(finished)}size: {size}\n".encode()

    def close(self) -> None:
        """There is nothing to give back."""


@define(eq=False)
class Manifest:
    """Paths and caps."""

    _statistics: TreeStatistics
    _origin: str  # the storage index of the root
    _new_spool: NewSpool
    _rows: SpooledLines = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = SpooledLines(self._new_spool)

    async def add(self, walked: Walked, found: dict[str, Any]) -> None:
        """Keep its path and its caps."""
        await self._rows.append([_row(describe(walked))])

    async def document(self, finished: bool) -> Pieces:
        """Give the statistics and, once it is finished, all the rest."""
        head = {"stats": self._statistics.document(), "finished": finished}
        yield _open({**head, "origin": self._origin})
        if finished:
            columns: tuple[tuple[str, Callable[[Row], Any]], ...] = (
                ("manifest", lambda row: [row["path"], row["cap"]]),
                ("verifycaps", lambda row: row["verifycap"] or None),
                ("storage-index", lambda row: row["storage-index"] or None),
            )
            for name, column in columns:
                async for piece in _list(name, self._rows, lambda row: [column(row)]):  # noqa: B023
                    yield piece
        yield b"\n}"

    async def text(self, finished: bool) -> Pieces:
        """Give a line for each object."""
        yield _finished(finished).encode()
        if not finished:
            return
        async for lines in self._rows.read():
            rows = map(json.loads, lines)
            shown = (f"{'/'.join(row['path'])} {row['cap']}\n" for row in rows)
            yield "".join(shown).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Give the disk back."""
        self._rows.close()


@define(eq=False)
class Checked:
    """What checks found: each, those worth telling, and how many there are."""

    _statistics: TreeStatistics
    _origin: str
    _new_spool: NewSpool
    _repairs: bool
    counts: dict[str, int] = field(init=False)
    _rows: SpooledLines = field(init=False)
    _bad: SpooledLines = field(init=False)  # those that are unhealthy, or corrupt in parts

    def __attrs_post_init__(self) -> None:
        self._rows = SpooledLines(self._new_spool)
        self._bad = SpooledLines(self._new_spool)
        names = _REPAIR_COUNTS if self._repairs else _CHECK_COUNTS
        self.counts = dict.fromkeys(("count-objects-checked", *names), 0)

    async def add(self, walked: Walked, found: dict[str, Any]) -> None:
        """Count an object, and keep what was found of it."""
        index = index_in(walked.verify)
        if not index:
            return  # what is in its cap was not checked
        self.counts["count-objects-checked"] += 1
        if self._repairs:
            result = found["check-and-repair-results"]
            before, after = (result[f"{each}-repair-results"] for each in ("pre", "post"))
            self._count(before, "-pre-repair")
            self._count(after, "-post-repair")
            if result["repair-attempted"]:
                done = "" if result["repair-successful"] else "un"
                self.counts["count-repairs-attempted"] += 1
                self.counts[f"count-repairs-{done}successful"] += 1
        else:
            before = after = result = found["check-results"]
            self._count(result, "")
        row = _row({"path": walked.path, "storage-index": index, "found": result})
        await self._rows.append([row])
        if any(
            not each["results"]["healthy"] or _corrupt(each) for each in (before, after)
        ):
            told = {"path": walked.path, "before": before, "after": after}
            await self._bad.append([_row(told)])

    def _count(self, found: Row, when: str) -> None:
        health = "healthy" if found["results"]["healthy"] else "unhealthy"
        self.counts[f"count-objects-{health}{when}"] += 1
        self.counts[f"count-corrupt-shares{when}"] += len(_corrupt(found))

    async def document(self, finished: bool) -> Pieces:
        """Give the numbers, and what is unhealthy."""
        yield _open(
            {"finished": finished, "root-storage-index": self._origin, **self.counts}
        )
        lists: list[tuple[str, Callable[[Row], Iterable[Any]]]] = [
            ("list-corrupt-shares", lambda row: _corrupt(row["before"])),
            ("list-unhealthy-files", _unhealthy),
        ]
        if self._repairs:
            remaining = ("list-remaining-corrupt-shares", lambda r: _corrupt(r["after"]))
            lists.insert(1, remaining)
        for name, column in lists:
            async for piece in _list(name, self._bad, column):
                yield piece
        yield b',\n"stats": ' + _json(self._statistics.document()) + b"\n}"

    async def text(self, finished: bool) -> Pieces:
        """Give the numbers, a line for each."""
        lines = (f"{name}: {count}\n" for name, count in self.counts.items())
        yield (_finished(finished) + "".join(lines)).encode()

    async def find(self, index: str) -> Row | None:
        """Return what was found of the object of a storage index."""
        wanted = json.dumps(index).encode("ascii")
        async for lines in self._rows.read():
            for line in lines:
                if wanted in line and (row := json.loads(line))["storage-index"] == index:
                    found: Row = row["found"]
                    return found
        return None

    def close(self) -> None:
        """Give the disk back."""
        self._rows.close()
        self._bad.close()


_CHECK_COUNTS = (
    "count-objects-healthy",
    "count-objects-unhealthy",
    "count-corrupt-shares",
)
_REPAIR_COUNTS = (
    "count-objects-healthy-pre-repair",
    "count-objects-unhealthy-pre-repair",
    "count-objects-healthy-post-repair",
    "count-objects-unhealthy-post-repair",
    "count-repairs-attempted",
    "count-repairs-successful",
    "count-repairs-unsuccessful",
    "count-corrupt-shares-pre-repair",
    "count-corrupt-shares-post-repair",
)


def _corrupt(found: Row) -> list[Any]:
    shares: list[Any] = found["results"]["list-corrupt-shares"]
    return shares


def _unhealthy(row: Row) -> Iterable[Any]:
    healthy = row["before"]["results"]["healthy"]
    return [] if healthy else [[row["path"], row["before"]]]


def _finished(finished: bool) -> str:
    return f"finished: {'yes' if finished else 'no'}\n"


def _json(told: object) -> bytes:
    return json.dumps(told, indent=1).encode("ascii")


def _row(told: object) -> bytes:
    return json.dumps(told).encode("ascii")


def _open(told: dict[str, Any]) -> bytes:
    """Return an object to which more is added."""
    return json.dumps(told, indent=1).encode("ascii").removesuffix(b"\n}")


async def _list(
    name: str, rows: SpooledLines, column: Callable[[Row], Iterable[Any]]
) -> Pieces:
    """Give what *column* makes of each of *rows*, but for None, as a list."""
    lead = b',\n"%s": [\n' % name.encode("ascii")
    async for lines in rows.read():
        found = (each for line in lines for each in column(json.loads(line)))
        items = [json.dumps(each).encode("ascii") for each in found if each is not None]
        if items:
            yield lead + b",\n".join(items)
            lead = b",\n"
    yield b"\n]" if lead == b",\n" else lead.rstrip() + b"]"
