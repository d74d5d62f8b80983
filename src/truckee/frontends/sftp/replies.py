"""
What this server answers.  Pure.

Each function returns a whole packet, with its length.  Source:
draft-ietf-secsh-filexfer-02, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from truckee.codec.hashes import Buffer
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.wire import string, u32, u64

_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRIBUTES = 2, 101, 102, 103, 104, 105
_EXTENDED = 201
# Of a text that a person may read.
_MOST_TEXT = 1000  # characters


class Code(IntEnum):
    """How a request went."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    UNSUPPORTED = 8


def version(number: int, extensions: Mapping[bytes, bytes]) -> bytes:
    """Answer the first packet."""
    pairs = (string(name) + string(value) for name, value in extensions.items())
    return string(bytes([_VERSION]) + u32(number) + b"".join(pairs))


def status(request: int, code: Code, text: str = "") -> bytes:
    """Say how a request went, and in words why."""
    words = string(text[:_MOST_TEXT].encode("utf-8", "replace"))
    return _packet(_STATUS, request, u32(code) + words + string(b"en"))


def handle(request: int, value: bytes) -> bytes:
    """Give the handle of what was opened."""
    return _packet(_HANDLE, request, string(value))


def data(request: int, content: Buffer) -> bytes:
    """Give bytes of a file."""
    head = u32(9 + len(content)) + bytes([_DATA]) + u32(request) + u32(len(content))
    return b"".join((head, content))


def names(request: int, entries: Sequence[bytes]) -> bytes:
    """Give names with their attributes, see ``attributes.entry``."""
    return _packet(_NAME, request, u32(len(entries)) + b"".join(entries))


def attributes(request: int, found: Attributes) -> bytes:
    """Give attributes."""
    return _packet(_ATTRIBUTES, request, found.pack())


def numbers(request: int, values: Sequence[int]) -> bytes:
    """Give the numbers that an extension is answered with."""
    return _packet(_EXTENDED, request, b"".join(map(u64, values)))


def _packet(kind: int, request: int, rest: bytes) -> bytes:
    return string(bytes([kind]) + u32(request) + rest)
