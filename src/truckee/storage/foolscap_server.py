"""
Our storage server for clients over foolscap.

Source: ``docs/formats/storage-foolscap.md``.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee import __version__
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Misuse, Refused
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    MAX_SHARE_SIZE,
    PROTOCOL,
    RIBucketReader,
    RIBucketWriter,
    RIStorageServer,
    serves,
)
from truckee.storage.interfaces import IShareReader, IShareWriter, IStorageServer

log = Logger()
T = TypeVar("T")

# What stock servers do with a writer that is silent, so that what it holds is not lost.
IDLE_LIMIT = 30 * 60  # seconds
_MAX_REASON = 32_000  # bytes of a text for the operator


@define
class BadStorageIndex(Misuse):
    """A storage index has 16 bytes, and share numbers are 0 to 255."""


@define
class NoMutableFiles(Refused):
    """This server takes no mutable files yet."""


def _run(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    return Deferred.fromCoroutine(work)


@serves(RIStorageServer)
@define(eq=False)
class FoolscapStorage(Referenceable):
    """Serves *storage* to whoever has the furl."""

    _storage: IStorageServer
    _reactor: IReactorTime

    def remote_get_version(self) -> Deferred[dict[bytes, object]]:
        return _run(self._version())

    async def _version(self) -> dict[bytes, object]:
        space = await self._storage.available_space()
        return {
            b"application-version": b"truckee/" + __version__.encode(),
            PROTOCOL: {
                MAX_SHARE_SIZE: space,
                AVAILABLE_SPACE: space,
                b"maximum-mutable-share-size": 0,
                b"tolerates-immutable-read-overrun": True,
                b"delete-mutable-shares-with-zero-length-writev": True,
                b"fills-holes-with-zero-bytes": True,
                b"prevents-read-past-end-of-share-data": True,
            },
        }

    def remote_allocate_buckets(
        self,
        storage_index: bytes,
        renew_secret: bytes,
        cancel_secret: bytes,
        sharenums: set[int],
        allocated_size: int,
        canary: Any,
    ) -> Deferred[tuple[set[int], dict[int, Bucket]]]:
        _check(storage_index, *sharenums)
        if allocated_size < 0:
            raise BadStorageIndex
        secrets = LeaseSecrets(renew_secret, cancel_secret)
        return _run(
            self._allocate(storage_index, secrets, sharenums, allocated_size, canary)
        )

    async def _allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: set[int],
        size: int,
        canary: Any,
    ) -> tuple[set[int], dict[int, Bucket]]:
        answer = await self._storage.allocate(storage_index, secrets, shares, size)
        buckets = {
            share: Bucket(writer, size, self._reactor, canary)
            for share, writer in answer.writers.items()
        }
        for bucket in buckets.values():
            bucket.begin()
        return set(answer.already), buckets

    def remote_add_lease(
        self, storage_index: bytes, renew_secret: bytes, cancel_secret: bytes
    ) -> Deferred[None]:
        _check(storage_index)
        secrets = LeaseSecrets(renew_secret, cancel_secret)
        return _run(self._storage.add_lease(storage_index, secrets))

    def remote_get_buckets(self, storage_index: bytes) -> Deferred[dict[int, BucketReader]]:
        _check(storage_index)
        return _run(self._buckets(storage_index))

    async def _buckets(self, storage_index: bytes) -> dict[int, BucketReader]:
        found = await self._storage.buckets(storage_index)
        return {
            share: BucketReader(self._storage, storage_index, share, reader)
            for share, reader in found.items()
        }

    def remote_slot_readv(
        self, storage_index: bytes, shares: object, readv: object
    ) -> object:
        """There are no slots, which is how a client learns that a file is not here."""
        _check(storage_index)
        return {}

    def remote_slot_testv_and_readv_and_writev(self, *_: object) -> object:
        raise NoMutableFiles

    def remote_advise_corrupt_share(
        self, share_type: bytes, storage_index: bytes, shnum: int, reason: bytes
    ) -> Deferred[None]:
        _check(storage_index, shnum)
        return _run(_note(self._storage, storage_index, shnum, reason))


@serves(RIBucketWriter)
@define(eq=False)
class Bucket(Referenceable):
    """
    A share that a client writes.

    Calls take effect in the order they came.  The share is given up when the client's
    connection is lost, or nothing was written for half an hour.
    """

    _writer: IShareWriter
    _size: int
    _reactor: IReactorTime
    _canary: Any
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _marker: Any = field(default=None, init=False)

    def begin(self) -> None:
        """Watch the client."""
        self._marker = self._canary.notifyOnDisconnect(self._give_up)
        self._timer = self._reactor.callLater(IDLE_LIMIT, self._give_up)

    def remote_write(self, offset: int, data: bytes) -> Deferred[None]:
        if offset < 0 or not data:
            raise ValueError("a write has an offset of at least 0 and some bytes")
        if self._timer is not None:
            self._timer.reset(IDLE_LIMIT)
        return _run(self._in_turn(self._writer.write(offset, [data])))

    def remote_close(self) -> Deferred[None]:
        return _run(self._in_turn(self._close()))

    def remote_abort(self) -> Deferred[None]:
        self._forget()
        return _run(self._in_turn(self._writer.abort()))

    async def _close(self) -> None:
        await self._writer.close(self._size)
        self._forget()

    async def _in_turn(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        await self._turn.acquire()
        try:
            await work
        finally:
            self._turn.release()

    def _give_up(self) -> None:
        self._forget()
        done = _run(self._in_turn(self._writer.abort()))
        done.addErrback(lambda failure: log.failure("A share was not removed", failure))

    def _forget(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        marker, self._marker = self._marker, None
        if marker is not None:
            self._canary.dontNotifyOnDisconnect(marker)


@serves(RIBucketReader)
@define(eq=False)
class BucketReader(Referenceable):
    """A finished share for a client."""

    _storage: IStorageServer
    _storage_index: bytes
    _share: int
    _reader: IShareReader

    def remote_read(self, offset: int, length: int) -> Deferred[bytes]:
        if offset < 0:
            raise ValueError("an offset is at least 0")
        return _run(self._reader.read(offset, max(0, length)))

    def remote_advise_corrupt_share(self, reason: bytes) -> Deferred[None]:
        return _run(_note(self._storage, self._storage_index, self._share, reason))


async def _note(
    storage: IStorageServer, storage_index: bytes, share: int, reason: bytes
) -> None:
    """Keep a client's report, if it is about a share that is here."""
    if share in await storage.buckets(storage_index):
        text = reason[:_MAX_REASON].decode("utf-8", "replace")
        await storage.advise_corrupt(storage_index, share, text)


def _check(storage_index: bytes, *shares: int) -> None:
    if len(storage_index) != 16 or not all(0 <= share < 256 for share in shares):
        raise BadStorageIndex
