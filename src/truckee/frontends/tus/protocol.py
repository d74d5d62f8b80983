"""
The headers of tus 1.0.0.  Pure.

Source: ``docs/formats/tus.md``.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from binascii import Error as NotBase64
from email.utils import formatdate

from attrs import define, field, frozen

from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Refused

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "expiration",
    "termination",
    "concatenation",
)
CHECKSUMS = ("sha1", "sha256", "sha512", "md5")
BODY_TYPE = "application/offset+octet-stream"

MAX_METADATA = 4096  # characters
_PARTIAL = "partial"
_FINAL = "final;"
# Clients that send a file side by side make about as many parts as they have connections.
MAX_PARTS = 256
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


@define
class WrongChecksum(Refused):
    """The bytes are not those of their Upload-Checksum ({algorithm}). None was taken."""

    algorithm: str


@define
class IsFinal(Refused):
    """This upload is made of others, and takes no bytes of its own."""


# The statuses of what is refused here; all other errors have theirs in every frontend.
STATUSES = (
    (WrongVersion, 412),
    (PastLength, 413),
    (WrongBodyType, 415),
    (WrongChecksum, 460),
)


@frozen
class Creation:
    """What a request for a new upload says."""

    length: int | None  # bytes; None: it is told later
    metadata: str = ""  # as it came, but for what is malformed
    concat: str = ""  # as it came

    @property
    def partial(self) -> bool:
        """Whether it is a part of another one."""
        return self.concat == _PARTIAL

    @property
    def parts(self) -> list[str]:
        """The handles of those that it is made of, if it is."""
        if not is_final(self.concat):
            return []
        return [url.rpartition("/")[2] for url in self.concat[len(_FINAL) :].split()]


def parse_creation(
    length: str | None, deferred: str | None, metadata: str = "", concat: str = ""
) -> Creation:
    """Return what these headers say together; None or empty where one is missing."""
    metadata = good_metadata(metadata)
    concat = concat.strip(" ")
    if is_final(concat):
        creation = Creation(None, metadata, concat)
        if length is not None or deferred is not None:
            raise BadHeader("Upload-Length", "a final upload is as long as its parts")
        if not creation.parts:
            raise BadHeader("Upload-Concat", "it names no uploads")
        if len(creation.parts) > MAX_PARTS:
            raise BadHeader("Upload-Concat", f"it names more than {MAX_PARTS} uploads")
        if len(set(creation.parts)) < len(creation.parts):
            raise BadHeader("Upload-Concat", "it names an upload more than once")
        return creation
    if concat not in ("", _PARTIAL):
        raise BadHeader("Upload-Concat", "it can be partial, or final;URL URL")
    if deferred is not None and deferred != "1":
        raise BadHeader("Upload-Defer-Length", "it can only be 1")
    if (length is None) == (deferred is None):
        raise BadHeader("Upload-Length", "say this or Upload-Defer-Length, and not both")
    size = None if length is None else parse_count("Upload-Length", length)
    return Creation(size, metadata, concat)


def is_final(concat: str) -> bool:
    """Tell whether this value of Upload-Concat is of an upload made of others."""
    return concat.startswith(_FINAL)


def parse_count(name: str, text: str | None) -> int:
    """Return the number of bytes in the header *name*, None where it is missing."""
    if text is None:
        raise BadHeader(name, "it is missing")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise BadHeader(name, "it must be a number of bytes")
    return int(text)


def good_metadata(text: str) -> str:
    """
    Return those pairs of *text* that are a key and, in base64, a value.

    What is malformed is left out, as tusd does it: clients send names of files as they
    are.  :raises BadHeader: if it is too long.
    """
    name = "Upload-Metadata"
    if len(text) > MAX_METADATA:
        raise BadHeader(name, f"it is longer than {MAX_METADATA} characters")
    pairs = [pair.strip(" ") for pair in text.split(",")]
    # The last of the pairs that have the same key counts.
    good = {pair.partition(" ")[0]: pair for pair in pairs if _is_pair(pair)}
    return text if len(good) == len(pairs) else ",".join(good.values())


def _is_pair(text: str) -> bool:
    key, *value = text.split(" ")
    if not (key and key.isascii() and key.isprintable()) or len(value) > 1:
        return False
    try:
        decode("", "".join(value))
    except BadHeader:
        return False
    return True


@define(eq=False)
class BodyDigest:
    """The checksum of one body."""

    _algorithm: str
    _wanted: bytes
    _hash: hashlib._Hash = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)

    def update(self, data: Buffer, /) -> None:
        """Take the next bytes."""
        self._hash.update(data)

    def check(self) -> None:
        """:raises WrongChecksum: if these bytes are others."""
        if self._hash.digest() != self._wanted:
            raise WrongChecksum(self._algorithm)


def parse_checksum(text: str) -> BodyDigest:
    """Return what checks a body against the value of Upload-Checksum."""
    name = "Upload-Checksum"
    algorithm, _, value = text.strip(" ").partition(" ")
    if algorithm not in CHECKSUMS:
        raise BadHeader(name, f"it begins with one of {', '.join(CHECKSUMS)}")
    wanted = decode(name, value)
    if len(wanted) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise BadHeader(name, "its value has another length")
    return BodyDigest(algorithm, wanted)


def decode(name: str, text: str) -> bytes:
    """Return the bytes that stand in base64 in the header *name*."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise BadHeader(name, "its value is not base64") from None


def format_date(seconds: float) -> str:
    """Return a time, in seconds since 1970, as headers have it."""
    return formatdate(seconds, usegmt=True)
