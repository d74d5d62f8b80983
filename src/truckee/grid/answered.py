"""Which servers said a moment ago what they have of some file."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.storage.interfaces import IStorageServer

# So long counts an answer: many small files that are stored in a row ask once in a while.
LATELY = 5.0  # seconds


@define(eq=False)
class Answered:
    """When servers last answered that question."""

    _clock: IReactorTime
    _at: dict[IStorageServer, float] = field(factory=dict, init=False, repr=False)

    def heard(self, asked: Iterable[IStorageServer], held: Collection[object]) -> None:
        """Note which of those that were *asked* gave an answer, those in *held*."""
        now = self._clock.seconds()
        self.forget(asked)
        self._at |= {server: now for server in asked if server in held}

    def forget(self, servers: Iterable[IStorageServer]) -> None:
        """Have *servers* asked again."""
        for server in servers:
            self._at.pop(server, None)

    def lately(self, servers: Iterable[IStorageServer]) -> set[IStorageServer]:
        """Return those of *servers* that need not be asked again."""
        least = self._clock.seconds() - LATELY
        self._at = {server: at for server, at in self._at.items() if at > least}
        return {server for server in servers if server in self._at}
