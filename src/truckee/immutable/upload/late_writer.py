"""A share for which room is asked when its first bytes are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.flow.together import Work
from truckee.storage.interfaces import IShareWriter


@implementer(IShareWriter)
@define(eq=False)
class LateWriter:
    """The writer that *allocate* returns; whoever uses it makes one call at a time."""

    _allocate: Callable[[], Work[IShareWriter]]
    _writer: IShareWriter | None = field(default=None, init=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``; also raises what the allocation does."""
        await (await self._get()).write(offset, parts)

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        await (await self._get()).close(size)

    async def abort(self) -> None:
        """See ``IShareWriter``."""
        if self._writer is not None:
            await self._writer.abort()

    async def _get(self) -> IShareWriter:
        if self._writer is None:
            self._writer = await self._allocate()
        return self._writer
