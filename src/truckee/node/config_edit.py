"""The text of ``tahoe.cfg`` with another list of storage directories.  Pure."""

from __future__ import annotations

_DEEPER = "    "


def add_value(text: str, line: int, value: str) -> str:
    """
    Return *text* with one more *value* in the list that begins in *line*, from 1.

    Comments, order and line ends stay as they are.
    """
    lines = text.split("\n")
    first, values = line - 1, _values(lines, line - 1)
    last = values[-1]
    indent = _indent(lines[last]) if last != first else _indent(lines[first]) + _DEEPER
    end = "\r" if lines[first].endswith("\r") else ""
    return "\n".join(
        [*lines[: last + 1], f"{indent}{_literal(value)}{end}", *lines[last + 1 :]]
    )


def replace_value(text: str, line: int, number: int, value: str) -> str:
    """Return *text* with *value* as entry *number*, from 0, of the list in *line*."""
    lines = text.split("\n")
    at = _values(lines, line - 1)[number]
    before = _key(lines[at]) + " " if at == line - 1 else _indent(lines[at])
    end = "\r" if lines[at].endswith("\r") else ""
    lines[at] = f"{before}{_literal(value)}{end}"
    return "\n".join(lines)


def _values(lines: list[str], first: int) -> list[int]:
    """Return where the values are; the first line alone where there is none."""
    found = [first] if lines[first][len(_key(lines[first])) :].strip() else []
    indent = len(_indent(lines[first]))
    for at in range(first + 1, len(lines)):
        bare = lines[at].strip()
        if not bare or bare[0] in "#;":
            continue
        if len(_indent(lines[at])) <= indent:
            break
        found.append(at)
    return found or [first]


def _key(line: str) -> str:
    """Return what is before a value in the line of its key."""
    ends = [at for at in (line.find("="), line.find(":")) if at >= 0]
    return line[: min(ends, default=len(line) - 1) + 1]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _literal(value: str) -> str:
    """Return *value* so that it is read back as it is."""
    return value.replace("%", "%%")
