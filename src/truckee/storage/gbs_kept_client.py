"""
Shares that outlive their writers on a server somewhere else, reached over HTTPS.

Source: ``docs/formats/kept-shares.md``, "Over HTTPS".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, ClassVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Corrupt, Unavailable
from truckee.flow.together import Work
from truckee.flow.under_way import UnderWay
from truckee.storage import gbs_kept_schema, gbs_schema
from truckee.storage.gbs_answers import understood
from truckee.storage.gbs_connection import Reply
from truckee.storage.gbs_kept_schema import Opening
from truckee.storage.interfaces import (
    MAX_KEPT_SIZE,
    BadKeptRequest,
    CallFailed,
    IKeptShares,
    IKeptWriter,
    NoSpace,
    Opened,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.limited import Patience

log = Logger()

KEPT_SECRET = 32  # bytes


@frozen
class _Proof:
    """What shows whose upload it is, and who writes it now."""

    secret: bytes = field(repr=False)
    writer: bytes


@implementer(IKeptShares)
@define(eq=False)
class GbsKeptClient:
    """What one server keeps; *ask* is that of its ``GbsServer``."""

    far: ClassVar[bool] = True
    name: str
    _ask: Callable[..., Work[Reply]] = field(repr=False)
    _random: Callable[[int], bytes]
    patience: Patience
    keeps: bool = False  # whether it keeps any, as it says when it is reached

    async def unfinished(
        self, storage_index: bytes, upload_secret: bytes
    ) -> Mapping[int, int]:
        """See ``IKeptShares``."""
        call = "unfinished"
        reply = await self._ask(
            call,
            b"GET",
            gbs_kept_schema.home(storage_index),
            secrets=[(gbs_schema.UPLOAD, upload_secret)],
        )
        return understood(self.name, call, gbs_kept_schema.parse_unfinished, reply.body)

    async def open(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        """See ``IKeptShares``."""
        if not 0 <= size <= MAX_KEPT_SIZE:
            raise BadKeptRequest(f"no share has {size} bytes")
        home = gbs_kept_schema.home(storage_index)
        proof = _Proof(upload_secret, self._random(gbs_kept_schema.WRITER_SIZE))

        def writer(share: int, length: int) -> GbsKeptWriter:
            return GbsKeptWriter(length, self, f"{home}/{share}", share, size, proof)

        try:
            reply = await self.send(
                "open",
                b"POST",
                home,
                proof,
                secrets=gbs_schema.lease_headers(secrets),
                body=gbs_kept_schema.encode_open(Opening(shares, size, open_ended, brief)),
            )
            already, lengths = understood(
                self.name,
                "open",
                lambda body: gbs_kept_schema.parse_opened(body, shares, size),
                reply.body,
            )
        except CallFailed:
            raise
        except Exception:
            # It may have heard us, and keeps the shares for a writer whom nobody has.
            for share in shares:
                left = Deferred.fromCoroutine(writer(share, 0).leave())
                left.addErrback(_not_left)
            raise
        writers = {share: writer(share, length) for share, length in lengths.items()}
        return Opened(already, writers)

    async def send(
        self,
        call: str,
        method: bytes,
        path: str,
        proof: _Proof,
        *,
        secrets: Sequence[tuple[str, bytes]] = (),
        headers: Mapping[bytes, bytes] | None = None,
        **how: Any,
    ) -> Reply:
        """Return the reply to *call* of whom *proof* shows; see ``GbsServer.ask``."""
        writer = gbs_kept_schema.writer_header(proof.writer)
        return await self._ask(
            call,
            method,
            path,
            secrets=[*secrets, (gbs_schema.UPLOAD, proof.secret)],
            headers={gbs_kept_schema.WRITER.encode("ascii"): writer, **(headers or {})},
            **how,
        )


def _not_left(failure: Failure) -> None:
    log.failure("A share in progress could not be left", failure)


@implementer(IKeptWriter)
@define(eq=False)
class GbsKeptWriter:
    """
    A share in progress over there.

    Writes go side by side; everything else waits for those that are under way.
    """

    length: int
    _keeper: GbsKeptClient = field(repr=False)
    _path: str = field(repr=False)
    _share: int
    _size: int
    _proof: _Proof
    _open: bool = field(default=True, init=False)
    _writes: UnderWay = field(factory=UnderWay, init=False, repr=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False, repr=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        data = b"".join(parts)
        end = offset + len(data)
        self._check(end)
        if not data:
            return
        headers = {
            b"Content-Type": gbs_schema.OCTETS,
            b"Content-Range": gbs_schema.content_range(offset, end),
        }
        with self._writes.one():
            await self._ask("write", b"PATCH", "", data, headers)

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        """See ``IKeptWriter``."""
        async with self._turn:
            await self._writes.none()
            self._check(0)
            body = gbs_kept_schema.encode_hashes(offset, piece, count)
            reply = await self._ask("hashes", b"POST", "/hashes", body)
        return understood(
            self._keeper.name,
            "hashes",
            lambda answer: gbs_kept_schema.split_hashes(answer, count),
            reply.body,
        )

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        async with self._turn:
            await self._writes.none()
            self._check(size)
            body = gbs_kept_schema.encode_close(size)
            await self._ask("close", b"POST", "/close", body)
            self._open = False

    async def leave(self) -> None:
        """See ``IKeptWriter``; a server out of reach does it by itself in half an hour."""
        await self._end("leave")

    async def abort(self) -> None:
        """See ``IShareWriter``; a server out of reach keeps what is there."""
        await self._end("abort")

    async def _end(self, call: str) -> None:
        async with self._turn:
            await self._writes.none()
            if not self._open:
                return
            self._open = False
            with suppress(Unavailable, Corrupt):
                await self._keeper.send(
                    call, b"PUT", f"{self._path}/{call}", self._proof, good=(204, 404, 409)
                )

    def _check(self, end: int) -> None:
        if not self._open:
            raise ShareClosed(self._share)
        if end > self._size:
            raise ShareTooLarge(self._share, end, self._size)

    async def _ask(
        self,
        call: str,
        method: bytes,
        path: str,
        body: bytes,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Reply:
        """Return the reply to *call*, or raise what a refusal means."""
        reply = await self._keeper.send(
            call,
            method,
            self._path + path,
            self._proof,
            headers=headers,
            body=body,
            good=(200, 204, 400, 404, 409, 507),
            seconds=self._keeper.patience.write,
        )
        match reply.status:
            case 400:
                raise BadKeptRequest(f"{self._keeper.name} refuses it")
            case 404 | 409:
                self._open = False  # somebody else took it over, or nobody wrote for long
                raise ShareClosed(self._share)
            case 507:
                raise NoSpace(self._keeper.name)
        return reply
