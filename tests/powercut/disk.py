"""
A model of a disk under a power cut: what was synced stays, anything else may.

The model is stricter than any one file system.  A file that was not synced has, of each
page, any version that was ever written, or zeros, or a page torn between two of them, and
any of the lengths it ever had.  A name in a directory that was not synced may be there or
not, whatever became of others before it; a rename counts as one change.  Syncing a file
does not make its name last.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen

PAGE = 4096
SECTOR = 512


@frozen
class Create:
    """A file or directory without a name."""

    inode: int
    is_directory: bool


@frozen
class Names:
    """Names that change together: (directory, name, inode; None: it goes)."""

    changes: Sequence[tuple[int, str, int | None]]


@frozen
class Write:
    """Bytes in a file."""

    inode: int
    offset: int
    data: bytes = field(repr=False)


@frozen
class Truncate:
    """A new length."""

    inode: int
    size: int


@frozen
class Sync:
    """All of a file, or all names in a directory, lasts."""

    inode: int


@frozen
class Mark:
    """Something that was promised to somebody."""

    promise: object


Step = Create | Names | Write | Truncate | Sync | Mark


@define(eq=False)
class _File:
    content: bytearray = field(factory=bytearray)
    lasting: bytes = b""
    sizes: list[int] = field(factory=lambda: [0])  # since the last sync
    # Versions of each page since the last sync; the first is what lasts.
    pages: dict[int, list[bytes]] = field(factory=dict)

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        self._touch(min(offset, len(self.content)), end)
        if end > len(self.content):
            self.content.extend(bytes(end - len(self.content)))
        self.content[offset:end] = data
        self._touched(offset, end)

    def truncate(self, size: int) -> None:
        low, high = sorted((size, len(self.content)))
        self._touch(low, high)
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))
        self._touched(low, high)

    def sync(self) -> None:
        self.lasting, self.sizes = bytes(self.content), [len(self.content)]
        self.pages.clear()

    def _page(self, source: bytes | bytearray, number: int) -> bytes:
        page = bytes(source[number * PAGE : (number + 1) * PAGE])
        return page + bytes(PAGE - len(page))

    def _touch(self, start: int, end: int) -> None:
        for number in range(start // PAGE, -(-end // PAGE)):
            self.pages.setdefault(number, [self._page(self.lasting, number)])

    def _touched(self, start: int, end: int) -> None:
        for number in range(start // PAGE, -(-end // PAGE)):
            self.pages.setdefault(number, [self._page(self.lasting, number)])
            self.pages[number].append(self._page(self.content, number))
        self.sizes.append(len(self.content))

    def after_cut(self, chance: random.Random, kept: float) -> bytes:
        """Return what may be found."""
        size = self.sizes[-1] if chance.random() < kept else chance.choice(self.sizes)
        found = bytearray(self.lasting)
        for number, versions in self.pages.items():
            page = self._one(versions, chance, kept)
            start = number * PAGE
            if len(found) < start + PAGE:
                found.extend(bytes(start + PAGE - len(found)))
            found[start : start + PAGE] = page
        found.extend(bytes(max(0, size - len(found))))
        return bytes(found[:size])

    @staticmethod
    def _one(versions: Sequence[bytes], chance: random.Random, kept: float) -> bytes:
        if chance.random() < kept:
            return versions[-1]
        if chance.random() < 0.7:
            return chance.choice(versions)
        pair = chance.choice(versions), chance.choice(versions)
        return b"".join(
            chance.choice(pair)[start : start + SECTOR] for start in range(0, PAGE, SECTOR)
        )


@define(eq=False)
class Disk:
    """A disk that is written to, step by step; ``cut`` it at any time."""

    root: int
    _files: dict[int, _File] = field(factory=dict)
    _names: list[tuple[Names, bool]] = field(factory=list)  # whether each one lasts

    def apply(self, step: Step) -> None:
        """Do what a process did."""
        match step:
            case Create(inode, is_directory):
                if not is_directory:
                    self._files[inode] = _File()
            case Write(inode, offset, data):
                self._files[inode].write(offset, data)
            case Truncate(inode, size):
                self._files[inode].truncate(size)
            case Sync(inode) if inode in self._files:
                self._files[inode].sync()
            case Sync(inode):
                self._names = [
                    (names, lasts or any(inode == each[0] for each in names.changes))
                    for names, lasts in self._names
                ]
            case Names():
                self._names.append((step, False))

    def cut(self, chance: random.Random, place: Path) -> None:
        """Cut the power; leave what is found afterwards in the directory *place*."""
        # All, none, and what is between: each finds other faults.
        of_names = chance.choice((0.0, 0.5, 0.9, 1.0, 1.0))
        of_data = chance.choice((0.0, 0.0, 0.5, 0.9, 1.0))
        in_order = chance.random() < 0.5
        entries: dict[int, dict[str, int]] = {}
        lost = False
        for names, lasts in self._names:
            lost = (lost and in_order) or (not lasts and chance.random() >= of_names)
            if lasts or not lost:
                for directory, name, inode in names.changes:
                    there = entries.setdefault(directory, {})
                    there.pop(name, None)
                    if inode is not None:
                        there[name] = inode
        self._leave(self.root, place, entries, chance, of_data)

    def _leave(
        self,
        directory: int,
        place: Path,
        entries: dict[int, dict[str, int]],
        chance: random.Random,
        of_data: float,
    ) -> None:
        place.mkdir(exist_ok=True)
        for name, inode in entries.get(directory, {}).items():
            if inode in self._files:
                content = self._files[inode].after_cut(chance, of_data)
                (place / name).write_bytes(content)
            else:
                self._leave(inode, place / name, entries, chance, of_data)
