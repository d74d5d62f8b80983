"""
Which introducers and servers the operator named, and what introducers said last time.

Source: ``docs/formats/announcements.md``, "Files".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import define, evolve
from twisted.logger import Logger

from truckee.errors import Misuse
from truckee.flow.durable import write_durably
from truckee.grid.announcements import Announcement, parse_fields, tubid_of

log = Logger()

# What JSON takes as it is, and readers of YAML do not.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

_MAX_FILE = 16 << 20  # bytes of any of these files
_MOST_REASONS = 5  # that one problem names


@define
class BadPeers(Misuse):
    """{path}: {where}: {reason}."""

    path: Path
    where: str
    reason: str


Skip = Callable[[BadPeers], None]


def refuse(bad: BadPeers) -> None:
    """Let one bad entry count for the whole file.  :raises BadPeers:"""
    raise bad


def load_introducers(path: Path, skip: Skip = refuse) -> dict[str, str]:
    """
    Return furls by petname; none when there is no such file.

    Each entry that cannot be used is given to *skip*.  :raises BadPeers: for the file.
    """
    furls = {}
    for petname, entry in _section(path, "introducers").items():
        where = f"introducers: {_shown(petname)}"
        furl = entry.get("furl") if isinstance(entry, dict) else None
        try:
            if not isinstance(petname, str) or not isinstance(furl, str):
                raise BadPeers(path, where, "it needs a furl: pb://…")
            if "/" in petname or "\0" in petname:
                raise BadPeers(path, where, "a name has no slash")
            furls[petname] = check_furl(path, f"{where}: furl", furl)
        except BadPeers as error:
            skip(error)
    return furls


def load_static_servers(
    path: Path, skip: Skip = refuse, tor: bool = False
) -> list[Announcement]:
    """
    Return the operator's word for servers, some for *tor* if that is there.

    Each entry that cannot be used is given to *skip*.  :raises BadPeers: for the file.
    """
    servers = []
    for server_id, entry in _section(path, "storage").items():
        try:
            servers.append(_static_server(server_id, entry, tor))
        except ValueError as error:
            skip(BadPeers(path, f"storage: {_shown(server_id)}", str(error)))
    return servers


def _static_server(server_id: object, entry: object, tor: bool) -> Announcement:
    """:raises ValueError: when it cannot be used as the operator wants it."""
    fields = entry.get("ann") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(fields, dict):
        raise ValueError("it needs ann: with an anonymous-storage-FURL")
    connections = entry.get("connections")
    if connections is not None and not isinstance(connections, dict):
        raise ValueError("connections: is tcp: and how to connect")
    way = (connections or {}).get("tcp", "tcp")
    if way not in ("tcp", "tor") or (way == "tor" and not tor):
        # Plain TCP would show our address to a server that is not to see it.
        raise ValueError("it forbids plain TCP, and there is no other way to it")
    return evolve(parse_fields(str(server_id), fields), over_tor=way == "tor")


def _shown(name: object) -> str:
    """Return what somebody called an entry, short and in one line."""
    return "".join(each if each.isprintable() else "?" for each in str(name)[:80])


def check_furl(path: Path, where: str, furl: str) -> str:
    """
    Return *furl*, without blanks around it, if it looks like one.

    Stock writes down what a script gave it, often with the end of the line it was read
    from.  :raises BadPeers: otherwise.
    """
    furl = furl.strip()
    try:
        tubid_of(furl)
    except ValueError as error:
        raise BadPeers(path, where, str(error)) from None
    return furl


def load_cache(
    path: Path, trouble: Callable[[str], None] = lambda text: None
) -> list[Announcement]:
    """
    Return what an introducer said last time; a broken cache is none.

    Of entries that are broken the others are used, and *trouble* is told.
    """
    try:
        entries = _entries(_read(path) or "[]") or []
        if not isinstance(entries, list):
            raise ValueError("it is no list")
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        log.warn("{path} cannot be read and is not used", path=str(path))
        trouble("It cannot be read and is not used.")
        return []
    found, reasons = [], []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(parse_fields(entry["key_s"], entry["ann"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            missing = isinstance(error, (TypeError, KeyError, AttributeError))
            reason = "it is no announcement" if missing else str(error)
            reasons.append(f"entry {number} ({reason})")
    if reasons:
        shown = ", ".join(reasons[:_MOST_REASONS])
        more = ", …" if len(reasons) > _MOST_REASONS else ""
        trouble(
            f"{len(reasons)} of its {len(entries)} entries cannot be used, and the others "
            f"are: {shown}{more}."
        )
    return found


def save_cache(path: Path, known: Mapping[str, Announcement]) -> None:
    """Keep what an introducer said; blocks.  The text is JSON, which is YAML too."""
    entries = (
        _cache_entry({"ann": dict(each.fields), "key_s": server_id})
        for server_id, each in known.items()
    )
    text = ",\n".join(entry for entry in entries if entry)
    write_durably(path, f"[{text}]\n".encode())


def _cache_entry(entry: dict[str, Any]) -> str:
    """Return *entry*; nothing if its server made it too deep to write."""
    try:
        text = json.dumps(entry, ensure_ascii=False)
    except RecursionError:
        return ""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _entries(text: str) -> Any:
    """Return what is in a cache: ours is JSON, which is read a hundred times faster."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def _section(path: Path, name: str) -> dict[Any, Any]:
    """Return the one mapping in a file of ours; empty when there is no file."""
    try:
        text = _read(path)
        found = yaml.safe_load(text) if text is not None else {name: {}}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}" if mark is not None else "somewhere"
        raise BadPeers(path, where, str(error.problem)) from None
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise BadPeers(path, "cannot be read", str(error)) from None
    section = found.get(name) if isinstance(found, dict) else None
    if section is None and found in (None, {}, {name: None}):
        return {}
    if not isinstance(section, dict):
        raise BadPeers(path, "at its top", f"it must begin with {name}:")
    return section


def _read(path: Path) -> str | None:
    if not path.exists():
        return None
    if path.stat().st_size > _MAX_FILE:
        raise ValueError("it is too large")
    return path.read_text("utf-8")
