"""The writers of an upload that is to outlive cuts, where servers keep its shares."""

from __future__ import annotations

from functools import partial

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.grid.selection import Placement
from truckee.grid.share_request import ShareRequest
from truckee.immutable.upload.block_hashes import BlockHashes
from truckee.immutable.upload.continued_writer import ContinuedWriter
from truckee.storage.interfaces import IKeptWriter, IShareWriter, IStorageServer


@frozen(eq=False)
class LastingShares:
    """Makes writers that continue after a cut, of those that servers give."""

    _request: ShareRequest
    _hashes: BlockHashes
    _clock: IReactorTime

    def of(self, placement: Placement) -> Placement:
        """Return *placement* with such writers."""
        writers = {
            share: self._lasting(share, placement.servers[share], writer)
            for share, writer in placement.writers.items()
        }
        return evolve(placement, writers=writers)

    async def take(self, share: int, server: IStorageServer) -> IShareWriter:
        """Have *server* take one more share.  :raises NoSpace: when it does not."""
        return self._lasting(share, server, await self._request.one(share, server))

    def _lasting(
        self, share: int, server: IStorageServer, writer: IShareWriter
    ) -> IShareWriter:
        if not IKeptWriter.providedBy(writer):
            return writer
        return ContinuedWriter(
            server.name,
            writer,
            partial(self._request.again, share, server),
            partial(self._hashes.of, share),
            self._clock,
        )
