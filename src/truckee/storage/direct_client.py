"""Shares over there without objects of the server: one call stores one, or reads of it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.storage.interfaces import (
    IDirectShares,
    IShareReader,
    IShareWriter,
    NoSpace,
    ShareClosed,
    ShareTooLarge,
)


@implementer(IShareWriter)
@define(eq=False)
class DirectWriter:
    """
    A share of *size* bytes for *shares*, kept in memory until then.

    Nothing is asked before, so a server without room refuses it only at the end.
    """

    _server: str  # its name
    _shares: IDirectShares
    _storage_index: bytes
    _secrets: LeaseSecrets = field(repr=False)
    _share: int
    _size: int
    _data: bytearray | None = field(factory=bytearray, init=False, repr=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        data, end = self._open(), offset + sum(map(len, parts))
        if end > self._size:
            raise ShareTooLarge(self._share, end, self._size)
        if len(data) < end:
            data.extend(bytes(end - len(data)))
        for part in parts:
            data[offset : offset + len(part)] = part
            offset += len(part)

    async def close(self, size: int) -> None:
        """See ``IShareWriter``.  :raises NoSpace: when the server does not take it."""
        data = self._open()
        if size > self._size:
            raise ShareTooLarge(self._share, size, self._size)
        self._data = None
        whole = bytes(data[:size]).ljust(size, b"\0")
        stored = await self._shares.store(
            self._storage_index, self._secrets, self._share, whole
        )
        if not stored:
            raise NoSpace(self._server)

    async def abort(self) -> None:
        """See ``IShareWriter``; a share that is being stored may stay."""
        self._data = None

    def _open(self) -> bytearray:
        if self._data is None:
            raise ShareClosed(self._share)
        return self._data


@implementer(IShareReader)
@frozen(eq=False)
class DirectReader:
    """A share that is looked for with each read; without it there are no bytes."""

    _shares: IDirectShares
    _storage_index: bytes
    _share: int

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``; *length* is at most ``MAX_DIRECT_SHARE``."""
        return await self._shares.read(self._storage_index, self._share, offset, length)
