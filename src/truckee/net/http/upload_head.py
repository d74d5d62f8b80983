"""
Headers that narrow an upload, or forbid it, and that nothing here can honour.

Who sends one means less than what would be done without it, so the upload is refused
before its body.  Pure.

Source: RFC 9110, sections 8.4 (Content-Encoding), 10.1.1 (Expect), 13.1 (preconditions)
and 14.5 (Content-Range on PUT); RFC 4918, section 10.4 (If).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define

from truckee.errors import Misuse

CONTINUE = "100-continue"


@define
class PartialUpload(Misuse):
    """
    Content-Range says that this is a part of a file, and it would be stored as a whole
    one. Send the file without that header; to send it in pieces, open an upload with
    POST /upload/open.
    """


@define
class EncodedBody(Misuse):
    """
    The body is encoded ({coding}), and no encoding is undone here. Send the file as it is,
    without {header}.
    """

    header: str
    coding: str


@define
class UnknownExpectation(Misuse):
    """Expect can be 100-continue alone. Send the request without this header."""


@define
class PreconditionUnmet(Misuse):
    """
    {header} allows this only for something that is not here: {reason}. Send the request
    without that header.
    """

    header: str
    reason: str


STATUSES = (
    (PreconditionUnmet, 412),
    (EncodedBody, 415),
    (UnknownExpectation, 417),
)


class Head(Protocol):
    """A request whose head is there."""

    def header_lines(self, name: str) -> list[str]:
        """Return all values of a header."""


def check_upload(
    head: Head, exists: bool, checks_tags: bool = False, checks_locks: bool = False
) -> None:
    """
    Refuse what says less than would be done.

    :param exists: whether the target is there already, as an open upload is; else it is
        where new files are made.
    :param checks_tags: whether the target has an entity tag, and looks at If-Match and
        If-None-Match itself.
    :param checks_locks: whether it has locks, and looks at If itself.
    :raises PartialUpload: :raises EncodedBody: :raises UnknownExpectation:
    :raises PreconditionUnmet:
    """
    expected = members(head.header_lines("expect"))
    if any(each.lower() != CONTINUE for each in expected):
        raise UnknownExpectation
    if not checks_tags:
        _check_tags(head, exists)
    if head.header_lines("if-unmodified-since"):
        reason = "nothing that is written to has a date"
        raise PreconditionUnmet("If-Unmodified-Since", reason)
    if head.header_lines("if") and not checks_locks:
        raise PreconditionUnmet("If", "nothing here has locks")
    if head.header_lines("content-range"):
        raise PartialUpload
    check_coding("Content-Encoding", head.header_lines("content-encoding"), ("identity",))


def _check_tags(head: Head, exists: bool) -> None:
    if head.header_lines("if-match"):
        raise PreconditionUnmet("If-Match", "what is written to has no ETag")
    # Where new files are made there is none before: that holds for any tag.
    if exists and "*" in members(head.header_lines("if-none-match")):
        raise PreconditionUnmet("If-None-Match", "the target exists")


def check_coding(header: str, lines: Sequence[str], known: Sequence[str]) -> None:
    """:raises EncodedBody: unless the *lines* of *header* name only what is *known*."""
    for coding in members(lines):
        if coding.lower() not in known:
            shown = "".join(c if c.isprintable() else "?" for c in coding[:40])
            raise EncodedBody(header, shown)


def members(lines: Sequence[str]) -> list[str]:
    """Return the members of a list header, without its empty ones."""
    parts = (part.strip(" \t") for line in lines for part in line.split(","))
    return [part for part in parts if part]
