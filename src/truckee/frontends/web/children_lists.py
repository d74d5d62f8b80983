"""The lists of children in JSON that clients send, and how much of them is in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext

from attrs import define, field

from truckee.codec.children_json import GivenChild, parse_children
from truckee.codec.new_table import NewTable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.immutable.upload.body import Body, FileTooLarge
from truckee.mutable.body_room import BodyRoom
from truckee.mutable.reader import MAX_WHOLE
from truckee.tree.new_immutable import pack_children

MAX_LIST = 16 << 20  # bytes of a list that is in memory as a whole
# Bytes of one that is not; what it leaves out of a table is a few times the table.
MAX_STREAM = 4 * MAX_WHOLE
# A list of fewer bytes waits for nobody.
_SMALL = 64 << 10


@define
class ListTooLong(FileTooLarge):
    """
    The list of children is longer than the {limit} bytes that are taken at once. Make the
    directory with some of them, or with none, and link the others by t=set_children, some
    at a time. An immutable directory (t=mkdir-immutable) takes a longer list.
    """


@define
class StreamTooLong(FileTooLarge):
    """
    The list of children is longer than the {limit} bytes that are taken. Send only
    "ro_uri" and "metadata" of each, or link some of them from directories of their own.
    """


_BOUNDS: Mapping[str, tuple[int, type[FileTooLarge]]] = {
    "mkdir-immutable": (MAX_STREAM, StreamTooLong),
    "mkdir-with-children": (MAX_LIST, ListTooLong),
    "set_children": (MAX_LIST, ListTooLong),
    "set-children": (MAX_LIST, ListTooLong),
}


@define(eq=False)
class ChildrenLists:
    """Reads them."""

    _cpu: Workers
    _texts: BodyRoom = field(factory=lambda: BodyRoom(Budget(4 * MAX_LIST)))
    _tables: Budget = field(factory=lambda: Budget(MAX_WHOLE))

    def check_length(self, kind: str, length: int | None) -> None:
        """
        Refuse, before it comes, what would not be taken for a ``t=`` of *kind*.

        :raises FileTooLarge:
        """
        if kind in _BOUNDS and length is not None:
            most, error = _BOUNDS[kind]
            if length > most:
                raise error(most)

    async def read(
        self, body: AsyncIterator[bytes], length: int | None
    ) -> dict[str, GivenChild]:
        """Return the children in *body*.  :raises BadChildren: :raises FileTooLarge:"""
        content = Body(body, MAX_LIST, length, ListTooLong)
        async with self._texts.hold(content, MAX_LIST):
            return await self._cpu.run(parse_children, content.take_all())

    @asynccontextmanager
    async def packed(
        self, body: AsyncIterator[bytes], length: int | None
    ) -> AsyncIterator[NewTable]:
        """
        Have the table of an immutable directory with the children in *body*.

        :raises BadChildren: :raises BadNamedChild: :raises FileTooLarge:
        """
        content = Body(body, MAX_STREAM, length, StreamTooLong)
        await content.peek(_SMALL + 1)
        room = 0 if content.ended else min(content.most, MAX_WHOLE)
        async with self._tables.hold(room) if room else nullcontext():
            yield await pack_children(content, self._cpu)
