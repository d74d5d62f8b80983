"""
Clients of slots, for tests: they speak with our servers and with stock ones.

They say what they are told to, also what no honest client says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar

import cbor2
from attrs import define, field
from foolscap.api import RemoteException, Violation
from twisted.web.http_headers import Headers
from zope.interface import implementer

from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.storage import gbs_schema
from truckee.storage.gbs_connection import Connections, Reply
from truckee.storage.gbs_slot_schema import encode_request
from truckee.storage.interfaces import (
    ISlotReader,
    ISlotServer,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)

_ALL = 1 << 30  # bytes; more than any share of a test has


@define
class Refusal(Exception):
    """The server said no."""

    text: str
    status: int = 0  # over HTTPS


def raw_change(change: SlotChange) -> tuple[Any, Any, Any]:
    """Return what is asked of a share as foolscap carries it."""
    return (
        [(each.offset, each.length, b"eq", each.specimen) for each in change.tests],
        [(each.offset, each.data) for each in change.writes],
        change.new_length,
    )


@implementer(ISlotServer)
@define(eq=False)
class FoolscapSlots:
    """A server at the other end of a foolscap connection."""

    max_share_size: ClassVar[int] = MAX_SHARE_SIZE
    _remote: Any

    async def call(self, method: str, *arguments: object) -> Any:
        """Return what the server answers.  :raises Refusal:"""
        try:
            return await self._remote.callRemote(method, *arguments)
        except (RemoteException, Violation) as error:
            failure = getattr(error, "failure", None)
            raise Refusal(str(getattr(failure, "value", error))) from None

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        return (await self.read(storage_index, frozenset(), [])).keys()

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``."""
        vector = [(each.offset, each.length) for each in reads]
        found: Mapping[int, Sequence[bytes]] = await self.call(
            "slot_readv", storage_index, sorted(shares), vector
        )
        return found

    async def open(self, storage_index: bytes, share: int) -> ISlotReader | None:
        """See ``ISlotServer``."""
        found = await self.read(storage_index, {share}, [SlotRead(0, _ALL)])
        return WholeSlot(found[share][0]) if share in found else None

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        success, data = await self.call(
            "slot_testv_and_readv_and_writev",
            storage_index,
            (secrets.write_enabler, secrets.leases.renew, secrets.leases.cancel),
            {share: raw_change(change) for share, change in changes.items()},
            [(each.offset, each.length) for each in reads],
        )
        return SlotAnswer(success, data)

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        await self.call("add_lease", storage_index, secrets.renew, secrets.cancel)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``."""
        text = reason.encode("utf-8")
        await self.call("advise_corrupt_share", b"mutable", storage_index, share, text)


@implementer(ISlotServer)
@define(eq=False)
class GbsSlots:
    """A server at the other end of HTTPS."""

    max_share_size: ClassVar[int] = MAX_SHARE_SIZE
    connections: Connections

    async def ask(
        self,
        method: str,
        path: str,
        secrets: Mapping[str, bytes] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return what the server answers, whatever it is."""
        values = [gbs_schema.secret_header(*each) for each in (secrets or {}).items()]
        told = Headers({b"X-Tahoe-Authorization": values} if values else {})
        for name, value in (headers or {}).items():
            told.addRawHeader(name, value)
        return await self.connections.exchange(
            "slots", method.encode(), path, told, body, 1 << 30
        )

    async def _ask(self, *arguments: Any, but: Sequence[int] = (), **more: Any) -> Reply:
        reply = await self.ask(*arguments, **more)
        if reply.status >= 400 and reply.status not in but:
            text = reply.body.decode("utf-8", "replace")
            raise Refusal(text, reply.status)
        return reply

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        reply = await self._ask("GET", f"{home(storage_index)}/shares")
        return gbs_schema.parse_shares(reply.body)

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``; each range is asked for by itself."""
        there = await self.shares(storage_index)
        return {
            share: [await self._range(storage_index, share, each) for each in reads]
            for share in (shares & there if shares else there)
        }

    async def _range(self, storage_index: bytes, share: int, read: SlotRead) -> bytes:
        if not read.length:
            return b""
        span = f"bytes={read.offset}-{read.offset + read.length - 1}"
        path = f"{home(storage_index)}/{share}"
        reply = await self._ask("GET", path, headers={"Range": span})
        return reply.body

    async def open(self, storage_index: bytes, share: int) -> ISlotReader | None:
        """See ``ISlotServer``."""
        reply = await self._ask("GET", f"{home(storage_index)}/{share}", but=[404])
        return None if reply.status == 404 else WholeSlot(reply.body)

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        reply = await self._ask(
            "POST",
            f"{home(storage_index)}/read-test-write",
            write_secrets(secrets),
            encode_request(changes, reads),
            {"Content-Type": "application/cbor"},
        )
        answer = cbor2.loads(reply.body)
        return SlotAnswer(answer["success"], answer["data"])

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        path = f"/lease/{base32.encode(storage_index)}"
        await self._ask("PUT", path, lease_headers(secrets), but=[404])

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``."""
        path = f"{home(storage_index)}/{share}/corrupt"
        body = gbs_schema.encode_report(reason)
        kind = {"Content-Type": "application/cbor"}
        await self._ask("POST", path, {}, body, kind, but=[404])


def home(storage_index: bytes) -> str:
    """Return the path of a slot."""
    return f"/mutable/{base32.encode(storage_index)}"


def lease_headers(secrets: LeaseSecrets) -> dict[str, bytes]:
    """Return the secrets of a lease by their names."""
    return {gbs_schema.RENEW: secrets.renew, gbs_schema.CANCEL: secrets.cancel}


def write_secrets(secrets: SlotSecrets) -> dict[str, bytes]:
    """Return the secrets of a write by their names."""
    enabler = {gbs_schema.WRITE_ENABLER: secrets.write_enabler}
    return lease_headers(secrets.leases) | enabler


@implementer(ISlotReader)
@define(eq=False)
class WholeSlot:
    """A share that was read as a whole."""

    _data: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """See ``ISlotReader``."""
        return len(self._data)

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        return self._data[offset : offset + length]

    async def close(self) -> None:
        """See ``ISlotReader``."""


def new_index() -> bytes:
    """Return a storage index that nobody used."""
    return os.urandom(16)
