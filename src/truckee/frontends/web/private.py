"""/private: for whoever has the node's token, which is in a file of its directory."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hmac import compare_digest

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from truckee.frontends.web.arguments import arguments
from truckee.frontends.web.log_stream import LogStream
from truckee.frontends.web.renewal_report import unhealthy_json
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, NotFound, Responder, check_method
from truckee.net.http.websocket import VERSION, NoWebSocket, accept_key
from truckee.renewal.renewals import Renewals

JSON = "application/json; charset=utf-8"
_SCHEME = "tahoe-lafs"
_UNKNOWN = (
    b"This is for whoever has the token in private/api_auth_token of the node directory: "
    b"send it as Authorization: tahoe-lafs TOKEN\n"
)
_UNAUTHORIZED = Answer(
    _UNKNOWN,
    401,
    {
        "content-type": TEXT,
        "cache-control": "no-store",
        "www-authenticate": f'{_SCHEME} realm="{_SCHEME}"',
    },
)


class PrivateResource(Resource):
    """All that is below /private."""

    isLeaf = True

    def __init__(
        self,
        token: Callable[[], Awaitable[bytes]],
        logs: LogStream,
        responder: Responder,
        renewals: Renewals | None = None,
    ) -> None:
        """:param token: returns the token; empty: there is none, and nobody is let in."""
        super().__init__()
        self._token = token
        self._logs = logs
        self._responder = responder
        self._renewals = renewals

    def render(self, request: StreamingRequest) -> int:
        self._responder.run(request, self._answer(request))
        return NOT_DONE_YET

    async def _answer(self, request: StreamingRequest) -> Answer | None:
        if not await self._may(request):
            return _UNAUTHORIZED
        if request.postpath[:1] == [b"renewal"] and self._renewals is not None:
            return _renewal(request, self._renewals)
        if request.postpath != [b"logs", b"v1"]:
            raise NotFound
        check_method(request, (b"GET", b"HEAD"))
        method = request.method if request.clientproto == b"HTTP/1.1" else b""
        try:
            accept = accept_key(
                method,
                request.header_lines("upgrade"),
                request.header_lines("connection"),
                request.header_lines("sec-websocket-version"),
                request.header_lines("sec-websocket-key"),
            )
        except NoWebSocket as error:
            headers = {
                "content-type": TEXT,
                "cache-control": "no-store",
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": VERSION,
            }
            return Answer(f"{error}\n".encode(), 426, headers)
        await self._listen(request, accept)
        return None

    async def _may(self, request: StreamingRequest) -> bool:
        """Tell whether *request* has the token."""
        lines = request.header_lines("authorization")
        scheme, _, given = (lines[0] if len(lines) == 1 else "").partition(" ")
        wanted = await self._token()
        same = compare_digest(given.strip().encode("utf-8", "replace"), wanted)
        return same and bool(wanted) and scheme.lower() == _SCHEME

    async def _listen(self, request: StreamingRequest, accept: str) -> None:
        """Tell the client of the log until its connection is gone."""
        request.setHeader(b"upgrade", b"websocket")
        request.setHeader(b"connection", b"Upgrade")
        request.setHeader(b"sec-websocket-accept", accept.encode("ascii"))
        listener = self._logs.add(request.channel)
        request.channel.switch(request, listener.heard)
        gone: Deferred[None] = Deferred()
        try:
            await gone  # that is, it is cancelled then
        finally:
            self._logs.remove(listener)


def _renewal(request: StreamingRequest, renewals: Renewals) -> Answer:
    """Tell what was unhealthy; begin or cancel a renewal.  :raises NotRenewed:"""
    rest, status = request.postpath[1:], 200
    changes = {b"now": renewals.run_now, b"cancel": renewals.cancel}
    if len(rest) == 1 and rest[0] in changes:
        check_method(request, (b"POST",))
        changes[rest[0]](arguments(request).get("alias"))
        status = 202
    elif rest:
        raise NotFound
    else:
        check_method(request, (b"GET", b"HEAD"))
    text = json.dumps({"renewals": unhealthy_json(renewals.status())}, indent=1)
    headers = {"content-type": JSON, "cache-control": "no-store"}
    return Answer(f"{text}\n".encode(), status, headers)
