"""What ``truckee put --resume`` keeps of an upload until it is stored."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from attrs import frozen

from truckee.cli.paths import Snapshot
from truckee.cli.problems import Problem
from truckee.flow.durable import write_durably


@frozen
class ResumeNote:
    """A file that only its owner can read, with the upload's handle in it."""

    path: Path

    @classmethod
    def of(cls, gateway: str, path: Path, seen: Snapshot, key: str) -> ResumeNote:
        """
        Return the note of one file as it was *seen*, for one gateway and choice of key.

        :raises Problem: without a place for notes.
        """
        usual = os.path.expanduser("~/.local/state")
        state = os.environ.get("XDG_STATE_HOME") or usual
        if not os.path.isabs(state):
            raise Problem("--resume needs a place for its note: set HOME or XDG_STATE_HOME")
        what = [gateway, str(path.absolute()), str(seen.size), str(seen.modified), key]
        name = hashlib.sha256("\0".join(what).encode("utf-8", "surrogateescape"))
        return cls(Path(state) / "truckee" / f"put-{name.hexdigest()[:32]}")

    def read(self) -> str | None:
        """Return the handle, if there is one."""
        try:
            return self.path.read_text("ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def prepare(self) -> None:
        """Make the place for it.  :raises OSError: when it can hold no note."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path.parent):
            pass

    def write(self, handle: str) -> None:
        """Keep *handle*."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self.path, handle.encode("ascii") + b"\n")

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)
