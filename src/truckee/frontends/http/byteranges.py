"""
What the body of a 200 or 206 is made of: the whole, one range, or several as parts.

Source: RFC 9110, sections 14.6 and 15.3.7.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from truckee.frontends.http.ranges import ByteRange


@frozen
class Body:
    """The bytes of a body, named before any of them is read."""

    status: int
    headers: Mapping[str, str]
    parts: tuple[tuple[bytes, ByteRange], ...]  # each behind the bytes before it
    tail: bytes = b""  # behind the last


def whole(size: int, content_type: str) -> Body:
    """Return the body that is all of *size* bytes."""
    headers = {"content-type": content_type, "content-length": str(size)}
    return Body(200, headers, ((b"", ByteRange(0, size, size)),))


def partial(ranges: Sequence[ByteRange], content_type: str, boundary: str) -> Body:
    """
    Return the body that is *ranges*, which are not empty, in their order.

    Several are a ``multipart/byteranges``; *boundary* is in none of them.
    """
    if len(ranges) == 1:
        headers = {
            "content-type": content_type,
            "content-length": str(ranges[0].length),
            "content-range": str(ranges[0]),
        }
        return Body(206, headers, ((b"", ranges[0]),))
    delimiter = f"--{boundary}\r\n"
    parts = []
    for each in ranges:
        head = f"{delimiter}Content-Type: {content_type}\r\nContent-Range: {each}\r\n\r\n"
        parts.append((head.encode("ascii"), each))
        delimiter = f"\r\n--{boundary}\r\n"
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")
    length = sum(len(head) + each.length for head, each in parts) + len(tail)
    headers = {
        "content-type": f"multipart/byteranges; boundary={boundary}",
        "content-length": str(length),
    }
    return Body(206, headers, tuple(parts), tail)
