"""
Our storage server for clients over foolscap.

Source: ``docs/formats/storage-foolscap.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee import __version__
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Misuse
from truckee.flow.limits import Budget
from truckee.storage import foolscap_slots
from truckee.storage.channel_server import ShareChannels, TooManyChannels
from truckee.storage.foolscap_answers import ShareAnswers, new_budget
from truckee.storage.foolscap_kept import KeptAnswers, RemoteKeptWriter, Wish
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    DIRECT_SHARES,
    DURABLE,
    KEEPS_SHARES,
    MAX_SHARE_SIZE,
    MAX_SLOT_SHARE_SIZE,
    PROTOCOL,
    SHARE_CHANNEL,
    RIBucketReader,
    RIBucketWriter,
    RIStorageServer,
    serves,
)
from truckee.storage.foolscap_slot_answers import SlotAnswers
from truckee.storage.foolscap_writer import RemoteWriter, run
from truckee.storage.interfaces import (
    IDirectShares,
    ILocalSlots,
    IShareReader,
    ISlotServer,
    IStorageServer,
    OtherKind,
    SlotSecrets,
)
from truckee.storage.no_slots import NoSlots
from truckee.storage.quotas import ShareQuotas, within

# No share has so many bytes, nor can foolscap count them.
_MAX_LENGTH = 1 << 62
_MAX_REASON = 32_000  # bytes of a text for the operator


@define
class NoSuchCall(Misuse):
    """This server does not store or read shares in one call."""


@define
class BadStorageIndex(Misuse):
    """A storage index has 16 bytes, and share numbers are 0 to 255."""


@serves(RIStorageServer)
@define(eq=False)
class FoolscapStorage(Referenceable):
    """Serves *storage*, and the *slots* beside it, to whoever has the furl."""

    _storage: IStorageServer
    _reactor: IReactorTime
    _slots: ILocalSlots = field(factory=NoSlots)
    _quotas: ShareQuotas = Factory(
        lambda self: ShareQuotas(self._reactor.seconds), takes_self=True
    )
    # Share channels, where the port takes them.
    channels: ShareChannels | None = field(default=None, init=False)
    _ready: Budget = field(factory=new_budget, init=False)
    _answers: ShareAnswers = Factory(
        lambda self: ShareAnswers(self._ready), takes_self=True
    )
    _slot_answers: SlotAnswers = Factory(
        lambda self: SlotAnswers(self._slots, self._reactor, self._ready), takes_self=True
    )
    _kept_answers: KeptAnswers = Factory(
        lambda self: KeptAnswers(self._storage, self._slots, self._quotas, self._reactor),
        takes_self=True,
    )

    def sink(self, handle: bytes) -> RemoteKeptWriter | None:
        """Return the share that a client has open under this *handle*."""
        return self._kept_answers.sink(handle)

    def remote_truckee_share_channel(self, canary: Any) -> tuple[bytes, bytes]:
        if self.channels is None:
            raise TooManyChannels
        return self.channels.door(str(canary.getRemoteTubID()))

    def remote_get_version(self) -> Deferred[dict[bytes, object]]:
        return run(self._version())

    async def _version(self) -> dict[bytes, object]:
        space = await self._storage.available_space()
        return {
            b"application-version": b"truckee/" + __version__.encode(),
            DURABLE: self._storage.durable,
            **({} if self._storage.kept is None else {KEEPS_SHARES: 1}),
            **({} if self._storage.direct is None else {DIRECT_SHARES: 1}),
            **({} if self.channels is None else {SHARE_CHANNEL: 1}),
            PROTOCOL: {
                MAX_SHARE_SIZE: space,
                AVAILABLE_SPACE: space,
                MAX_SLOT_SHARE_SIZE: self._slots.max_share_size,
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
        return run(
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
        if await self._slots.shares(storage_index):
            raise OtherKind("mutable")
        peer = canary.getRemoteTubID()
        space = await self._storage.available_space() if shares and size else 0
        claims = self._quotas.claim(peer, shares, size, space)
        answer = await within(
            claims, self._storage.allocate(storage_index, secrets, claims.keys(), size)
        )
        buckets = {
            share: Bucket(writer, self._reactor, canary, claims[share], size)
            for share, writer in answer.writers.items()
        }
        for bucket in buckets.values():
            bucket.begin()
        return set(answer.already), buckets

    def remote_truckee_store_share(
        self,
        storage_index: bytes,
        renew_secret: bytes,
        cancel_secret: bytes,
        sharenum: int,
        data: bytes,
    ) -> Deferred[int]:
        _check(storage_index, sharenum)
        secrets = LeaseSecrets(renew_secret, cancel_secret)
        storing = run(self._direct.store(storage_index, secrets, sharenum, data))
        return storing.addCallback(int)

    def remote_truckee_read_share(
        self, storage_index: bytes, sharenum: int, offset: int, length: int
    ) -> Deferred[bytes]:
        _check(storage_index, sharenum)
        if offset < 0 or length < 0:
            raise ValueError("an offset and a length are at least 0")
        return run(self._direct.read(storage_index, sharenum, offset, length))

    @property
    def _direct(self) -> IDirectShares:
        direct = self._storage.direct
        if direct is None:
            raise NoSuchCall
        return direct

    def remote_add_lease(
        self, storage_index: bytes, renew_secret: bytes, cancel_secret: bytes
    ) -> Deferred[None]:
        _check(storage_index)
        secrets = LeaseSecrets(renew_secret, cancel_secret)
        return run(self._add_lease(storage_index, secrets))

    async def _add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self._storage.add_lease(storage_index, secrets)
        await self._slots.add_lease(storage_index, secrets)

    def remote_get_buckets(self, storage_index: bytes) -> Deferred[dict[int, BucketReader]]:
        _check(storage_index)
        return run(self._buckets(storage_index))

    async def _buckets(self, storage_index: bytes) -> dict[int, BucketReader]:
        found = await self._storage.buckets(storage_index)
        if not found and await self._slots.shares(storage_index):
            raise OtherKind("mutable")
        return {
            share: BucketReader(self._storage, storage_index, share, reader, self._answers)
            for share, reader in found.items()
        }

    def remote_slot_readv(
        self, storage_index: bytes, shares: list[int], readv: list[tuple[int, int]]
    ) -> Deferred[object]:
        _check(storage_index)
        reads = foolscap_slots.reads_of(readv)
        return run(self._slot_answers.read(storage_index, set(shares), reads))

    def remote_slot_testv_and_readv_and_writev(
        self,
        storage_index: bytes,
        secrets: tuple[bytes, bytes, bytes],
        tw_vectors: dict[int, foolscap_slots.Vectors],
        r_vector: list[tuple[int, int]],
    ) -> Deferred[tuple[bool, object]]:
        _check(storage_index, *tw_vectors)
        write_enabler, renew, cancel = secrets
        return run(
            self._slot_answers.write(
                storage_index,
                SlotSecrets(write_enabler, LeaseSecrets(renew, cancel)),
                {n: foolscap_slots.change_of(each) for n, each in tw_vectors.items()},
                foolscap_slots.reads_of(r_vector),
            )
        )

    def remote_truckee_unfinished_shares(
        self, storage_index: bytes, upload_secret: bytes
    ) -> Deferred[Mapping[int, int]]:
        _check(storage_index)
        return run(self._kept_answers.unfinished(storage_index, upload_secret))

    def remote_truckee_open_shares(
        self,
        storage_index: bytes,
        renew_secret: bytes,
        cancel_secret: bytes,
        upload_secret: bytes,
        sharenums: set[int],
        size: int,
        open_ended: bool,
        brief: bool,
        canary: Any,
    ) -> Deferred[tuple[set[int], dict[int, tuple[RemoteKeptWriter, int, bytes]]]]:
        _check(storage_index, *sharenums)
        secrets = LeaseSecrets(renew_secret, cancel_secret)
        wish = Wish(
            storage_index, secrets, upload_secret, sharenums, size, open_ended, brief
        )
        return run(self._kept_answers.open(wish, canary))

    def remote_advise_corrupt_share(
        self, share_type: bytes, storage_index: bytes, shnum: int, reason: bytes
    ) -> Deferred[None]:
        _check(storage_index, shnum)
        if share_type == b"mutable":
            return run(_note_slot(self._slots, storage_index, shnum, reason))
        return run(_note(self._storage, storage_index, shnum, reason))


@serves(RIBucketWriter)
@define(eq=False)
class Bucket(RemoteWriter):
    """A share that goes with its writer."""

    _size: int

    def remote_close(self) -> Deferred[None]:
        return run(self.in_turn(self.close(self._size)))


@serves(RIBucketReader)
@define(eq=False)
class BucketReader(Referenceable):
    """A finished share for a client."""

    _storage: IStorageServer
    _storage_index: bytes
    _share: int
    _reader: IShareReader
    _answers: ShareAnswers

    def remote_read(self, offset: int, length: int) -> Deferred[object]:
        if offset < 0:
            raise ValueError("an offset is at least 0")
        length = min(max(0, length), _MAX_LENGTH)
        return run(self._answers.read(self._reader, offset, length))

    def remote_advise_corrupt_share(self, reason: bytes) -> Deferred[None]:
        return run(_note(self._storage, self._storage_index, self._share, reason))


async def _note(
    storage: IStorageServer, storage_index: bytes, share: int, reason: bytes
) -> None:
    """Keep a client's report, if it is about a share that is here."""
    if share in await storage.buckets(storage_index):
        await storage.advise_corrupt(storage_index, share, _text(reason))


async def _note_slot(
    slots: ISlotServer, storage_index: bytes, share: int, reason: bytes
) -> None:
    """Keep a client's report, if it is about a share of a slot that is here."""
    if share in await slots.shares(storage_index):
        await slots.advise_corrupt(storage_index, share, _text(reason))


def _text(reason: bytes) -> str:
    return reason[:_MAX_REASON].decode("utf-8", "replace")


def _check(storage_index: bytes, *shares: int) -> None:
    if len(storage_index) != 16 or not all(0 <= share < 256 for share in shares):
        raise BadStorageIndex
