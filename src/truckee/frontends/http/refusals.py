"""What the transport itself refuses, before or beneath any resource."""

from __future__ import annotations

from attrs import define

from truckee.errors import Misuse, Refused
from truckee.frontends.http.respond import Responder


@define
class Malformed(Misuse):
    """This is not a well-formed HTTP/1.1 request. The connection is closed."""


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
REFUSALS = Responder(((HeadTooLarge, 431), (TooSlow, 408)))
