# mypy: disable-error-code="no-untyped-call"
"""
Our storage server for clients over HTTPS.

Source: ``docs/formats/storage-https.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Set
from functools import partial
from hmac import compare_digest
from io import BytesIO
from typing import Any, TypeVar, cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from truckee import __version__
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import TruckeeError, Unavailable
from truckee.flow.inbound import Inbound
from truckee.flow.outbound import Outbound
from truckee.storage import gbs_schema
from truckee.storage.foolscap_server import IDLE_LIMIT
from truckee.storage.interfaces import (
    IShareReader,
    IShareWriter,
    IStorageServer,
    NoSpace,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.ranges import RangeSet

log = Logger()
T = TypeVar("T")

# Bytes that go to the disk, or come from it, at once.
_PIECE = 256 * 1024
# Bytes of a body that are read only to be thrown away, so that its sender hears why.
_MAX_DISCARD = 1 << 20
# Gaps in one share.  Writers in any order leave as many as they have writes under way.
_MAX_GAPS = 4096
_SILENCE = 60  # seconds in which a client sends nothing of a request, or none at all
_STALL = 300  # seconds in which a client takes nothing of an answer
_MAX_HEAD = 16 * 1024  # bytes; ten secrets fit


@define
class _Refusal(Exception):
    """An answer that is not what was asked for."""

    status: int
    text: str


@define(eq=False)
class GbsShare:
    """A share that a client writes; it is given up when nothing came for half an hour."""

    size: int
    secret: bytes = field(repr=False)
    _writer: IShareWriter
    _reactor: Any
    _forget: Callable[[], object]  # takes it out of those in progress
    _written: RangeSet = field(factory=RangeSet, init=False)
    _finishing: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def begin(self) -> None:
        """Watch the client."""
        self._timer = self._reactor.callLater(IDLE_LIMIT, self.give_up)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """What was not written yet."""
        return self._written.missing(self.size)

    async def write(self, offset: int, parts: list[bytes]) -> None:
        """Store *parts* at *offset*."""
        if self._timer is not None:
            self._timer.reset(IDLE_LIMIT)
        if self._written.count > _MAX_GAPS:
            raise _Refusal(400, "This share has too many gaps; fill some first.")
        await self._writer.write(offset, parts)
        self._written.add(offset, offset + sum(map(len, parts)))

    async def finish_if_whole(self) -> bool:
        """Show it to readers if nothing is missing; return whether that was done."""
        if self.missing or self._finishing:
            return False
        self._finishing = True
        try:
            # Its last byte is here: a client that leaves now stops nothing.
            await _to_the_end(self._writer.close(self.size))
        except TruckeeError:
            self._finishing = False
            raise
        self._end()
        return True

    async def abort(self) -> None:
        """Remove it."""
        self._end()
        await _to_the_end(self._writer.abort())

    def give_up(self) -> None:
        """Remove it; nobody waits for that."""
        done = Deferred.fromCoroutine(self.abort())
        done.addErrback(lambda failure: log.failure("A share was not removed", failure))

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._forget()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


async def _to_the_end(work: Coroutine[Deferred[Any], Any, None]) -> None:
    """Return when *work* has ended; cancelling this leaves it at work."""
    done: Deferred[None] = Deferred()

    def end(result: Any) -> None:
        if not done.called:
            done.callback(result)
        elif isinstance(result, Failure):
            log.failure("A share could not be finished or removed", result)

    Deferred.fromCoroutine(work).addBoth(end)
    await done


@define(eq=False)
class GbsStorage:
    """
    Serves *storage* to whoever knows the *swissnum*.

    ``stop`` removes all shares in progress.
    """

    _storage: IStorageServer
    _swissnum: str = field(repr=False)
    _reactor: Any
    _shares: dict[tuple[bytes, int], GbsShare] = field(factory=dict, init=False)

    def stop(self) -> None:
        """Forget what is in progress."""
        for share in list(self._shares.values()):
            share.give_up()

    def site(self) -> HTTPFactory:
        """Return what speaks HTTP for it, without TLS."""
        return _Site(self, self._reactor)

    def https(self, certificate: bytes) -> IProtocolFactory:
        """Return what speaks HTTPS for it; *certificate* is as in ``tls_options``."""
        return TLSMemoryBIOFactory(
            tls_options(certificate), False, self.site(), self._reactor
        )

    def lets_in(self, authorization: bytes) -> bool:
        """Tell whether a client that says this may use the server."""
        return compare_digest(authorization, gbs_schema.authorization(self._swissnum))

    async def serve(self, question: _Request) -> None:
        """Answer one request."""
        match question.way:
            case ["version"]:
                question.check(b"GET")
                question.secrets(set())
                await question.empty_body()
                application = b"truckee/" + __version__.encode("ascii")
                space = await self._storage.available_space()
                question.answer(200, gbs_schema.encode_version(application, space))
            case ["lease", index]:
                await self._lease(question, _index(index))
            case ["immutable", index]:
                await self._allocate(question, _index(index))
            case ["immutable", index, "shares"]:
                question.check(b"GET")
                question.secrets(set())
                await question.empty_body()
                found = await self._storage.buckets(_index(index))
                question.answer(200, gbs_schema.encode_shares(found.keys()))
            case ["immutable", index, number]:
                place = _index(index), _number(number)
                if question.check(b"GET", b"PATCH") == b"GET":
                    await self._read(question, *place)
                else:
                    await self._write(question, *place)
            case ["immutable", index, number, "abort"]:
                await self._abort(question, _index(index), _number(number))
            case ["immutable", index, number, "corrupt"]:
                await self._note(question, _index(index), _number(number))
            case ["mutable", *_]:
                raise _Refusal(404, "This server has no mutable files.")
            case _:
                raise _Refusal(404, "There is nothing here.")

    async def _lease(self, question: _Request, storage_index: bytes) -> None:
        question.check(b"PUT")
        secrets = question.secrets({gbs_schema.RENEW, gbs_schema.CANCEL})
        await question.empty_body()
        if not await self._storage.buckets(storage_index):
            raise _Refusal(404, "There are no shares of this file.")
        await self._storage.add_lease(storage_index, _lease_secrets(secrets))
        question.answer(204)

    async def _allocate(self, question: _Request, storage_index: bytes) -> None:
        question.check(b"POST")
        wanted = {gbs_schema.RENEW, gbs_schema.CANCEL, gbs_schema.UPLOAD}
        secrets = question.secrets(wanted)
        body = await question.small_body(gbs_schema.MAX_ALLOCATE)
        shares, size = _parse(gbs_schema.parse_allocate, body)
        answer = await self._storage.allocate(
            storage_index,
            _lease_secrets(secrets),
            # A share of no bytes would never be finished.
            shares if size else frozenset(),
            size,
        )
        for number, writer in answer.writers.items():
            place = storage_index, number
            share = GbsShare(
                size,
                secrets[gbs_schema.UPLOAD],
                writer,
                self._reactor,
                partial(self._shares.pop, place, None),
            )
            self._shares[place] = share
            share.begin()
        allocated = answer.writers.keys()
        question.answer(200, gbs_schema.encode_allocated(answer.already, allocated))

    async def _write(self, question: _Request, storage_index: bytes, number: int) -> None:
        secrets = question.secrets({gbs_schema.UPLOAD})
        share = self._in_progress(storage_index, number, secrets)
        text = question.header("Content-Range")
        try:
            begin, end = gbs_schema.parse_content_range(text)
        except ValueError as error:
            raise _Refusal(416, str(error)) from None
        if end > share.size:
            raise _Refusal(416, "The range ends behind the end of the share.")
        if question.length is not None and question.length < end - begin:
            raise _Refusal(400, "The body is shorter than its range.")
        position, parts, held = begin, list[bytes](), 0
        async for chunk in question.body:
            # What is more than the range has is dropped.
            parts.append(chunk[: end - position - held])
            held += len(parts[-1])
            if held >= _PIECE:
                await share.write(position, parts)
                position, parts, held = position + held, [], 0
        if held:
            await share.write(position, parts)
        if position + held < end:
            raise _Refusal(400, "The body is shorter than its range.")
        finished = await share.finish_if_whole()
        question.answer(201 if finished else 200, gbs_schema.encode_required(share.missing))

    async def _abort(self, question: _Request, storage_index: bytes, number: int) -> None:
        question.check(b"PUT")
        secrets = question.secrets({gbs_schema.UPLOAD})
        await question.empty_body()
        in_progress = (storage_index, number) in self._shares
        if not in_progress and number in await self._storage.buckets(storage_index):
            raise _Refusal(405, "This share is finished.")
        await self._in_progress(storage_index, number, secrets).abort()
        question.answer(200)

    async def _note(self, question: _Request, storage_index: bytes, number: int) -> None:
        question.check(b"POST")
        question.secrets(set())
        body = await question.small_body(gbs_schema.MAX_REPORT)
        reason = _parse(gbs_schema.parse_report, body)
        if number not in await self._storage.buckets(storage_index):
            raise _Refusal(404, "This share is not here.")
        await self._storage.advise_corrupt(storage_index, number, reason)
        question.answer(200)

    async def _read(self, question: _Request, storage_index: bytes, number: int) -> None:
        question.secrets(set())
        await question.empty_body()
        reader = (await self._storage.buckets(storage_index)).get(number)
        if reader is None:
            raise _Refusal(404, "This share is not here.")
        text = question.header("Range")
        begin, end = 0, gbs_schema.MAX_NUMBER
        if text:
            try:
                begin, end = gbs_schema.parse_range(text)
            except ValueError as error:
                raise _Refusal(416, str(error)) from None
        first = await reader.read(begin, min(_PIECE, end - begin))
        if not first:
            question.answer(204)
            return
        if text:
            end = await _end(reader, begin + len(first), end)
            told = gbs_schema.content_range(begin, end)
            question.responseHeaders.setRawHeaders(b"Content-Range", [told])
            question.responseHeaders.setRawHeaders(
                b"Content-Length", [b"%d" % (end - begin)]
            )
        await question.stream(206 if text else 200, _pieces(reader, begin, first, end))

    def _in_progress(
        self, storage_index: bytes, number: int, secrets: dict[str, bytes]
    ) -> GbsShare:
        share = self._shares.get((storage_index, number))
        if share is None:
            raise _Refusal(404, "This share is not in progress.")
        if not compare_digest(share.secret, secrets[gbs_schema.UPLOAD]):
            raise _Refusal(401, "The upload secret is another one.")
        return share


async def _end(reader: IShareReader, known: int, end: int) -> int:
    """
    Return where the share ends, if that is before *end*.

    It has the bytes before *known*.  A reader does not tell its length; this asks for
    single bytes, and only when a client wants much more than there is.
    """
    if known < end and not await reader.read(end - 1, 1):
        while known + 1 < end:
            middle = (known + end) // 2
            if await reader.read(middle - 1, 1):
                known = middle
            else:
                end = middle
        # The byte before *end* is not there.
        return known
    return end


async def _pieces(
    reader: IShareReader, begin: int, first: bytes, end: int
) -> AsyncIterator[bytes]:
    """Give *first*, and the bytes behind it up to *end* or the end of the share."""
    piece = first
    while piece:
        yield piece
        begin += len(piece)
        piece = await reader.read(begin, min(_PIECE, end - begin)) if begin < end else b""


def _index(text: str) -> bytes:
    try:
        return gbs_schema.parse_storage_index(text)
    except ValueError as error:
        raise _Refusal(404, str(error)) from None


def _number(text: str) -> int:
    # Other ways to write a number are no paths of shares.
    if text not in _NUMBERS:
        raise _Refusal(404, "Share numbers are 0 to 255.")
    return int(text)


_NUMBERS = frozenset(map(str, range(gbs_schema.MAX_SHARES)))


def _lease_secrets(secrets: dict[str, bytes]) -> LeaseSecrets:
    return LeaseSecrets(secrets[gbs_schema.RENEW], secrets[gbs_schema.CANCEL])


def _parse(parse: Callable[[bytes], T], body: bytes) -> T:
    try:
        return parse(body)
    except ValueError as error:
        raise _Refusal(400, str(error)) from None


# HTTP


class _Request(Request):
    """
    One request; it is looked at when its head is there, and answered when all of it is.

    So no client is still sending when the answer goes out.
    """

    length: int | None  # of the body; None: not told
    body: Inbound
    way: list[str]  # what its path names, behind the prefix
    _work: Deferred[None] | None = None

    def gotLength(self, length: int | None) -> None:
        """See ``Request``."""
        self.content = BytesIO()
        self.length = length
        channel = cast(_Channel, self.channel)
        self.method, self.uri = channel._command, channel._path
        self.body = Inbound(channel.body)
        channel.hold()
        self._work = Deferred.fromCoroutine(self._serve(channel.factory.storage))
        self._work.addErrback(self._fail)

    def handleContentChunk(self, data: bytes) -> None:
        """See ``Request``."""
        self.body.received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See ``Request``."""
        self.clientproto = version
        self.body.finished()

    def connectionLost(self, reason: Failure) -> None:
        """See ``Request``."""
        super().connectionLost(reason)
        if self._work is not None:
            self._work.cancel()

    def unregisterProducer(self) -> None:
        """See ``Request``, which cannot do it when the connection is gone."""
        if not self._disconnected:
            super().unregisterProducer()

    async def _serve(self, storage: GbsStorage) -> None:
        try:
            if not storage.lets_in(self.header("Authorization")):
                raise _Refusal(401, "This server is for those who know its address.")
            path = self.uri.partition(b"?")[0].decode("ascii", "replace")
            if not path.startswith(gbs_schema.PREFIX + "/"):
                raise _Refusal(404, "There is nothing here.")
            self.way = path.removeprefix(gbs_schema.PREFIX + "/").split("/")
            await storage.serve(self)
        except (CancelledError, TimeoutError):
            raise
        except Exception as error:
            if self._disconnected:
                return
            status, text = _status_of(error)
            if status == 500:
                log.failure("A request over HTTPS failed")
            if self.startedWriting:
                self.channel.forceAbortClient()
                return
            await self.empty_body()
            kind = b"text/plain; charset=utf-8"
            self.responseHeaders.removeHeader(b"Content-Range")
            self.answer(status, text.encode("utf-8") + b"\n", kind)

    def _fail(self, failure: Failure) -> None:
        """The connection is lost, or must be."""
        if not failure.check(CancelledError, TimeoutError):
            log.failure("A request over HTTPS failed", failure)
        if not self._disconnected:
            self.channel.forceAbortClient()

    def header(self, name: str) -> bytes:
        """Return the value of a header, empty if it is missing or comes twice."""
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        return values[0] if len(values) == 1 else b""

    def check(self, *methods: bytes) -> bytes:
        """Return the method if it is one of these."""
        if self.method not in methods:
            allowed = b", ".join(methods)
            self.tell(b"Allow", allowed)
            raise _Refusal(405, f"Here one can {allowed.decode('ascii')}.")
        return bytes(self.method)

    def secrets(self, wanted: Set[str]) -> dict[str, bytes]:
        """Return the secrets, which must be those *wanted*."""
        values = self.requestHeaders.getRawHeaders(b"X-Tahoe-Authorization", [])
        try:
            return gbs_schema.parse_secrets(values, wanted)
        except ValueError as error:
            raise _Refusal(400, str(error)) from None

    async def small_body(self, limit: int) -> bytes:
        """Return the body, which is CBOR of at most *limit* bytes."""
        kind = self.header("Content-Type")
        if kind and kind.partition(b";")[0].strip().lower() != gbs_schema.CBOR:
            raise _Refusal(415, "The body must be application/cbor.")
        body = b""
        async for chunk in self.body:
            body += chunk
            if len(body) > limit:
                raise _Refusal(413, f"The body may have {limit} bytes.")
        return body

    async def empty_body(self) -> None:
        """Return when the whole request is there; a body says nothing to it."""
        size = 0
        async for chunk in self.body:
            size += len(chunk)
            if size > _MAX_DISCARD:
                self.channel.forceAbortClient()
                await Deferred[None]()  # the end of the connection cancels this

    def tell(self, name: bytes, value: bytes) -> None:
        """Set a header of the answer."""
        self.responseHeaders.setRawHeaders(name, [value])

    def answer(self, status: int, body: bytes = b"", kind: bytes = gbs_schema.CBOR) -> None:
        """Answer with *body*, and that is all."""
        self.setResponseCode(status)
        if status != 204:
            self.tell(b"Content-Type", kind)
            self.tell(b"Content-Length", b"%d" % len(body))
            self.write(body)
        self.finish()

    async def stream(self, status: int, pieces: AsyncIterator[bytes]) -> None:
        """Answer with *pieces*, as fast as the client takes them."""
        self.setResponseCode(status)
        self.tell(b"Content-Type", gbs_schema.OCTETS)
        with Outbound(self) as outbound:
            async for piece in pieces:
                taken = Deferred.fromCoroutine(outbound.write(piece))
                taken.addTimeout(_STALL, self.channel.factory.reactor)
                await taken
        self.finish()


