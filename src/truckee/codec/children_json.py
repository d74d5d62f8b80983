"""
Children as clients send them and as they are shown.

Source: ``docs/formats/directories.md``, "Children as JSON".
"""

from __future__ import annotations

import json
from typing import Any

from attrs import define, frozen

from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MalformedCap,
)
from truckee.codec.children import BadChild, Child, new_child
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import normalize_name
from truckee.codec.link_metadata import Metadata
from truckee.errors import Misuse


@define
class BadChildren(Misuse):
    """
    The list of children is unusable: {reason}. Send a JSON object of names, each with a
    list of a type and an object with "rw_uri", "ro_uri" and "metadata".
    """

    reason: str


@define
class BadNamedChild(Misuse):
    """The child "{name}" cannot be linked: {reason}"""

    name: str
    reason: str  # sentences that say what to do


@frozen
class GivenChild:
    """A child that somebody wants to link."""

    child: Child
    metadata: Metadata | None  # None: not given

    @classmethod
    def of(cls, cap: object) -> GivenChild:
        """
        Return the child of one cap, whose strength is not known, without metadata.

        :raises BadChild: :raises MalformedCap: when it cannot be linked.
        """
        return cls(new_child(str(cap), None), None)


def parse_children(body: bytes | str) -> dict[str, GivenChild]:
    """
    Return the children of a request's body, by normalised name; of two the later one.

    A body without anything has none.

    :raises BadChildren: when it is no list of children.
    :raises BadNamedChild: when the caps of a child break a rule.
    """
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadChildren("it is not JSON") from None
    if not isinstance(found, dict):
        raise BadChildren("it is no JSON object")
    return dict(given_child(name, value) for name, value in found.items())


def given_child(name: str, value: Any) -> tuple[str, GivenChild]:
    """
    Return one child of a request's body, and its name normalised.

    :raises BadChildren: :raises BadNamedChild: as ``parse_children``
    """
    match value:
        case [_, dict() as fields]:
            pass
        case _:
            raise BadChildren(f'"{name}" has no list of a type and an object')
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise BadChildren(f'the metadata of "{name}" is no JSON object')
    rw, ro = (_cap(name, fields.get(key)) for key in ("rw_uri", "ro_uri"))
    try:
        return normalize_name(_text(name)), GivenChild(new_child(rw, ro), metadata)
    except (BadChild, MalformedCap) as error:
        raise BadNamedChild(name, str(error)) from None


def _cap(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadChildren(f'a cap of "{name}" is no text')
    return None if value is None else _text(value)


def _text(text: str) -> str:
    """Return *text*, which must be text.  :raises BadChildren:"""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadChildren("a name or a cap has half a surrogate pair") from None
    return text


def describe(link: Link) -> tuple[str, dict[str, Any]]:
    """
    Return a link as clients are shown it, in a list of a directory's children.

    The size of a mutable file is not in it: who knows it adds it.
    """
    child = link.child
    verify = child.verify_cap()
    texts = {
        "rw_uri": child.rw,
        "ro_uri": child.ro,
        "verify_uri": None if verify is None else str(verify),
    }
    shown: dict[str, Any] = {key: text for key, text in texts.items() if text is not None}
    shown["metadata"] = link.metadata
    if child.cap is None:
        return "unknown", shown
    shown["mutable"] = child.is_mutable
    match child.cap:
        case DirectoryCap():
            return "dirnode", shown
        case ChkReadCap() | LiteralCap():
            shown |= {"format": "CHK", "size": child.cap.size}
        case _:
            shown["format"] = "MDMF" if child.cap.format == "MDMF" else "SDMF"
    return "filenode", shown
