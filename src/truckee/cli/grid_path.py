"""
Paths in the grid, as they are typed.

``ALIAS:PATH``, ``CAP``, ``CAP/PATH``, and ``PATH`` in the default alias where nothing
else can be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from attrs import evolve, field, frozen

from truckee.cli.problems import Problem, printable
from truckee.codec.directory_name import BadName, new_name

_CAP = "URI:"


@frozen
class GridPath:
    """Names that lead from a cap to something."""

    root: str = field(repr=False)  # a cap
    names: tuple[str, ...]
    shown: str  # for people: without a cap in it
    slash: bool = False  # whether it ends in a slash

    @property
    def url(self) -> str:
        """Where it is in the web API, without a slash in front."""
        return "/".join(["uri", *(quote(each, safe="") for each in self._parts)])

    @property
    def _parts(self) -> tuple[str, ...]:
        return (self.root, *self.names)

    @property
    def name(self) -> str:
        """The last name; empty: it is the root."""
        return self.names[-1] if self.names else ""

    @property
    def parent(self) -> GridPath:
        """The directory that has the last name in it."""
        shown = self.shown.rstrip("/")
        shown = shown[: -len(self.name)] if self.name else shown
        return evolve(self, names=self.names[:-1], shown=shown.rstrip("/"), slash=False)

    def child(self, name: str) -> GridPath:
        """Return the path of something in this directory."""
        between = "" if self.shown.endswith((":", "/")) else "/"
        shown = f"{self.shown}{between}{printable(name)}"
        return evolve(self, names=(*self.names, name), shown=shown, slash=False)


def is_remote(text: str) -> bool:
    """Tell whether *text* is of the grid, where it could be of a file here, too."""
    return ":" in text.partition("/")[0]


def parse_path(text: str, cap_of: Callable[[str], str], default: str) -> GridPath:
    """
    Return what *text* means; *cap_of* tells the cap of an alias.

    :raises Problem: when it cannot be a path.
    """
    if text.startswith(_CAP):
        root, path, shown = *_split_cap(text), "CAP"
        if path.strip("/"):
            shown = f"CAP/{path.lstrip('/')}"
    else:
        alias, path = default, text
        if is_remote(text):
            alias, _, path = text.partition(":")
        root, shown = cap_of(alias), f"{alias}:{path}"
    names = tuple(_name(each, text) for each in path.split("/") if each)
    return GridPath(root, names, printable(shown), path.endswith("/"))


def _split_cap(text: str) -> tuple[str, str]:
    if ":./" in text:
        root, _, path = text.partition(":./")
        return root, path
    root, slash, path = text.partition("/")
    return root.strip(), slash + path


def _name(text: str, whole: str) -> str:
    if text in (".", ".."):
        raise Problem(f"{printable(whole)}: {text} means nothing in the grid; leave it out")
    try:
        return new_name(text)
    except BadName:
        raise Problem(f"{printable(whole)}: a name in the grid must be UTF-8") from None
