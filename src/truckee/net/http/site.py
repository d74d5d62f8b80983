"""The HTTP server of one tree of resources."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

from truckee.net.http.channel_factory import ChannelFactory
from truckee.net.http.isolation import USUAL
from truckee.net.http.limits import HttpLimits
from truckee.net.http.origin import AllowedHosts
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import NotFound, Responder
from truckee.net.http.streaming import IStreamingResource

log = Logger()


class StreamingSite(ChannelFactory, server.Site):
    """
    A site whose resources may take bodies while they arrive.

    :param hosts: the names that it is known under, beside addresses and localhost.
    :param access_log: log the method, status and size of each request; never its URL,
        which may be a cap.
    """

    requestFactory = StreamingRequest
    displayTracebacks = False
    headers = USUAL  # on each response

    def __init__(
        self,
        root: IResource,
        responder: Responder,
        limits: HttpLimits | None = None,
        *,
        reactor: IReactorTime,
        hosts: AllowedHosts | None = None,
        access_log: bool = False,
    ) -> None:
        server.Site.__init__(self, root, parsePOSTFormSubmission=False, reactor=reactor)
        ChannelFactory.__init__(self, limits or HttpLimits(), reactor)
        # The channel has deadlines of its own for each phase.
        self.timeOut = None
        self.responder = responder
        self.hosts = hosts or AllowedHosts()
        self._access_log = access_log

    # From the requests

    def streams(self, resource: Any) -> bool:
        """Return whether *resource* wants bodies while they arrive."""
        return bool(IStreamingResource.providedBy(resource))

    # From Twisted

    def getResourceFor(self, request: StreamingRequest) -> Any:
        """
        Return the resource at the URL of *request*.

        :raises NotFound: in place of the HTML page of a Resource that has no such child.
        """
        found: Any = self.resource
        request.site = self
        while request.postpath and not found.isLeaf:
            name = request.postpath.pop(0)
            request.prepath.append(name)
            if _has_only_static_children(found) and name not in found.children:
                raise NotFound()
            found = found.getChildWithDefault(name, request)
        return found

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def getContentFile(self, length: int | None) -> BytesIO:
        return BytesIO()

    def startFactory(self) -> None:
        """Open no log: Twisted's has URLs in it."""

    def stopFactory(self) -> None:
        """Nothing was opened."""

    def log(self, request: Request) -> None:
        if self._access_log:
            log.info(
                "{method} {status} {size} bytes",
                method=request.method.decode("ascii", "replace"),
                status=request.code,
                size=request.sentLength,
            )


def _has_only_static_children(found: Any) -> bool:
    kind = type(found)
    return (
        isinstance(found, Resource)
        and kind.getChild is Resource.getChild
        and kind.getChildWithDefault is Resource.getChildWithDefault
    )


__all__ = ["HttpLimits", "StreamingSite"]
