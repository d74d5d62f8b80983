"""The storage directories of a grid of its own, as ``tahoe.cfg`` names them."""

from __future__ import annotations

import os
from pathlib import Path

from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.config_keys import Mistake
from truckee.node.config_values import parse_path

_WHERE = "[grid] storage_dirs"


def parse_storage_dirs(directory: Path, file: ConfigFile) -> list[Path]:
    """
    Return the directories, one a line; none when there is no section ``[grid]``.

    :raises BadConfig: when there is one without directories, or one of them twice.
    """
    lines = file.text("grid", "storage_dirs").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names and file.has_section("grid"):
        reason = (
            "it names no directory. Write one a line, indented, or remove the section "
            "[grid] if this node belongs to a grid of other machines"
        )
        raise BadConfig(file.path, _WHERE, reason)
    found: dict[str, str] = {}
    paths: list[Path] = []
    for name in names:
        try:
            path = parse_path(directory, name)
        except ValueError as error:
            raise BadConfig(file.path, _WHERE, str(error)) from None
        # Two shares on one disk would count as two.
        other = found.setdefault(os.path.realpath(path), name)
        if len(found) == len(paths):
            same = "twice" if other == name else f"as {other} too"
            reason = f"{name} is there {same}. Each must be a directory of its own"
            raise BadConfig(file.path, _WHERE, reason)
        paths.append(path)
    return paths


def directory_name(number: int) -> str:
    """Return what people and clients call the storage directory *number*, from 0."""
    # What clients are told of has no path in it.
    return f"storage directory {number}"


def grid_mistakes(
    file: ConfigFile, needed: int, happy: int, directories: int
) -> list[Mistake]:
    """Return what numbers of shares do not go with so many directories."""
    places = f"{directories} storage director{'y' if directories == 1 else 'ies'}"
    if happy > directories:
        text = (
            f"shares.happy is {happy}, and there is room on {places} only: every upload "
            "is refused. Add directories, or lower shares.happy."
        )
        return [Mistake(file.line_of("client", "shares.happy"), text)]
    if needed > directories:
        text = (
            f"shares.needed is {needed}, and there is room on {places} only: no file "
            "outlives the loss of a disk. Add directories, or lower shares.needed."
        )
        return [Mistake(file.line_of("client", "shares.needed"), text)]
    return []
