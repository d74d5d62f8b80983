"""Stock clients at our helper: their ciphertext is pulled."""

from __future__ import annotations

from typing import Any

from attrs import define

from truckee.helper.uploads import Uploads


@define(eq=False)
class StockUploads:
    """Begins uploads of stock clients."""

    _uploads: Uploads

    async def open(self, storage_index: bytes) -> tuple[Any, Any]:
        """Return the results of a file that is there, or an upload."""
        raise NotImplementedError
