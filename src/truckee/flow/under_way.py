"""Work that goes side by side, and those who wait for its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from truckee.flow.changes import Changes, ending


@define(eq=False)
class UnderWay:
    """Counts what is under way."""

    _count: int = field(default=0, init=False)
    _ends: Changes = field(factory=Changes, init=False, repr=False)

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more is under way in here."""
        self._count += 1
        with ending(self._one_less):
            yield

    async def none(self) -> None:
        """Return when nothing is under way."""
        await self._ends.until(lambda: not self._count)

    def _one_less(self) -> None:
        self._count -= 1
        self._ends.wake()