def _status_of(error: Exception) -> tuple[int, str]:
    """Return the status and the text that answer *error*."""
    match error:
        case _Refusal(status, text):
            return status, text
        case NoSpace():
            return 507, "There is no space left."
        case ShareTooLarge():
            return 416, str(error)
        case ShareClosed():
            return 404, str(error)
        case Unavailable():
            return 503, str(error)
    return 500, "The server failed; its log says why."


@define(eq=False)
class _Hold:
    """The client's sending, as something that stops and goes."""

    _channel: _Channel

    def pauseProducing(self) -> None:
        """See ``Source``."""
        self._channel.hold()

    def resumeProducing(self) -> None:
        """See ``Source``."""
        self._channel.release()


class _Channel(HTTPChannel):
    """A connection whose client can be told to wait with its body."""

    requestFactory = _Request
    totalHeadersSize = _MAX_HEAD
    _held = False

    def __init__(self) -> None:
        super().__init__()
        self.body = _Hold(self)

    def hold(self) -> None:
        """Read no more of the body; being slow is our fault now."""
        self._held = True
        self.setTimeout(None)
        self._networkProducer.pauseProducing()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            self.setTimeout(_SILENCE)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def allContentReceived(self) -> None:
        """See ``HTTPChannel``, which has its own way with the time of an answer."""
        self.release()
        super().allContentReceived()

    def resumeProducing(self) -> None:
        """See ``HTTPChannel``; our sending goes on, and that is no reason to read."""
        super().resumeProducing()
        if self._held:
            self._networkProducer.pauseProducing()


class _Site(HTTPFactory):
    """What makes channels; it keeps no access log, for paths name files."""

    protocol = _Channel  # type: ignore[assignment]
    noisy = False

    def __init__(self, storage: GbsStorage, reactor: Any) -> None:
        super().__init__(timeout=_SILENCE, reactor=reactor)
        self.storage = storage

    def startFactory(self) -> None:
        """See ``HTTPFactory``; all it does is for its log."""

    def log(self, request: Request) -> None:
        """See ``HTTPFactory``."""


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
