"""
Shares in progress that outlive their writers, for clients over foolscap.

Source: ``docs/formats/kept-shares.md``, "Over foolscap".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from threading import Lock
from typing import Any, cast

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.limits import Exclusive
from truckee.storage.channel_frames import HANDLE_SIZE
from truckee.storage.foolscap_schema import RIKeptShareWriter, serves
from truckee.storage.foolscap_writer import RemoteWriter, run
from truckee.storage.interfaces import (
    BadKeptRequest,
    IKeptShares,
    IKeptWriter,
    ILocalWriter,
    ISlotServer,
    IStorageServer,
    OtherKind,
)
from truckee.storage.quotas import Claim, ShareQuotas, within

Key = tuple[bytes, bytes, int]  # storage index, upload secret, share


@frozen
class Wish:
    """What a client asks of ``IKeptShares.open``."""

    storage_index: bytes
    secrets: LeaseSecrets
    upload_secret: bytes = field(repr=False)
    shares: Set[int]
    size: int  # bytes
    open_ended: bool
    brief: bool


@define(eq=False)
class KeptAnswers:
    """Answers what clients ask of the kept shares of *storage*."""

    _storage: IStorageServer
    _slots: ISlotServer
    _quotas: ShareQuotas
    _reactor: IReactorTime
    _random: Callable[[int], bytes] = os.urandom
    # Of shares that are being written.
    _writers: dict[Key, RemoteKeptWriter] = field(factory=dict, init=False, repr=False)
    _by_handle: dict[bytes, RemoteKeptWriter] = field(factory=dict, init=False, repr=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)

    async def unfinished(
        self, storage_index: bytes, upload_secret: bytes
    ) -> Mapping[int, int]:
        """See ``IKeptShares``."""
        return await self._kept.unfinished(storage_index, upload_secret)

    async def open(
        self, wish: Wish, canary: Any
    ) -> tuple[set[int], dict[int, tuple[RemoteKeptWriter, int, bytes]]]:
        """
        Return what is finished already, and each writer with what is there and its handle.

        It is for the one who has *canary*, one after the other for each file.
        """
        kept = self._kept
        async with self._turns.hold(wish.storage_index):
            if await self._slots.shares(wish.storage_index):
                raise OtherKind("mutable")
            await self._take_over(wish)
            size = await self._most_missing(wish)
            space = await self._storage.available_space() if size else 0
            peer = canary.getRemoteTubID()
            claims = self._quotas.claim(peer, wish.shares, size, space)
            answer = await within(
                claims,
                kept.open(
                    wish.storage_index,
                    wish.secrets,
                    wish.upload_secret,
                    claims.keys(),
                    wish.size,
                    wish.open_ended,
                    wish.brief,
                ),
            )
            opened = {}
            for share, writer in answer.writers.items():
                remote = self._new_writer(wish, share, writer, canary, claims[share])
                opened[share] = remote, writer.length, remote.handle
        return set(answer.already), opened

    def sink(self, handle: bytes) -> RemoteKeptWriter | None:
        """Return the share that a client has open under this *handle*."""
        return self._by_handle.get(handle)

    @property
    def _kept(self) -> IKeptShares:
        kept = self._storage.kept
        if kept is None:
            raise BadKeptRequest("no shares in progress are kept here")
        return kept

    async def _take_over(self, wish: Wish) -> None:
        """Have the writers of this upload go, and what they claim with them."""
        for share in wish.shares:
            writer = self._writers.get(_key(wish, share))
            if writer is not None:
                await writer.give_up()

    async def _most_missing(self, wish: Wish) -> int:
        """Return how many bytes are to be kept free for the shares, for each as many."""
        if wish.open_ended or not wish.shares:
            return 0
        there = await self._kept.unfinished(wish.storage_index, wish.upload_secret)
        return max(0, wish.size - min(there.get(share, 0) for share in wish.shares))

    def _new_writer(
        self, wish: Wish, share: int, writer: IKeptWriter, canary: Any, claim: Claim
    ) -> RemoteKeptWriter:
        key = _key(wish, share)
        handle = self._random(HANDLE_SIZE)
        remote = RemoteKeptWriter(
            self._reactor, canary, claim, writer, key, handle, self._ended
        )
        self._writers[key] = self._by_handle[handle] = remote
        remote.begin()
        return remote

    def _ended(self, writer: RemoteKeptWriter) -> None:
        self._by_handle.pop(writer.handle, None)
        if self._writers.get(writer.key) is writer:
            del self._writers[writer.key]


def _key(wish: Wish, share: int) -> Key:
    return wish.storage_index, wish.upload_secret, share


@serves(RIKeptShareWriter)
@define(eq=False)
class RemoteKeptWriter(RemoteWriter):
    """A share that is left when its client is gone."""

    _writer: IKeptWriter
    key: Key = field(repr=False)
    handle: bytes = field(repr=False)  # names it on share channels
    _ended: Callable[[RemoteKeptWriter], None]  # may be called twice
    _new: int = field(default=0, init=False)  # bytes that were not counted yet
    _counting: Lock = field(factory=Lock, init=False, repr=False)

    def remote_close(self, size: int) -> Deferred[None]:
        if size < 0:
            raise BadKeptRequest(f"no share has {size} bytes")
        return run(self.in_turn(self.close(size)))

    def write_here(self, offset: int, data: Buffer) -> None:
        """Write *data*, in the thread of a share channel; blocks."""
        due = ILocalWriter(self._writer).write_here(offset, [data])
        with self._counting:
            self._new += len(data)
            new, self._new = (self._new, 0) if due else (0, self._new)
        if due:
            cast(IReactorFromThreads, self._reactor).callFromThread(self.note, new)

    def note(self, count: int) -> None:
        """See ``RemoteWriter``."""
        ILocalWriter(self._writer).note()
        super().note(count)

    def remote_leave(self) -> Deferred[None]:
        return run(self.give_up())

    def remote_hashes(
        self, offset: int, piece: int, count: int
    ) -> Deferred[Sequence[bytes]]:
        return run(self.in_turn(self._writer.hashes(offset, piece, count)))

    async def give_up(self) -> None:
        """See ``RemoteWriter``."""
        await self.end_with(self._writer.leave())

    def forget(self) -> None:
        """See ``RemoteWriter``."""
        super().forget()
        self._ended(self)
