"""
Shares in progress as files that outlive their writers.  All blocks.

Source: ``docs/formats/kept-shares.md``, "On the disk".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from truckee.codec import base32, container
from truckee.codec.hashes import block_hash_of, tagged_hash
from truckee.codec.secrets import LeaseSecrets
from truckee.storage.sharefiles import IncomingShare, ShareDirectory, tidy

_AT_ONCE = 1 << 20  # bytes that are read for a hash
# Modes of the files.
_LASTING, _BRIEF = 0o600, 0o700
_NAME = re.compile(r"(0|[1-9][0-9]{0,2})\.([a-z2-7]{16})")


@frozen
class KeptName:
    """What the name of such a file says: the number of the share, and whose it is."""

    share: int
    owner: str

    @classmethod
    def parse(cls, text: str) -> KeptName | None:
        """Return what *text* says; None: it is no such name."""
        found = _NAME.fullmatch(text)
        return None if found is None else cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.share}.{self.owner}"


def owner_of(upload_secret: bytes) -> str:
    """Return what stands for an upload in the names of its files."""
    return base32.encode(tagged_hash(b"truckee_kept_share_v1", upload_secret)[:10])


@frozen
class IdleShare:
    """A kept share, as it was seen."""

    storage_index: bytes
    name: KeptName
    path: Path
    length: int  # bytes
    touched: float  # Unix seconds, of its last byte
    brief: bool  # nobody continues it once its writer's process has ended


@frozen
class KeptDirectory:
    """The kept shares of one storage directory."""

    _shares: ShareDirectory

    def path(self, storage_index: bytes, name: KeptName) -> Path:
        """Return where a share is, or would be."""
        return self._shares.kept(storage_index) / str(name)

    def unfinished(self, storage_index: bytes, owner: str) -> dict[int, int]:
        """Return the lengths of the shares that *owner* has of a file."""
        found = {}
        for name, status in _files(self._shares.kept(storage_index)):
            if name.owner == owner:
                found[name.share] = _length(status)
        return found

    def prefixes(self) -> list[Path]:
        """Return the directories in which ``idle`` looks."""
        return [Path(entry.path) for entry in _entries(self._shares.kept_root)]

    def idle(self, prefix: Path) -> list[IdleShare]:
        """Return all shares behind *prefix*, those that are being written too."""
        found = []
        for entry in _entries(prefix):
            try:
                index = base32.decode(entry.name)
            except ValueError:
                continue
            place = Path(entry.path)
            found += [
                _idle_share(index, name, place, status) for name, status in _files(place)
            ]
        return found


def _idle_share(
    storage_index: bytes, name: KeptName, place: Path, status: os.stat_result
) -> IdleShare:
    return IdleShare(
        storage_index,
        name,
        place / str(name),
        _length(status),
        status.st_mtime,
        bool(status.st_mode & stat.S_IXUSR),
    )


def remove_if_untouched(share: IdleShare) -> bool:
    """Remove *share* if nothing came since it was seen; return whether it is gone."""
    try:
        if share.path.stat().st_mtime > share.touched:
            return False
    except FileNotFoundError:
        return True
    remove_idle(share.path)
    return True


def remove_idle(path: Path) -> None:
    """Remove a share that nobody writes."""
    path.unlink(missing_ok=True)
    tidy(path)


@define(eq=False)
class KeptFile(IncomingShare):
    """One that is being written; see ``IncomingShare``."""

    _brief: bool = False
    length: int = field(default=0, init=False)  # bytes that were there when it was opened

    def create(self) -> None:
        """Open the file, or make it."""
        self.length = max(0, self._make() - container.HEADER_SIZE)
        os.chmod(self._incoming, _BRIEF if self._brief else _LASTING)
        # Whoever looks for idle ones meanwhile leaves it alone.
        os.utime(self._incoming)

    def publish(self, size: int, secrets: LeaseSecrets, now: float) -> None:
        """See ``IncomingShare``."""
        if self._brief:
            os.chmod(self._incoming, _LASTING)
        super().publish(size, secrets, now)

    def hashes(self, offset: int, piece: int, count: int) -> list[bytes]:
        """Return the block hashes of the whole pieces that are there."""
        with self._open() as descriptor:
            end = min(offset + piece * count, _length(os.fstat(descriptor)))
            return [
                block_hash_of(_read(descriptor, container.HEADER_SIZE + start, piece))
                for start in range(offset, end - piece + 1, piece)
            ]

    def leave(self, least: int) -> bool:
        """Write no more, and keep it if it has *least* bytes; return whether it is kept."""
        self._close()
        with suppress(FileNotFoundError):
            if _occupied(self._incoming.stat()) >= least:
                return True
        self.discard()
        return False


def _read(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    """Give *length* bytes at *offset*, bit by bit: a piece may be as long as it likes."""
    for start in range(offset, offset + length, _AT_ONCE):
        yield os.pread(descriptor, min(_AT_ONCE, offset + length - start), start)


def _length(status: os.stat_result) -> int:
    return max(0, status.st_size - container.HEADER_SIZE)


def _occupied(status: os.stat_result) -> int:
    """Return how many bytes there are, without holes where the system tells of these."""
    blocks = getattr(status, "st_blocks", None)
    length = _length(status)
    # Some name none for a file that was just written.
    return length if blocks is None else min(length, max(1, 512 * blocks))


def _entries(place: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
        yield from entries


def _files(place: Path) -> Iterator[tuple[KeptName, os.stat_result]]:
    for entry in _entries(place):
        name = KeptName.parse(entry.name)
        if name is not None:
            with suppress(FileNotFoundError):
                yield name, entry.stat(follow_symlinks=False)
