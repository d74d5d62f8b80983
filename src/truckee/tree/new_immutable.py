"""The table of an immutable directory, out of a body that says what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from truckee.codec.children import ChildMustBeImmutable
from truckee.codec.children_json import BadNamedChild, GivenChild
from truckee.codec.children_stream import ChildrenStream
from truckee.codec.directory_children import Link, new_immutable_entry
from truckee.codec.new_table import NewTable
from truckee.flow.cpu import Workers
from truckee.tree.directories import check_table_size


async def pack_children(body: AsyncIterator[bytes], cpu: Workers) -> NewTable:
    """
    Return the table of the children in *body*; only the table is in memory.

    :raises BadChildren: :raises BadNamedChild: :raises BadMetadata:
    :raises DirectoryTooLarge: as soon as one is met
    """
    stream, table = ChildrenStream(), NewTable()

    def add(children: Iterable[tuple[str, GivenChild]]) -> None:
        for name, given in children:
            link = Link(given.child, given.metadata or {})
            try:
                table.add(new_immutable_entry(name, link))
            except ChildMustBeImmutable as error:
                raise BadNamedChild(name, str(error)) from None

    async for data in body:
        await cpu.run(add, stream.feed(data))
        check_table_size(table.size)
    await cpu.run(add, stream.finish())
    return table
