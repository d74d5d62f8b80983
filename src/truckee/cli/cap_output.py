"""Where ``truckee put`` leaves the cap: looked at before the upload, written after it."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from truckee.cli.paths import find_target, open_special
from truckee.cli.problems import Problem, reason_within
from truckee.flow.durable import sync_directory


@frozen
class CapOutput:
    """A file, a device or a pipe that gets the cap; None: standard output."""

    _path: Path | None
    _replaced: bool  # whether it is a file, which is made or replaced

    @classmethod
    def named(cls, name: str | None) -> CapOutput:
        """Return what *name* means.  :raises Problem: when no cap can be left there."""
        if name is None or name == "-":
            if sys.stdout is None:
                raise Problem(
                    "standard output is closed, and the cap would be lost: name a file "
                    "for it with -o FILE"
                )
            return cls(None, False)
        path, replaced = find_target(name)
        if replaced:
            try:
                with tempfile.TemporaryFile(dir=path.parent):
                    pass
            except OSError as error:
                raise Problem(
                    f"cannot write into {path.parent}: {reason_within(error)}; name "
                    "another file with -o"
                ) from None
        return cls(path, replaced)

    def write(self, cap: str) -> None:
        """Leave *cap*; in a file it is there after a power cut, too.  :raises OSError:"""
        if self._path is None:
            # Not click's echo: it would take what is closed meanwhile for a good place.
            print(cap, flush=True)
        elif self._replaced:
            _replace(self._path, f"{cap}\n".encode())
        else:
            with open_special(self._path) as special:
                special.write(f"{cap}\n".encode())


def _replace(path: Path, data: bytes) -> None:
    """Make or replace *path* by a file that only its owner can read."""
    # Its name is no one's: what stands beside the file is not touched.
    descriptor, draft = tempfile.mkstemp(prefix=".truckee-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).rename(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise
    sync_directory(path.parent)
