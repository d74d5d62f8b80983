"""
What ``private/aliases`` of a node directory says: names, and the caps they stand for.

Source: ``docs/reference/node-directory.md``; Tahoe-LAFS reads and writes the same file.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT = "tahoe"  # the alias of a path that names none
OLD = "root_dir.cap"  # where old nodes keep the cap of the default alias


def aliases_file(private: Path) -> Path:
    """Return where the aliases are."""
    return private / "aliases"


def read_aliases(private: Path) -> dict[str, str]:
    """
    Return the caps by their aliases, as they are written there.  Blocks.

    A file that is not there has none.  :raises OSError: when one cannot be read.
    """
    found = {}
    for line in _lines(private / OLD):
        found[DEFAULT] = line.strip()
    for line in _lines(aliases_file(private)):
        name, colon, cap = line.partition(":")
        if colon and not name.startswith("#"):
            found[name.strip()] = cap.strip()
    return found


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [line for line in text.splitlines() if line.strip()]
