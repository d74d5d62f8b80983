"""
The head of a request: from bytes to what it says, or to an error.

Pure.  Source: RFC 9112, sections 2 to 6; where it leaves a choice, the strict one is
taken, since a proxy in front of us may have made the other one: what two programs can
read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import define, frozen

from truckee.errors import Misuse

END = b"\r\n\r\n"

# Browsers send some twenty; proxies add a few.
MAX_HEADERS = 500

# More digits are no length that any disk has, and an error of int() beyond 4300.
_MAX_LENGTH_DIGITS = 18

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_VISIBLE = re.compile(rb"[\x21-\x7e]+")
# What no header value has: control characters but the tab (RFC 9110, section 5.5).
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# An authority as Host and absolute targets have it: no user, no path.
_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[!$&'()*+,;=\-._~%0-9A-Za-z]*)(?::[0-9]*)?"
)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


@define
class MalformedHead(Misuse):
    """This is not a well-formed HTTP/1.1 request: {reason}. The connection is closed."""

    reason: str


@define
class OtherVersion(Misuse):
    """This server speaks HTTP/1.1 and HTTP/1.0 only."""


@define
class OtherCoding(Misuse):
    """
    The only Transfer-Encoding that is taken is chunked. Send the body as it is, with a
    Content-Length or chunked.
    """


@frozen
class Head:
    """One request's head; the names of headers are in lower case."""

    method: bytes
    target: bytes  # begins with a slash, or is the star of OPTIONS
    version: bytes  # HTTP/1.1 or HTTP/1.0
    headers: Sequence[tuple[bytes, bytes]]
    length: int | None  # bytes of the body; None: it is chunked

    @property
    def persistent(self) -> bool:
        """Whether the client may send another request on this connection."""
        wishes = b",".join(self.all(b"connection")).lower().split(b",")
        return self.version == b"HTTP/1.1" and not any(
            w.strip() == b"close" for w in wishes
        )

    def all(self, name: bytes) -> list[bytes]:
        """Return all values of the header *name*."""
        return [value for key, value in self.headers if key == name]


def find_end(data: bytearray, start: int = 0) -> int:
    """
    Return where the head at the beginning of *data* ends, behind its empty line, or -1.

    What stands before *start* has been looked at before.

    :raises MalformedHead: once a line ends in something else than CR LF.
    """
    end = data.find(END, max(0, start - 3))
    stop = len(data) if end < 0 else end
    # The CR of the first LF that is new may be the last byte that is not.
    if data.count(b"\n", start, stop) != data.count(b"\r\n", max(0, start - 1), stop):
        raise MalformedHead("a line does not end in CR LF")
    return end if end < 0 else end + len(END)


def parse_head(data: bytes) -> Head:
    """
    Return what a whole head, with the empty line at its end, says.

    :raises MalformedHead: :raises OtherVersion: :raises OtherCoding:
    """
    first, *lines = data[: -len(END)].split(b"\r\n")
    method, target, version = _request_line(first)
    if len(lines) > MAX_HEADERS:
        raise MalformedHead(f"it has more than {MAX_HEADERS} headers")
    headers = [_header(line) for line in lines]
    target, authority = _target(method, target)
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version == b"HTTP/1.1"):
        raise MalformedHead("it needs one Host header, no more and no fewer")
    if hosts and not _AUTHORITY.fullmatch(hosts[0]):
        raise MalformedHead("its Host is no name with a port")
    if authority is not None:
        # The Host header is to be ignored then (RFC 9112, section 3.2.2).
        headers = [pair for pair in headers if pair[0] != b"host"]
        headers.append((b"host", authority))
    return Head(method, target, version, headers, _length(version, headers))


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise MalformedHead("its first line is not METHOD TARGET VERSION")
    method, target, version = parts
    if not _VERSION.fullmatch(version):
        raise MalformedHead("its version is not one of HTTP")
    if not _TOKEN.fullmatch(method):
        raise MalformedHead("its method is no token")
    if not _VISIBLE.fullmatch(target):
        raise MalformedHead("its target has other bytes than visible ASCII characters")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise OtherVersion
    return method, target, version


def _target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Return the target as a path, and the authority in it if it has one."""
    if target.startswith(b"/") or (method == b"OPTIONS" and target == b"*"):
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or not _AUTHORITY.fullmatch(absolute[1]):
        raise MalformedHead("its target is neither a path nor an http or https URL")
    authority, rest = absolute[1], absolute[2]
    if not rest and method == b"OPTIONS":
        return b"*", authority
    return rest if rest.startswith(b"/") else b"/" + rest, authority


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise MalformedHead("a header has no colon")
    if not _TOKEN.fullmatch(name):
        # A continuation line too, and a name with a space behind it.
        raise MalformedHead("the name of a header is no token")
    if _CONTROL.search(value):
        raise MalformedHead("a header has a control character in it")
    return name.lower(), value.strip(b" \t")


def _length(version: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if lengths:
            raise MalformedHead("it has both a Content-Length and a Transfer-Encoding")
        if version != b"HTTP/1.1":
            raise MalformedHead("HTTP/1.0 has no Transfer-Encoding")
        if codings == [b"chunked"]:
            return None
        names = [name.strip() for name in b",".join(codings).split(b",")]
        if names[-1] == b"chunked" and names.count(b"chunked") == 1 and all(names):
            raise OtherCoding
        raise MalformedHead("its Transfer-Encoding is not chunked, once")
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise MalformedHead("its Content-Length is not one number")
    if len(lengths[0]) > _MAX_LENGTH_DIGITS:
        raise MalformedHead("its Content-Length is larger than any file")
    return int(lengths[0])
