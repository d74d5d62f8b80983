# mypy: disable-error-code="no-untyped-call"
"""
A storage server somewhere else, reached over HTTPS.

Source: ``docs/formats/storage-https.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, ClassVar

from attrs import Factory, define, evolve, field
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from zope.interface import implementer

from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.limits import Budget
from truckee.storage import gbs_schema
from truckee.storage.gbs_answers import understood
from truckee.storage.gbs_connection import Connect, Connections, Reply
from truckee.storage.gbs_kept_client import KEPT_SECRET, GbsKeptClient
from truckee.storage.gbs_schema import Nurl, Version
from truckee.storage.gbs_slot_client import GbsSlotClient
from truckee.storage.gbs_writer import GbsShares, NeedsKnownSize
from truckee.storage.interfaces import (
    Allocation,
    CallFailed,
    IKeptShares,
    IShareReader,
    ISlotServer,
    IStorageServer,
)
from truckee.storage.limited import Patience, in_time

log = Logger()

# What stock clients use, too.
_CONNECTIONS = 10


@implementer(IStorageServer)
@define(eq=False)
class GbsServer:
    """
    One server; connections come and go as they are needed.

    *lease_seed* is its tub id: one with another certificate is sent nothing.  *random*
    makes so many secret bytes.  *to* connects to its address, without it plain TCP does.
    ``stop`` closes what is open.
    """

    name: str
    permutation_seed: bytes
    lease_seed: bytes
    _nurl: Nurl = field(repr=False)
    _reactor: Any = field(repr=False)
    _random: Callable[[int], bytes]
    patience: Patience = field(factory=Patience)
    _to: Connect | None = None
    durable: bool = field(default=False, init=False)  # as it says when it is reached
    direct: ClassVar[None] = None
    _open: Budget = field(factory=lambda: Budget(_CONNECTIONS), init=False, repr=False)
    _connections: Connections = field(init=False, repr=False)
    _mutable: GbsSlotClient = Factory(
        lambda self: GbsSlotClient(self.name, self.ask, self.patience), takes_self=True
    )

    _keeper: GbsKeptClient = Factory(
        lambda self: GbsKeptClient(self.name, self.ask, self._random, self.patience),
        takes_self=True,
    )

    _shares: GbsShares = Factory(
        lambda self: GbsShares(self.name, self.ask, self._random, self.patience),
        takes_self=True,
    )

    def __attrs_post_init__(self) -> None:
        self._connections = Connections(
            self.name,
            self.lease_seed,
            self._nurl,
            self._reactor,
            self._to,
        )

    @property
    def slots(self) -> ISlotServer | None:
        """See ``IStorageServer``."""
        return self._mutable if self._mutable.max_share_size else None

    @property
    def kept(self) -> IKeptShares | None:
        """See ``IStorageServer``."""
        return self._keeper if self._keeper.keeps else None

    @property
    def takes_open_ends(self) -> bool:
        """See ``IStorageServer``; shares that are not kept end with their last byte."""
        return self._keeper.keeps

    def stop(self) -> None:
        """Close idle connections; whoever still waits for an answer gets it."""
        self._connections.stop()

    async def available_space(self) -> int:
        """See ``IStorageServer``."""
        return (await self.version()).space

    async def version(self) -> Version:
        """Return what it says of itself."""
        reply = await self.ask("version", b"GET", "/version")
        version = understood(self.name, "version", gbs_schema.parse_version, reply.body)
        self.durable = reply.headers.getRawHeaders(gbs_schema.DURABLE) == [b"1"]
        keeps = reply.headers.getRawHeaders(gbs_schema.KEEPS_SHARES)
        self._keeper.keeps = keeps == [b"1"]
        self._mutable.max_share_size = version.max_slot_share
        return evolve(version, durable=self.durable)

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """
        See ``IStorageServer``.

        Only a server that keeps shares takes open ends.  :raises NeedsKnownSize: for those
            elsewhere, and for what has no bytes: a share is finished when all its bytes
            have come, and in no other way.
        """
        if shares and open_ended and self._keeper.keeps:
            # Nobody else has this secret: it is taken over and continued by nobody.
            secret = self._random(KEPT_SECRET)
            return await self._keeper.open(
                storage_index, secrets, secret, shares, size, open_ended, brief=True
            )
        if shares and (open_ended or size < 1):
            raise NeedsKnownSize(self.name)
        return await self._shares.allocate(storage_index, secrets, shares, size)

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        """See ``IStorageServer``."""
        home = f"/immutable/{base32.encode(storage_index)}"
        reply = await self.ask("buckets", b"GET", f"{home}/shares")
        found = understood(self.name, "buckets", gbs_schema.parse_shares, reply.body)
        return {share: GbsReader(self, f"{home}/{share}") for share in found}

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``IStorageServer``."""
        await self.ask(
            "add_lease",
            b"PUT",
            f"/lease/{base32.encode(storage_index)}",
            secrets=gbs_schema.lease_headers(secrets),
            good=(204, 404),  # 404: it has no shares of this file
        )

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``IStorageServer``."""
        await self.ask(
            "advise_corrupt",
            b"POST",
            f"/immutable/{base32.encode(storage_index)}/{share}/corrupt",
            body=gbs_schema.encode_report(reason),
            good=(200, 404),  # 404: the share is gone
        )

    async def ask(
        self,
        call: str,
        method: bytes,
        path: str,
        *,
        secrets: Sequence[tuple[str, bytes]] = (),
        headers: Mapping[bytes, bytes] | None = None,
        body: bytes = b"",
        good: Sequence[int] = (200,),
        limit: int = gbs_schema.MAX_ANSWER,
        seconds: float | None = None,
    ) -> Reply:
        """
        Return the reply to *call*, whose body has at most *limit* bytes.

        :raises CallFailed: for a status that is not in *good*.
        """
        lines = Headers({b"Accept": [gbs_schema.CBOR]})
        if body:
            lines.setRawHeaders(b"Content-Type", [gbs_schema.CBOR])
        for name, value in (headers or {}).items():
            lines.setRawHeaders(name, [value])
        for secret_name, secret in secrets:
            value = gbs_schema.secret_header(secret_name, secret)
            lines.addRawHeader(b"X-Tahoe-Authorization", value)
        async with self._open.hold(1):
            reply = await in_time(
                self._connections.exchange(call, method, path, lines, body, limit),
                self.patience.question if seconds is None else seconds,
                self._reactor,
                self.name,
            )
        if reply.status not in good:
            raise CallFailed(self.name, call, f"HTTP status {reply.status}")
        return reply


@implementer(IShareReader)
@define(eq=False)
class GbsReader:
    """A finished share over there."""

    _server: GbsServer = field(repr=False)
    _path: str = field(repr=False)

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        # No share has bytes behind that, and a broken one names some.
        length = min(length, gbs_schema.MAX_OFFSET - offset)
        if length < 1:
            return b""
        reply = await self._server.ask(
            "read",
            b"GET",
            self._path,
            headers={
                b"Accept": gbs_schema.OCTETS,
                b"Range": gbs_schema.range_header(offset, offset + length),
            },
            good=(204, 206),
            limit=max(length, gbs_schema.MAX_ANSWER),
            seconds=self._server.patience.read,
        )
        return understood(
            self._server.name, "read", lambda told: told.part(offset, length), reply
        )
