"""
The state of one tree's renewal in a file of ``private/renewal``.

Paths are in it, and no cap: the cursor is sealed.

Source: ``docs/reference/node-directory.md``, "Lease renewal".
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from attrs import Attribute, asdict, fields

from truckee.flow.durable import ensure_directories, write_durably
from truckee.renewal.state import MOST_LISTED, Counts, Pass, RenewalState, Unhealthy

T = TypeVar("T")

_VERSION = 1


def save_state(path: Path, state: RenewalState) -> None:
    """Blocks.  :raises OSError:"""
    ensure_directories(path.parent)
    document = {"version": _VERSION, **asdict(state)}
    write_durably(path, json.dumps(document, indent=1).encode("ascii") + b"\n")


def load_state(path: Path) -> RenewalState:
    """
    Blocks.

    :raises FileNotFoundError: :raises ValueError: when it is damaged.
    """
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or document.pop("version", None) != _VERSION:
        raise ValueError("it has another version")
    try:
        for name in ("now", "last"):
            if document[name] is not None:
                document[name] = _pass(document[name])
        state = _made(RenewalState, document)
    except (KeyError, TypeError) as error:
        raise ValueError("it has other fields") from error
    if not isinstance(state.cursor, str):
        raise ValueError("its cursor is no text")
    _check_times(state.started, state.doubt)
    return state


def _pass(document: Any) -> Pass:
    counts = _made(Counts, document["counts"])
    if any(type(number) is not int or number < 0 for number in asdict(counts).values()):
        raise ValueError("it has counts that are none")
    listed = [_unhealthy(each) for each in document["unhealthy"][:MOST_LISTED]]
    found = _made(Pass, {**document, "counts": counts, "unhealthy": listed})
    _check_times(found.started, found.ended)
    if type(found.listed) is not int:
        raise ValueError("it has counts that are none")
    return found


def _unhealthy(document: Any) -> Unhealthy:
    path, reason = document["path"], document["reason"]
    if not isinstance(reason, str) or any(not isinstance(name, str) for name in path):
        raise ValueError("it has a path that is none")
    return Unhealthy(tuple(path), reason)


def _made(kind: type[T], document: Any) -> T:
    """Return a *kind* of the fields in *document*.  :raises TypeError: of others"""
    names: list[Attribute[Any]] = list(fields(kind))  # type: ignore[arg-type]
    if set(document) != {each.name for each in names}:
        raise TypeError
    return kind(**document)


def _check_times(*times: object) -> None:
    for each in times:
        good = type(each) in (int, float) and isfinite(each)  # type: ignore[arg-type]
        if each is not None and not good:
            raise ValueError("it has a time that is none")
