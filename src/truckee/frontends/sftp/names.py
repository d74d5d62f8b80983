"""Paths of SFTP clients as names, and back.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from truckee.errors import Misuse


@define
class BadPath(Misuse):
    """The path is not UTF-8, or has a character that no name can have."""


def names_of(path: bytes) -> tuple[str, ...]:
    """
    Return the names from the root to where *path* leads; there are no symbolic links.

    A path that does not begin with a slash begins at the root too.  :raises BadPath:
    """
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPath from None
    if "\0" in text:
        raise BadPath
    names: list[str] = []
    for name in text.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return tuple(names)


def path_of(names: Sequence[str]) -> bytes:
    """Return the absolute path of *names*."""
    return b"/" + "/".join(names).encode("utf-8", "surrogateescape")
