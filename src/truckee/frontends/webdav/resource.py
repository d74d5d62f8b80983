"""/dav/DIRCAP and what is below it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.errors import TruckeeError
from truckee.frontends.http.contents import (
    ASK_AGAIN,
    check_wanted,
    immutable_content,
    send_mutable,
)
from truckee.frontends.http.small_body import read_text
from truckee.frontends.webdav import finding, locking, naming, patching, storing
from truckee.frontends.webdav.asked import Asked, Dav
from truckee.frontends.webdav.dates import http_date
from truckee.frontends.webdav.emptied import shown_link
from truckee.frontends.webdav.errors import BodyNotTaken, NoAccounts, NothingToRead
from truckee.frontends.webdav.login import headers_of
from truckee.frontends.webdav.xml_in import MAX_BODY
from truckee.frontends.webdav.xml_out import XML, error_document, path_of
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, WrongMethod
from truckee.net.http.streaming import IStreamingResource
from truckee.tree.link_times import modified
from truckee.tree.paths import NoSuchChild

METHODS = (
    "OPTIONS, PROPFIND, PROPPATCH, MKCOL, GET, HEAD, PUT, DELETE, COPY, MOVE, LOCK, UNLOCK"
)
# Windows looks at the second one, and speaks another protocol without it.
OPTIONS = {"dav": "1, 2", "ms-author-via": "DAV", "allow": METHODS}

_WithBody = Callable[[Asked, bytes], Awaitable[Answer | None]]
_WITH_BODY: Mapping[bytes, _WithBody] = {
    b"PROPFIND": finding.propfind,
    b"PROPPATCH": patching.proppatch,
    b"LOCK": locking.lock,
}
_WITHOUT: Mapping[bytes, Callable[[Asked], Awaitable[Answer]]] = {
    b"MKCOL": naming.mkcol,
    b"DELETE": naming.delete,
    b"COPY": naming.copy,
    b"MOVE": naming.move,
    b"UNLOCK": locking.unlock,
}


# What a browser gets of an account's directory: the page has the cap in its address.
_NO_PAGE = (
    b"This is a directory for programs that speak WebDAV: mount this address with the same "
    b"name and password.\n"
)


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each


@implementer(IStreamingResource)
class DavResource(Resource):
    """All that is at /dav."""

    isLeaf = True
    checks_tags = True
    checks_locks = True

    def __init__(self, dav: Dav) -> None:
        super().__init__()
        self._dav = dav

    def render(self, request: StreamingRequest) -> int:
        """Answer a request without a body, or with one that is of no interest."""
        self._dav.responder.run(request, self._answer(request, _nothing()))
        return NOT_DONE_YET

    def accept(self, request: StreamingRequest) -> None:
        """Refuse, before the body, what could not be done."""
        if request.method == b"PUT" and self._dav.login.wants(request):
            # Who it is is looked at before any of the body is asked for.
            self._dav.uploader.check_size(request.bodyLength)
        elif request.method == b"PUT":
            asked = Asked.of(self._dav, request)
            storing.modified_of(asked)
            self._dav.uploader.check_size(storing.length_of(asked))
        elif request.method == b"MKCOL":
            raise BodyNotTaken

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer | None:
        """Do what is asked for."""
        return await self._answer(request, body)

    async def _answer(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer | None:
        try:
            return await self._do(request, body)
        except TruckeeError as error:
            if request.startedWriting:
                raise
            answer = self._dav.responder.of_error(error)
            condition = getattr(error, "condition", None)
            if condition is None:
                return evolve(answer, headers={**answer.headers, **headers_of(error)})
            document = error_document(condition, getattr(error, "hrefs", ()))
            headers = {**answer.headers, "content-type": XML}
            return Answer(document, answer.status, headers)

    def _do(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Coroutine[Deferred[Any], Any, Answer | None]:
        method = request.method
        if method == b"OPTIONS":
            return _options()
        path = request.path.rstrip(b"/")
        if path and self._dav.login.wants(request):
            return self._for_account(request, body)
        # Above all caps there is nothing to see, and clients look there all the same.
        if path in (b"", b"/dav"):
            return self._above(request, body)
        return self._act(Asked.of(self._dav, request), body)

    async def _for_account(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer | None:
        account = await self._dav.login.account(request)
        return await self._act(Asked.of_account(self._dav, request, account), body)

    def _act(
        self, asked: Asked, body: AsyncIterator[bytes]
    ) -> Coroutine[Deferred[Any], Any, Answer | None]:
        method = asked.request.method
        if method in (b"GET", b"HEAD"):
            return self._get(asked)
        if method == b"PUT":
            return storing.put(asked, body)
        return _do_with(asked, body)

    async def _above(self, request: StreamingRequest, body: AsyncIterator[bytes]) -> Answer:
        if request.method != b"PROPFIND":
            raise NoAccounts
        path = request.path.decode("ascii", "replace").rstrip("/") + "/"
        return finding.nothing_above(path, await read_text(body, MAX_BODY))

    async def _get(self, asked: Asked) -> Answer | None:
        way, request, dav = await asked.way(), asked.request, self._dav
        check_wanted(request)
        if way.directory is not None:
            if asked.by_account:
                return Answer(_NO_PAGE, 200, {"content-type": TEXT})
            # For people there is a page.
            cap = request.path.decode("ascii", "replace").split("/")[2]
            target = f"/uri/{cap}/{path_of(way.names)}".rstrip("/") + "/"
            return Answer(b"", 302, {"location": request.own_path(target)})
        link = await shown_link(asked, way)
        if link is None:
            raise NoSuchChild(way.name)
        changed = modified(link, way.parent.is_immutable)
        if changed is not None:
            request.setHeader(b"last-modified", http_date(changed).encode("ascii"))
        found = link.child.cap
        if isinstance(found, ChkReadCap | LiteralCap):
            content = immutable_content(dav.downloader, found, ASK_AGAIN)
            await dav.sender.send(request, content, {}, way.name)
        elif isinstance(found, MutableReadCap | MutableWriteCap):
            reader = dav.mutable.reader
            await send_mutable(dav.sender, reader, request, found, {}, way.name)
        else:
            raise NothingToRead
        return None


async def _do_with(asked: Asked, body: AsyncIterator[bytes]) -> Answer | None:
    method = asked.request.method
    if method in _WITH_BODY:
        return await _WITH_BODY[method](asked, await read_text(body, MAX_BODY))
    if method not in _WITHOUT:
        raise WrongMethod(method.decode("ascii", "replace"), METHODS)
    async for _ in body:
        pass  # a body of these has no meaning
    return await _WITHOUT[method](asked)


async def _options() -> Answer:
    return Answer(b"", 200, OPTIONS)
