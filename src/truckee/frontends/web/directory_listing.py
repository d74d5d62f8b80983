"""What ``t=json`` says of a directory, made piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

from truckee.codec.caps import DirectoryCap, MutableCap
from truckee.codec.children_json import describe
from truckee.codec.directory_children import Link
from truckee.codec.indented_json import indented
from truckee.tree.directories import Directory

_CHILDREN = 200  # in a piece
# Levels of the document above a child: the list, its object, "children".
_DEPTH = 3
_MARK = '"children": '


def listing(directory: Directory) -> Iterator[bytes]:
    """Give the document in pieces, none of them empty; making one takes milliseconds."""
    found = {**about_directory(directory.cap), "children": None}
    head, tail = (indented(["dirnode", found]) + "\n").split(f"{_MARK}null")
    links = directory.links()
    start, between = f"{head}{_MARK}{{", "\n   "
    empty = True
    while children := list(islice(links, _CHILDREN)):
        lines = [_child(name, link) for name, link in children]
        yield (start + between + ",\n   ".join(lines)).encode("ascii")
        start, between, empty = "", ",\n   ", False
    end = "}" if empty else "\n  }"
    yield f"{start}{end}{tail}".encode("ascii")


def _child(name: str, link: Link) -> str:
    return f"{json.dumps(name)}: {indented(describe(link), _DEPTH)}"


def about_directory(cap: DirectoryCap) -> dict[str, object]:
    """Return the caps of a directory, and whether it can change."""
    read = cap.read_cap()
    found: dict[str, object] = {"mutable": isinstance(cap.inner, MutableCap)}
    if read is not cap:
        found["rw_uri"] = str(cap)
    found["ro_uri"] = str(read)
    verify = cap.verify_cap()
    if verify is not None:
        found["verify_uri"] = str(verify)
    return found
