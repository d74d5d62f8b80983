"""The names in the path of an address.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from truckee.errors import Misuse


@define
class EmptyName(Misuse):
    """A name in the path is empty; leave out the second of two slashes."""


@define
class NotUtf8(Misuse):
    """A name in the path is not UTF-8."""


def names_in(segments: Sequence[bytes]) -> list[str]:
    """
    Return the names of a path, whose end may be a slash.

    :raises EmptyName: :raises NotUtf8:
    """
    segments = list(segments)
    if segments and not segments[-1]:
        segments.pop()
    if not all(segments):
        raise EmptyName
    try:
        return [each.decode("utf-8") for each in segments]
    except UnicodeDecodeError:
        raise NotUtf8 from None
