# mypy: disable-error-code="no-untyped-call"
"""
Our storage server for clients over HTTPS: what each request does.

Source: ``docs/formats/storage-https.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from hmac import compare_digest
from typing import Any, TypeVar

from attrs import Factory, define, field
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory

from truckee import __version__
from truckee.errors import TruckeeError, Unavailable
from truckee.storage import gbs_cbor, gbs_schema
from truckee.storage.gbs_bodies import write_range
from truckee.storage.gbs_http import Question, Refusal, Site, parse_body
from truckee.storage.gbs_kept import AnotherWriter, GbsKept
from truckee.storage.gbs_paths import parse_path, share_number_of, storage_index_of
from truckee.storage.gbs_reports import take_report
from truckee.storage.gbs_slots import GbsSlots
from truckee.storage.gbs_uploads import NotInProgress, OtherSecret, TooManyGaps, Uploads
from truckee.storage.interfaces import (
    BadKeptRequest,
    BadSlotRequest,
    BadWriteEnabler,
    ILocalSlots,
    IShareReader,
    IStorageServer,
    NoSpace,
    OtherKind,
    ShareClosed,
    ShareTooLarge,
    SlotDamaged,
    SlotTooLarge,
)
from truckee.storage.no_slots import NoMutableFiles, NoSlots
from truckee.storage.quotas import ShareQuotas, within
from truckee.storage.share_leases import TooManyLeases
from truckee.storage.share_reads import share_end

T = TypeVar("T")


@define(eq=False)
class GbsStorage:
    """
    Serves *storage*, and the *mutable* slots beside it, to whoever knows the *swissnum*.

    ``stop`` removes all shares in progress, and leaves those that are kept.
    """

    _storage: IStorageServer
    _swissnum: str = field(repr=False)
    _reactor: Any
    _mutable: ILocalSlots = field(factory=NoSlots)
    _quotas: ShareQuotas = Factory(
        lambda self: ShareQuotas(self._reactor.seconds), takes_self=True
    )
    # Called with the transport of each client that knows the swissnum.
    _proved: Callable[[Any], None] = lambda transport: None
    _uploads: Uploads = field(init=False)
    _slots: GbsSlots = field(init=False)
    _kept: GbsKept = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._uploads = Uploads(self._reactor)
        self._slots = GbsSlots(self._mutable, self._reactor)
        self._kept = GbsKept(
            self._storage, self._slots.refuse_other_kind, self._quotas, self._reactor
        )

    def stop(self) -> None:
        """Forget what is in progress."""
        self._uploads.stop()
        self._kept.stop()

    def site(self) -> Site:
        """Return what speaks HTTP for it, without TLS."""
        return Site(self.serve, self._reactor)

    def https(self, certificate: bytes) -> IProtocolFactory:
        """Return what speaks HTTPS for it; *certificate* is as in ``tls_options``."""
        return TLSMemoryBIOFactory(
            tls_options(certificate), False, self.site(), self._reactor
        )

    async def serve(self, question: Question) -> None:
        """Answer one request.  :raises Refusal: when the answer is another."""
        known = gbs_schema.authorization(self._swissnum)
        if not compare_digest(question.header("Authorization"), known):
            raise Refusal(401, "This server is for those who know its address.")
        question.become_known(self._proved)
        try:
            await self._answer(question, parse_path(question.uri))
        except TruckeeError as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            raise refusal from error

    async def _answer(self, question: Question, way: list[str]) -> None:
        match way:
            case ["version"]:
                await self._version(question)
            case ["lease", index]:
                await self._lease(question, storage_index_of(index))
            case ["immutable", index, *rest]:
                await self._immutable(question, storage_index_of(index), rest)
            case ["mutable", index, *rest]:
                await self._slots.answer(question, storage_index_of(index), rest)
            case ["truckee", "kept", index, *rest]:
                await self._kept.answer(question, storage_index_of(index), rest)
            case _:
                raise Refusal(404, "There is nothing here.")

    async def _immutable(self, question: Question, index: bytes, way: list[str]) -> None:
        match way:
            case []:
                await self._allocate(question, index)
            case ["shares"]:
                await self._list(question, index)
            case [number]:
                share = share_number_of(number)
                if question.check(b"GET", b"PATCH") == b"GET":
                    await self._read(question, index, share)
                else:
                    await self._write(question, index, share)
            case [number, "abort"]:
                await self._abort(question, index, share_number_of(number))
            case [number, "corrupt"]:
                await self._note(question, index, share_number_of(number))
            case _:
                raise Refusal(404, "There is nothing here.")

    async def _list(self, question: Question, storage_index: bytes) -> None:
        question.check(b"GET")
        question.secrets(set())
        found = await self._storage.buckets(storage_index)
        if not found:
            await self._slots.refuse_other_kind(storage_index)
        question.answer(200, gbs_schema.encode_shares(found.keys()))

    async def _version(self, question: Question) -> None:
        question.check(b"GET")
        question.secrets(set())
        application = b"truckee/" + __version__.encode("ascii")
        space = await self._storage.available_space()
        most = self._mutable.max_share_size
        if self._storage.durable:
            question.tell(gbs_schema.DURABLE, b"1")
        if self._storage.kept is not None:
            question.tell(gbs_schema.KEEPS_SHARES, b"1")
        question.answer(200, gbs_schema.encode_version(application, space, most))

    async def _lease(self, question: Question, storage_index: bytes) -> None:
        question.check(b"PUT")
        secrets = question.secrets({gbs_schema.RENEW, gbs_schema.CANCEL})
        immutable = bool(await self._storage.buckets(storage_index))
        if not immutable and not await self._mutable.shares(storage_index):
            raise Refusal(404, "There are no shares of this file.")
        await self._storage.add_lease(storage_index, gbs_schema.lease_secrets(secrets))
        await self._mutable.add_lease(storage_index, gbs_schema.lease_secrets(secrets))
        question.answer(204)

    async def _allocate(self, question: Question, storage_index: bytes) -> None:
        question.check(b"POST")
        secrets = question.secrets({gbs_schema.RENEW, gbs_schema.CANCEL, gbs_schema.UPLOAD})
        body = await question.small_body(gbs_schema.MAX_ALLOCATE)
        shares, size = parse_body(gbs_schema.parse_allocate, body)
        await self._slots.refuse_other_kind(storage_index)
        # A share of no bytes would never be finished.
        wanted = shares if size else frozenset()
        space = await self._storage.available_space() if wanted else 0
        claims = self._quotas.claim(question.peer, wanted, size, space)
        leases = gbs_schema.lease_secrets(secrets)
        answer = await within(
            claims, self._storage.allocate(storage_index, leases, claims.keys(), size)
        )
        upload_secret = secrets[gbs_schema.UPLOAD]
        self._uploads.begin(storage_index, upload_secret, size, answer.writers, claims)
        allocated = answer.writers.keys()
        question.answer(200, gbs_schema.encode_allocated(answer.already, allocated))

    async def _write(self, question: Question, storage_index: bytes, number: int) -> None:
        secrets = question.secrets({gbs_schema.UPLOAD})
        share = self._uploads.find(storage_index, number, secrets[gbs_schema.UPLOAD])
        await write_range(question, share.size, share.write)
        finished = await share.finish_if_whole()
        question.answer(201 if finished else 200, gbs_schema.encode_required(share.missing))

    async def _abort(self, question: Question, storage_index: bytes, number: int) -> None:
        question.check(b"PUT")
        secrets = question.secrets({gbs_schema.UPLOAD})
        in_progress = (storage_index, number) in self._uploads
        if not in_progress and number in await self._storage.buckets(storage_index):
            raise Refusal(405, "This share is finished.")
        share = self._uploads.find(storage_index, number, secrets[gbs_schema.UPLOAD])
        await share.abort()
        question.answer(200)

    async def _note(self, question: Question, storage_index: bytes, number: int) -> None:
        reason = await take_report(question)
        if number not in await self._storage.buckets(storage_index):
            raise Refusal(404, "This share is not here.")
        await self._storage.advise_corrupt(storage_index, number, reason)
        question.answer(200)

    async def _read(self, question: Question, storage_index: bytes, number: int) -> None:
        question.secrets(set())
        reader = (await self._storage.buckets(storage_index)).get(number)
        if reader is None:
            await self._slots.refuse_other_kind(storage_index)
            raise Refusal(404, "This share is not here.")
        text = question.header("Range")
        begin, end = 0, gbs_cbor.MAX_NUMBER
        if text:
            try:
                begin, end = gbs_schema.parse_range(text)
            except ValueError as error:
                raise Refusal(416, str(error)) from None
        first = await reader.read(begin, min(question.piece, end - begin))
        if not first:
            question.answer(204)
            return
        if text:
            end = await share_end(reader, begin + len(first), end)
            told = gbs_schema.content_range(begin, end)
            question.responseHeaders.setRawHeaders(b"Content-Range", [told])
            question.responseHeaders.setRawHeaders(
                b"Content-Length", [b"%d" % (end - begin)]
            )
        await question.stream(
            206 if text else 200, _pieces(question, reader, begin, first, end)
        )


async def _pieces(
    question: Question, reader: IShareReader, begin: int, first: bytes, end: int
) -> AsyncIterator[bytes]:
    """Give *first*, and the bytes behind it up to *end* or the end of the share."""
    piece = first
    while piece:
        yield piece
        begin += len(piece)
        wanted = min(question.piece, end - begin)
        piece = await reader.read(begin, wanted) if begin < end else b""


_STATUSES: dict[type[TruckeeError], int] = {
    BadKeptRequest: 400,
    BadSlotRequest: 400,
    SlotTooLarge: 400,
    TooManyGaps: 400,
    BadWriteEnabler: 401,
    OtherSecret: 401,
    NoMutableFiles: 404,
    NotInProgress: 404,
    ShareClosed: 404,
    AnotherWriter: 409,
    OtherKind: 409,
    SlotDamaged: 409,
    TooManyLeases: 409,
    ShareTooLarge: 416,
    Unavailable: 503,
}


def _refusal(error: TruckeeError) -> Refusal | None:
    """Return what answers *error*; None: nobody foresaw it."""
    if isinstance(error, NoSpace):
        return Refusal(507, "There is no space left.")
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return Refusal(status, str(error))
    return None


def tls_options(certificate: bytes) -> CertificateOptions:
    """
    Return how the key of a foolscap tub speaks TLS.

    *certificate* is key and certificate in PEM: ``getCertData()`` of the tub, or the file
    ``private/node.pem``.
    """
    loaded = PrivateCertificate.loadPEM(certificate)
    return CertificateOptions(
        privateKey=loaded.privateKey.original,
        certificate=loaded.original,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def certificate_hash(certificate: bytes) -> bytes:
    """Return what names the key of *certificate* in a NURL; see ``tls_options``."""
    return gbs_schema.spki_hash(PrivateCertificate.loadPEM(certificate).dump())
