"""How every benchmark prints: a table for people, a line of JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence


def report(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print *rows*, all with the same keys."""
    columns = list(rows[0])
    cells = [[_text(row[column]) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[index]) for line in cells))
        for index, column in enumerate(columns)
    ]
    print(f"\n{name}  ({os.cpu_count()} cores, Python {platform.python_version()})")
    for line in [columns, ["-" * width for width in widths], *cells]:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(padded).rstrip())
    print(json.dumps({"benchmark": name, "rows": rows}))


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
