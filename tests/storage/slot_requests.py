"""
Requests for slots as a test writes them: also what no honest client says.

They go past what our clients check.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define
from foolscap.api import RemoteException, Violation
from twisted.web.http_headers import Headers

from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.storage import gbs_schema
from truckee.storage.foolscap_slots import vectors_of
from truckee.storage.gbs_connection import Connections, Reply
from truckee.storage.interfaces import SlotAnswer, SlotChange, SlotRead, SlotSecrets


@define
class Refusal(Exception):
    """The server said no."""

    text: str


async def call(remote: Any, method: str, *arguments: object) -> Any:
    """Return what a server answers over foolscap.  :raises Refusal:"""
    try:
        return await remote.callRemote(method, *arguments)
    except (RemoteException, Violation) as error:
        failure = getattr(error, "failure", None)
        raise Refusal(str(getattr(failure, "value", error))) from None


async def call_write(
    remote: Any,
    storage_index: bytes,
    secrets: SlotSecrets,
    changes: Mapping[int, SlotChange],
    reads: Sequence[SlotRead],
) -> SlotAnswer:
    """Test and write over foolscap, however much is read.  :raises Refusal:"""
    success, data = await call(
        remote,
        "slot_testv_and_readv_and_writev",
        storage_index,
        (secrets.write_enabler, secrets.leases.renew, secrets.leases.cancel),
        {share: vectors_of(change) for share, change in changes.items()},
        [(each.offset, each.length) for each in reads],
    )
    return SlotAnswer(success, data)


async def ask(
    connections: Connections,
    method: str,
    path: str,
    secrets: Mapping[str, bytes] | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return what a server answers over HTTPS, whatever it is."""
    values = [gbs_schema.secret_header(*each) for each in (secrets or {}).items()]
    told = Headers({b"X-Tahoe-Authorization": values} if values else {})
    for name, value in (headers or {}).items():
        told.addRawHeader(name, value)
    return await connections.exchange("slots", method.encode(), path, told, body, 1 << 30)


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


def new_index() -> bytes:
    """Return a storage index that nobody used."""
    return os.urandom(16)
