"""
Names for caps, in the file ``private/aliases`` of a node directory.

Source: ``docs/reference/node-directory.md``; Tahoe-LAFS reads and writes the same file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from truckee.cli.finding import usual_nodes
from truckee.cli.problems import NOT_FOUND, Problem, reason_within
from truckee.node.aliases import OLD, aliases_file, read_aliases


@frozen
class Aliases:
    """The aliases of one node directory."""

    private: Path

    @classmethod
    def of(cls, nodedir: str | None) -> Aliases:
        """Return those of a node directory, of the usual one without a name."""
        if nodedir is not None:
            return cls(Path(nodedir) / "private")
        usual = usual_nodes()
        found = [place for place in usual if (place / "tahoe.cfg").exists()]
        return cls((found or [usual[-1]])[0] / "private")

    @property
    def file(self) -> Path:
        """Where they are."""
        return aliases_file(self.private)

    def read(self) -> dict[str, str]:
        """Return the caps by their aliases.  :raises Problem:"""
        try:
            return read_aliases(self.private)
        except OSError as error:
            raise Problem(f"cannot read {error.filename}: {reason_within(error)}") from None

    def cap_of(self, name: str) -> str:
        """Return what *name* stands for.  :raises Problem:"""
        known = self.read()
        if name in known:
            return known[name]
        cure = f"make it: truckee alias create {name}, or truckee alias add {name} CAP"
        raise Problem(f"there is no alias {name}: in {self.file}; {cure}", NOT_FOUND)

    def check_new(self, name: str) -> None:
        """:raises Problem: when *name* cannot become an alias."""
        if not name or not name.isprintable() or name != name.strip():
            raise Problem("an alias is a word of printable characters")
        if set(name) & set(":/\\#") or " " in name or name.upper() == "URI":
            raise Problem(f"{name!r}: an alias has no space, colon, slash or #")
        if name in self.read():
            raise Problem(
                f"there is an alias {name}: already; truckee alias remove {name} first, or "
                "choose another name"
            )

    def prepare(self) -> None:
        """Make the file, if it is not there.  :raises Problem: when that cannot be."""
        with self._opened():
            pass

    def add(self, name: str, cap: str) -> None:
        """Let *name* stand for *cap*.  :raises Problem:"""
        with self._opened() as file:
            before = os.pread(file, 1, max(0, os.fstat(file).st_size - 1))
            start = "" if before in (b"", b"\n") else "\n"
            os.write(file, f"{start}{name}: {cap}\n".encode())
            os.fsync(file)

    def remove(self, name: str) -> None:
        """Forget *name*; comments and other lines stay.  :raises Problem:"""
        # Twisted comes with it, and other commands only read.
        from truckee.flow.durable import rewrite_durably  # noqa: PLC0415

        self.cap_of(name)
        with self._opened():
            lines = self.file.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.partition(":")[0].strip() != name]
            if len(kept) == len(lines):
                raise Problem(f"{name}: is in {self.private / OLD}: remove that file")
            rewrite_durably(self.file, "".join(kept).encode())

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file to append to it, with no other command in it."""
        try:
            self.private.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self.file, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise Problem(
                f"cannot write {self.file}: {reason_within(error)}; name the node "
                "directory that has your aliases with -d NODEDIR"
            ) from None
