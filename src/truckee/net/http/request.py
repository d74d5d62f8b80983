"""A request whose resource is found, and asked, before its body."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, AnyStr
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import datetimeToString, parse_qs
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource

from truckee.errors import TruckeeError
from truckee.net.http.exchange import Exchange
from truckee.net.http.forwarded import client_of
from truckee.net.http.head import Head
from truckee.net.http.interfaces import RequestSite
from truckee.net.http.origin import Asked, Sender, admit, check_use
from truckee.net.http.own_url import Connection, own_path, own_url, told
from truckee.net.http.respond import TEXT, BodyTooLarge, WrongMethod
from truckee.net.http.upload_head import check_upload

log = Logger()

# Of these, what a header forbids is not done, whatever the resource.
_WRITES = (b"PUT", b"PATCH", b"DELETE")

# Without a body these are uploads of nothing; any method with a body is an upload.
_UPLOADS = (b"PUT", b"POST", b"PATCH")

# What only the player of a browser says, where it does not say more.
_PLAYER = "identity;q=1, *;q=0"


class _Server(Resource):
    """The target ``*``: the server itself, which is asked by OPTIONS only."""

    def render_OPTIONS(self, request: server.Request) -> bytes:
        request.setHeader(b"allow", b"GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS")
        return b""


class StreamingRequest(Exchange, server.Request):
    """
    Looked up once and rendered once.

    ``args`` come from the query only.  ``content`` is the body of a resource that does
    not stream, in memory, and empty for GET and HEAD.
    """

    content: BytesIO
    prepath: list[bytes]
    postpath: list[bytes]
    site: RequestSite  # type: ignore[assignment]  # in place of Twisted's
    defaultContentType = TEXT.encode()
    sender: Sender = Sender.OURS
    _found: Any = None  # a resource that waits for its body in memory

    # From the channel

    def head_received(self, head: Head) -> None:
        super().head_received(head)
        self.path, _, query = self.uri.partition(b"?")
        self.args = parse_qs(query, 1) if query else {}
        self.content = BytesIO()
        self.site = self.channel.site
        for name, value in self.site.headers.items():
            self.setHeader(name, value)
        self.setHeader(b"Date", datetimeToString())

    def begin(self) -> None:
        """Find the resource and ask it, or keep the body for it."""
        try:
            self.sender = admit(self._asked(), self.site.hosts)
            found = self._look_up()
            check_use(self.sender, found)
            if self._streams(found) or self.method in _WRITES:
                check_upload(self, *_marks(found))
            if self._streams(found):
                self._stream(found)
            elif self.bodyLength == 0 or self._needs_no_body(found):
                self.render(found)
            else:
                self._keep_body(found)
        except Exception:
            self.processingFailed(Failure())

    def part_received(self, data: bytes) -> None:
        super().part_received(data)
        limit = self.site.limits.max_plain_body
        if self.finished or self._disconnected or self._body is not None:
            return
        if self.received > limit:
            self.processingFailed(Failure(BodyTooLarge(limit)))
        elif self.method not in (b"GET", b"HEAD"):
            self.content.write(data)

    def body_received(self) -> None:
        if self._found is None or self.finished or self._disconnected:
            super().body_received()
            return
        self.content.seek(0)
        try:
            self.render(self._found)
        except Exception:
            self.processingFailed(Failure())

    # Who sends it

    @property
    def by_player(self) -> bool:
        """Whether a browser's player of films and sounds sends it; no script can say so."""
        found = self.header_lines("sec-fetch-dest")
        if found:
            return found in (["audio"], ["video"])
        return self.header_lines("accept-encoding") == [_PLAYER]

    def _asked(self) -> Asked:
        """Return what the head says of where it comes from."""
        scheme = "https" if self.isSecure() else "http"
        return Asked(
            self.method.decode("latin-1"),
            ("http", "https") if self.site.hosts.any_host else (scheme,),
            self.header_lines("host"),
            self.header_lines("origin"),
            self.header_lines("sec-fetch-site"),
            self.header_lines("sec-fetch-mode"),
            self.header_lines("sec-fetch-dest"),
            bool(self.header_lines("service-worker")),
            self.by_player,
            told(self, self.site.hosts, self.channel.client),
        )

    @property
    def client_address(self) -> str:
        """The client's address, as far as it is known; each has its share of room."""
        peer, proxies = self.channel.client, self.site.hosts.proxies
        return client_of(self.header_lines, peer, proxies)

    def own_url(self, path: str) -> str:
        """Return *path* as this client can ask for it, with scheme and host if known."""
        return own_url(self, self.site.hosts, self.connection(), path)

    def own_path(self, path: str) -> str:
        """Return *path* as a link that this client can follow."""
        return own_path(self, self.site.hosts, self.connection(), path)

    def connection(self) -> Connection:
        """Return what it came over."""
        scheme = "https" if self.isSecure() else "http"
        port = getattr(self.channel.transport.getHost(), "port", None)
        return Connection(scheme, self.channel.client, port)

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """Return the last value of a header; Twisted fails on what is no UTF-8."""
        if isinstance(key, bytes):
            return super().getHeader(key)
        lines = self.header_lines(key)
        return lines[-1] if lines else None

    # To the resource

    def _look_up(self) -> Any:
        if self.path == b"*":
            return _Server()
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        return self.site.getResourceFor(self)

    def _streams(self, found: Any) -> bool:
        if not self.site.streams(found) or self.method in (b"GET", b"HEAD"):
            return False
        return self.bodyLength != 0 or self.method in _UPLOADS

    def _stream(self, found: Any) -> None:
        found.accept(self)
        self.site.responder.run(self, found.receive(self, self.receive_body()))

    def _needs_no_body(self, found: Any) -> bool:
        """Whether *found* will refuse the method, so that the body need not come."""
        return _renders_by_name(found) and not _renders(found, self.method)

    def _keep_body(self, found: Any) -> None:
        limit = self.site.limits.max_plain_body
        if self.bodyLength is not None and self.bodyLength > limit:
            raise BodyTooLarge(limit)
        self._found = found
        self.channel.resume_body(self)

    def render(self, resrc: Any) -> None:
        if _renders_by_name(resrc) and not _renders(resrc, self.method):
            method = self.method.decode("ascii", "replace")
            raise WrongMethod(method, _allowed(resrc))
        body = resrc.render(self)
        if body == server.NOT_DONE_YET:
            return
        if not isinstance(body, bytes):
            raise TypeError(f"{type(resrc).__name__} rendered {type(body).__name__}")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(b"" if self.method == b"HEAD" else body)
        self.finish()

    # To the client

    def say_before(self, status: int, reason: str, headers: Mapping[str, str]) -> bool:
        """Send an interim response; return whether this client can have one now."""
        told = Headers({name: [value] for name, value in headers.items()})
        return not self._disconnected and self.channel.say_before(
            self, status, reason, told
        )

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer with *reason* in plain text; only our own errors say what it was."""
        if not isinstance(reason.value, TruckeeError):
            log.failure("A request failed", failure=reason)
        if self._disconnected or self.finished:
            return reason
        if self.startedWriting:
            self.channel.abort()
        else:
            answer = self.site.responder.of_error(reason.value or Exception())
            self.site.responder.send(self, answer)
        return reason


def _renders_by_name(found: Any) -> bool:
    """Tell whether *found* has a method of its own for each that it answers."""
    return isinstance(found, Resource) and type(found).render is Resource.render


def _renders(found: Resource, method: bytes) -> bool:
    """Tell whether *found* answers *method* by rendering."""
    # Twisted answers HEAD as GET, which there may be no answer to.
    if method == b"HEAD" and type(found).render_HEAD is Resource.render_HEAD:
        method = b"GET"
    return hasattr(found, "render_" + method.decode("latin-1"))


def _allowed(found: Any) -> str:
    """Return the methods that *found* answers, as in an Allow header."""
    named = getattr(found, "allowedMethods", None)
    if named is None:
        every = (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"DELETE", b"OPTIONS")
        named = [method for method in every if _renders(found, method)]
    return b", ".join(named).decode("ascii")


def _marks(found: Any) -> tuple[bool, bool, bool]:
    """Tell whether a target is there already, and looks at tags or at locks itself."""
    exists = getattr(found, "exists", False)
    tags, locks = (
        getattr(found, "checks_tags", False),
        getattr(found, "checks_locks", False),
    )
    return exists, tags, locks
