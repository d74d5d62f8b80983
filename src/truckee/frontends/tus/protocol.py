"""
The headers of tus 1.0.0.  Pure.

Source: ``docs/formats/tus.md``.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from time import gmtime, strftime

from attrs import define, frozen

from truckee.errors import Misuse, Refused

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "termination",
)
BODY_TYPE = "application/offset+octet-stream"

MAX_METADATA = 4096  # characters
_MAX_DIGITS = 18


@define
class BadHeader(Misuse):
    """The header {name} is wrong: {reason}."""

    name: str
    reason: str


@define
class WrongVersion(Misuse):
    """Say Tus-Resumable: {version}. No other version of tus is spoken here."""

    version: str = VERSION


@define
class WrongBodyType(Misuse):
    """The bytes of a file come with Content-Type: {wanted}."""

    wanted: str = BODY_TYPE


@define
class PastLength(Refused):
    """The upload ends at byte {length}, and this goes beyond. Nothing behind was taken."""

    length: int


# The statuses of what is refused here; all other errors have theirs in every frontend.
STATUSES = ((WrongVersion, 412), (PastLength, 413), (WrongBodyType, 415))


@frozen
class Creation:
    """What a request for a new upload says."""

    length: int | None  # bytes; None: it is told later
    metadata: str  # as it came


def parse_creation(length: str | None, deferred: str | None, metadata: str) -> Creation:
    """Return what these headers say together; None where one is missing."""
    if deferred is not None and deferred != "1":
        raise BadHeader("Upload-Defer-Length", "it can only be 1")
    if (length is None) == (deferred is None):
        raise BadHeader("Upload-Length", "say this or Upload-Defer-Length, and not both")
    check_metadata(metadata)
    size = None if length is None else parse_count("Upload-Length", length)
    return Creation(size, metadata)


def parse_count(name: str, text: str | None) -> int:
    """Return the number of bytes in the header *name*, None where it is missing."""
    if text is None:
        raise BadHeader(name, "it is missing")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise BadHeader(name, "it must be a number of bytes")
    return int(text)


def check_metadata(text: str) -> None:
    """:raises BadHeader: unless *text* is pairs of a key and, in base64, a value."""
    if not text:
        return
    name = "Upload-Metadata"
    if len(text) > MAX_METADATA:
        raise BadHeader(name, f"it is longer than {MAX_METADATA} characters")
    seen = set()
    for pair in text.split(","):
        key, *value = pair.strip(" ").split(" ")
        if not (key and key.isascii() and key.isprintable()) or key in seen:
            raise BadHeader(name, "each pair needs a key of its own, in ASCII")
        if len(value) > 1:
            raise BadHeader(name, "a pair is a key, one blank and a value")
        seen.add(key)
        decode(name, "".join(value))


def decode(name: str, text: str) -> bytes:
    """Return the bytes that stand in base64 in the header *name*."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise BadHeader(name, "its value is not base64") from None


def format_date(seconds: float) -> str:
    """Return a time, in seconds since 1970, as headers have it."""
    return strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(seconds))
