"""Directories of one directory that a walk has listed and not come to yet."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice

from attrs import define, field

from truckee.codec.children import child_from_caps
from truckee.flow.cpu import Workers
from truckee.flow.spooled_lines import NewSpool, SpooledLines
from truckee.tree.listing import Found, found

# That many wait in memory, less than a megabyte; those behind them on disk.
MOST_WAITING = 512


@define(eq=False)
class Waiting:
    """
    A queue: add all, then take them one by one.  Whoever makes one closes it.

    What is on disk is encrypted, under a key that is in memory alone.
    """

    path: tuple[str, ...]  # of the directory that they are in
    _new_spool: NewSpool
    _cpu: Workers
    _near: deque[Found] = field(factory=deque, init=False, repr=False)
    _far: SpooledLines | None = field(default=None, init=False)
    _lines: AsyncGenerator[list[bytes], None] | None = field(default=None, init=False)

    async def add(self, batch: Sequence[Found]) -> None:
        """Put *batch* behind the others.  :raises SpoolDiskFull: :raises SpoolFull:"""
        room = MOST_WAITING - len(self._near) if self._far is None else 0
        self._near.extend(batch[:room])
        if len(batch) > room:
            if self._far is None:
                self._far = SpooledLines(self._new_spool)
            await self._far.append(_pack(batch[room:]))

    async def take(self) -> Found | None:
        """Return the first one, or None when there are no more.  :raises SpoolDiskFull:"""
        while not self._near and self._far is not None:
            if self._lines is None:
                self._lines = self._far.read()
            lines = await anext(self._lines, None)
            if lines is None:
                await self.close()
                break
            self._near.extend(await self._cpu.run(_unpack, lines))
        return self._near.popleft() if self._near else None

    def near(self, most: int) -> Iterator[Found]:
        """Give those that come next and are in memory, at most so many."""
        return islice(self._near, most)

    async def close(self) -> None:
        """Give the disk back; may be called twice."""
        far, self._far = self._far, None
        if self._lines is not None:
            await self._lines.aclose()
        if far is not None:
            far.close()


def _pack(batch: Sequence[Found]) -> list[bytes]:
    pairs = ([each.name, str(each.child.cap)] for each in batch)
    return [json.dumps(pair).encode("ascii") for pair in pairs]


def _unpack(lines: Sequence[bytes]) -> list[Found]:
    pairs = map(json.loads, lines)
    return [found(name, child_from_caps(cap, None)) for name, cap in pairs]
