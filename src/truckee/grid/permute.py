"""The order in which a file's servers are asked.  Source: formats, "Server order"."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1

from truckee.storage.interfaces import IStorageServer


def permuted(
    servers: Iterable[IStorageServer], storage_index: bytes
) -> list[IStorageServer]:
    """Return *servers* in the order that every client uses for *storage_index*."""
    return sorted(
        servers,
        key=lambda server: sha1(storage_index + server.permutation_seed).digest(),
    )
