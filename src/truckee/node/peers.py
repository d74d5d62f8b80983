"""
Which introducers and servers the operator named, and what introducers said last time.

Source: ``docs/formats/announcements.md``, "Files".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import define
from twisted.logger import Logger

from truckee.errors import Misuse
from truckee.flow.durable import write_durably
from truckee.grid.announcements import Announcement, parse_fields, tubid_of

log = Logger()

# What JSON takes as it is, and readers of YAML do not.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

_MAX_FILE = 16 << 20  # bytes of any of these files


@define
class BadPeers(Misuse):
    """{path}: {where}: {reason}."""

    path: Path
    where: str
    reason: str


def load_introducers(path: Path) -> dict[str, str]:
    """Return furls by petname; none when there is no such file.  :raises BadPeers:"""
    furls = {}
    for petname, entry in _section(path, "introducers").items():
        furl = entry.get("furl") if isinstance(entry, dict) else None
        if not isinstance(petname, str) or not isinstance(furl, str):
            raise BadPeers(path, f"introducers: {petname}", "it needs a furl: pb://…")
        if "/" in petname or "\0" in petname:
            raise BadPeers(path, f"introducers: {petname}", "a name has no slash")
        furls[petname] = check_furl(path, f"introducers: {petname}: furl", furl)
    return furls


def load_static_servers(path: Path) -> list[Announcement]:
    """Return the operator's word for servers.  :raises BadPeers:"""
    servers = []
    for server_id, entry in _section(path, "storage").items():
        where = f"storage: {server_id}"
        fields = entry.get("ann") if isinstance(entry, dict) else None
        if not isinstance(fields, dict):
            raise BadPeers(path, where, "it needs ann: with an anonymous-storage-FURL")
        try:
            servers.append(parse_fields(str(server_id), fields))
        except ValueError as error:
            raise BadPeers(path, where, str(error)) from None
    return servers


def check_furl(path: Path, where: str, furl: str) -> str:
    """Return *furl* if it looks like one.  :raises BadPeers: otherwise."""
    try:
        tubid_of(furl)
    except ValueError as error:
        raise BadPeers(path, where, str(error)) from None
    return furl


def load_cache(path: Path) -> list[Announcement]:
    """Return what an introducer said last time; a broken cache is none."""
    try:
        entries = _entries(_read(path) or "[]")
        return [parse_fields(entry["key_s"], entry["ann"]) for entry in entries or []]
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        yaml.YAMLError,
    ):
        log.warn("{path} cannot be read and is not used", path=str(path))
        return []


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
