"""Which files a backup leaves out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import frozen

from truckee.cli.problems import Problem, reason_within


@frozen
class Excluding:
    """Patterns of the shell, of names and of paths below the top."""

    top: str
    patterns: Sequence[str]

    def wanted(self, path: str) -> bool:
        """Tell whether *path* is not left out."""
        name, inner = os.path.basename(path), os.path.relpath(path, self.top)
        return not any(
            fnmatchcase(name, each) or fnmatchcase(inner, each) for each in self.patterns
        )


def patterns_in(files: Sequence[str]) -> list[str]:
    """Return the lines of *files* that have something in them.  :raises Problem:"""
    found = []
    for name in files:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_within(error) if isinstance(error, OSError) else "no UTF-8"
            raise Problem(f"cannot read {name}: {reason}") from None
        found += [line.strip() for line in text.splitlines()]
    return [line.rstrip("/") for line in found if line and not line.startswith("#")]
