"""
Stock clients at our helper: their ciphertext is pulled.

Source: ``docs/formats/helper-stock.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee import __version__
from truckee.errors import Misuse
from truckee.flow.limits import Exclusive
from truckee.helper.errors import HelperBusy
from truckee.helper.protocol import RIUploadHelper
from truckee.helper.pull_results import UploadResults
from truckee.helper.server.pull_client import ClientPatience, StockClient
from truckee.helper.server.pull_results import results_of, results_of_upload
from truckee.helper.server.registry import Uploads
from truckee.helper.server.stored import Stored
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import CHK_UPLOAD, LARGEST_PIECE, SOFTWARE, PullOpened
from truckee.net.foolscap.peer_safe_failures import answered
from truckee.storage.foolscap_schema import serves

# Clients that are served or wait at the same time, of all files together.
MOST_CLIENTS = 256


@define
class BadStorageIndex(Misuse):
    """A storage index has 16 bytes."""


@define(eq=False)
class StockUploads:
    """Stores what stock clients bring, in the same uploads as what is pushed."""

    _uploads: Uploads
    _clock: IReactorTime
    # What others call the server with this lease seed.
    _server_id: Callable[[bytes], bytes] = lambda seed: seed
    patience: ClientPatience = field(factory=ClientPatience)
    _clients: int = field(default=0, init=False)
    # Of the clients with one file, one at a time is asked for it.
    _turns: Exclusive = field(factory=Exclusive, init=False)

    async def open(self, storage_index: bytes) -> tuple[Any, Any]:
        """
        Return a way to bring a file to the grid, as ``PullOpened`` is told.

        That it is there already is said when it is known who asks.
        """
        if len(storage_index) != 16:
            raise BadStorageIndex
        return PullOpened(None, StockUpload(storage_index, self)).to_wire()

    async def upload(self, storage_index: bytes, reader: Any) -> UploadResults:
        """Store the file that *reader* has."""
        if self._clients >= MOST_CLIENTS:
            raise HelperBusy
        self._clients += 1
        client = StockClient(reader, self._clock, self.patience)
        try:
            return await self._upload(storage_index, client)
        finally:
            self._clients -= 1
            client.close()

    async def _upload(self, storage_index: bytes, client: StockClient) -> UploadResults:
        begin = self._clock.seconds()
        size = await client.size()
        parameters = await client.parameters(size)
        owner = client.owner
        upload = await self._uploads.open(
            storage_index, parameters, size, owner=owner, own=True
        )
        if isinstance(upload, Stored):
            return results_of(upload, self._server_id)
        try:
            async with self._turns.hold((storage_index, owner.id)):
                fetched = await _pull(client, upload, size)
            complete = self._clock.seconds()
            stored = await upload.finish(size, None)
        except Exception:
            upload.leave()
            # Who hears of the error can begin anew at once.
            await upload.settled()
            raise
        upload.leave()
        end = self._clock.seconds()
        timings = {
            "cumulative_fetch": complete - begin,
            "total_fetch": complete - begin,
            # It began with the first byte.
            "total_encode_and_push": end - begin,
            "total": end - begin,
        }
        return results_of_upload(stored, storage_index, self._server_id, fetched, timings)


async def _pull(client: StockClient, upload: HelperUpload, size: int) -> int:
    """Ask for what is missing, return how many bytes came."""
    fetched = 0
    while (held := upload.held) < size:
        data = await client.read(held, min(LARGEST_PIECE, size - held))
        fetched += len(data)
        await upload.append(held, data)
    return fetched


@serves(RIUploadHelper)
@define(eq=False)
class StockUpload(Referenceable):
    """One file that a stock client may bring."""

    _storage_index: bytes
    _uploads: StockUploads

    def remote_get_version(self) -> dict[bytes, object]:
        return {
            CHK_UPLOAD: {},
            SOFTWARE: b"truckee/" + __version__.encode(),
        }

    def remote_upload(self, reader: Any) -> Deferred[UploadResults]:
        return answered(self._uploads.upload(self._storage_index, reader))
