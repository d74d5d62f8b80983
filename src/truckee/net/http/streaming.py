"""What a resource is that wants its body before the request is complete."""

from __future__ import annotations

from collections.abc import AsyncIterator

from zope.interface import Interface

from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer


class IStreamingResource(Interface):
    """A resource that takes request bodies while they arrive."""

    def accept(request: StreamingRequest) -> None:
        """
        Look at the request's head and do nothing to take it.

        :raises TruckeeError: to refuse it: no byte of the body is asked for then.
        """

    async def receive(
        request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer | None:
        """
        Take the body and return the answer, or None when it was written.

        The body's source is paused until its first chunk is asked for.  This is
        cancelled when the client goes away, unless ``request.keeps_parts`` was set: then
        the body gives all that was received, and fails behind it.  Returning early is
        allowed.
        """
