"""Whether a file that is brought to a helper is on the grid already."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from truckee.flow.cpu import Workers
from truckee.grid.placement import happiness
from truckee.grid.selection import Selector
from truckee.helper.ownership import Owner
from truckee.helper.server.stored import Stored
from truckee.helper.server.stored_files import StoredFiles
from truckee.helper.wire import Parameters
from truckee.immutable.upload.existing_shares import ExistingShares, Holders
from truckee.storage.interfaces import IStorageServer

# How long it is known what became of an upload whose gateway was away in the end.
UNHEARD = 600.0  # seconds


@define(eq=False)
class PresentFiles:
    """Looks for shares of files, and knows what was stored lately."""

    _selector: Selector
    _disk: Workers
    _now: Callable[[], float]  # Unix seconds
    _stored: StoredFiles = field(factory=StoredFiles, init=False)

    def remember(
        self, storage_index: bytes, owner: Owner, stored: Stored, unheard: bool
    ) -> None:
        """Know that a file was stored, and whether its gateway was there to hear it."""
        when = self._now() if unheard else None
        self._stored.add(storage_index, owner, stored.ueb, when)

    async def find(
        self, storage_index: bytes, parameters: Parameters, owner: Owner, own: bool
    ) -> Stored | None:
        """
        Return the file if all its shares are on the grid, on servers enough.

        Of a file that *owner* stored just now there may be fewer.  Whoever cannot check
        what is on the grid wants to hear of their *own* files only.
        """
        total = parameters.total
        before = self._stored.ueb(storage_index, owner)
        if own and not before:
            return None
        ours = self._stored.unheard(storage_index, owner, self._now() - UNHEARD)
        found = await self._selector.survey(storage_index, total)
        if len(found) < total and not ours:
            return None
        for ueb, holders in await self._read(storage_index, found):
            if own and ueb != before:
                continue
            enough = len(holders) == total or ueb == ours
            if enough and happiness(holders) >= parameters.happy:
                return _stored(ueb, holders)
        return None

    async def _read(
        self, storage_index: bytes, found: Holders
    ) -> list[tuple[bytes, dict[int, set[IStorageServer]]]]:
        """Return the UEBs in shares that were found, and who holds which shares of each."""
        existing = ExistingShares(storage_index, self._disk)
        await existing.prove(found)
        return [(ueb, existing.holders(ueb)) for ueb in existing.uebs]


def _stored(ueb: bytes, holders: Mapping[int, set[IStorageServer]]) -> Stored:
    """Return a file that was there."""
    found = {
        share: sorted(on, key=lambda server: (server.name, server.lease_seed))
        for share, on in sorted(holders.items())
    }
    return Stored(
        ueb,
        {share: [server.name for server in on] for share, on in found.items()},
        len(holders),
        {share: [server.lease_seed for server in on] for share, on in found.items()},
    )
