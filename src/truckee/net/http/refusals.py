"""What the transport itself refuses, before or beneath any resource."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from attrs import define
from twisted.web.http_headers import Headers

from truckee.errors import Misuse, Refused, TruckeeError
from truckee.net.http.head import OtherCoding, OtherVersion
from truckee.net.http.request_channel import head_bytes
from truckee.net.http.respond import Responder


@define
class HeadTooLarge(Refused):
    """The request line and headers are larger than the {limit} bytes that are taken."""

    limit: int


@define
class TooSlow(Misuse):
    """The request came too slowly and was given up. Send it again on a better link."""


@define
class BodyAborted(Misuse):
    """The client went away before the body was complete."""


# For answers where no request exists or it cannot go on.
REFUSALS = Responder(
    ((HeadTooLarge, 431), (TooSlow, 408), (OtherCoding, 501), (OtherVersion, 505))
)


def refusal(error: TruckeeError, usual: Mapping[bytes, bytes]) -> bytes:
    """Return a whole response that says *error*, with the *usual* headers; the last one."""
    answer = REFUSALS.of_error(error)
    headers = Headers({name: [value] for name, value in usual.items()})
    for key, text in answer.headers.items():
        headers.setRawHeaders(key, [text])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
    headers.setRawHeaders(b"Connection", [b"close"])
    reason = HTTPStatus(answer.status).phrase.encode("ascii")
    code = b"%d" % answer.status
    return head_bytes(b"HTTP/1.1", code, reason, headers) + answer.body
