"""
The files of the ciphertext cache.  Everything here waits for the disk.

Source: formats, "Ciphertext cache".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from truckee.codec.cached import HEADER_SIZE, NAME_LENGTH, pack_header, unpack_entry
from truckee.codec.geometry import round_up
from truckee.codec.hashes import Buffer

_NAME = re.compile(f"[a-z2-7]{{{NAME_LENGTH}}}")
_BEGUN = ".begun"

# What file systems give at least to a file with something in it.
_BLOCK = 4096  # bytes


def space_of(length: int) -> int:
    """Return the bytes of disk that an entry with *length* bytes of data takes."""
    return round_up(HEADER_SIZE + length, _BLOCK)


@frozen
class FoundEntry:
    """An entry that is there; what is in it was not looked at."""

    name: str
    space: int  # bytes of disk
    used: float  # Unix seconds


@frozen
class CacheFiles:
    """The directory in which each entry is a file."""

    path: Path

    def create(self) -> None:
        """Make the directory, for its owner alone."""
        self.path.mkdir(mode=0o700, exist_ok=True)

    def scan(self) -> list[FoundEntry]:
        """Return all entries; what a dead process had begun is removed."""
        return list(self._entries())

    def read(self, name: str) -> bytes:
        """
        Return the data of an entry, and note that it was used now.

        :raises ValueError: :raises OSError: when it is not what was stored.
        """
        path = self._path(name)
        data = bytes(unpack_entry(name, path.read_bytes()))
        with suppress(OSError):
            os.utime(path)
        return data

    def write(self, name: str, data: Buffer, instead_of: Iterable[str]) -> None:
        """
        Store an entry, when others have made room for it.

        It appears whole or not at all while the system runs; when that crashes it can be
        torn, and is found out by its hash.  :raises OSError:
        """
        self.remove(instead_of)
        path = self._path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        begun = path.with_suffix(_BEGUN)
        parts = [pack_header(name, data), data]
        try:
            file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                if os.writev(file, parts) != sum(map(len, parts)):
                    raise OSError("the disk took a part of it")
            finally:
                os.close(file)
            begun.rename(path)
        except OSError:
            begun.unlink(missing_ok=True)
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Delete entries; it is no error when one is not there.  :raises OSError:"""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.path / name[:2] / name

    def _entries(self) -> Iterator[FoundEntry]:
        for shelf in self.path.glob("[a-z2-7][a-z2-7]/"):
            for file in list(os.scandir(shelf)):
                if file.name.endswith(_BEGUN):
                    with suppress(OSError):
                        Path(file.path).unlink(missing_ok=True)
                elif _NAME.fullmatch(file.name) and file.name[:2] == shelf.name:
                    status = file.stat(follow_symlinks=False)
                    yield FoundEntry(
                        file.name,
                        round_up(status.st_size, _BLOCK),
                        status.st_mtime,
                    )
