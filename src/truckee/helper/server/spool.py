"""
What a helper keeps on its disk: ciphertext, and notes of what is complete.

Source: ``docs/formats/helper-push.md``, "What is kept".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from attrs import asdict, define, field, fields, frozen
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories, sync_directory, write_durably
from truckee.helper.errors import HelperFull
from truckee.helper.ownership import Owner, name_of, parse_name
from truckee.helper.server.ciphertext_file import CiphertextFile, disk_full
from truckee.helper.server.quotas import Quotas
from truckee.helper.wire import Parameters

log = Logger()

UploadKey = tuple[bytes, bytes]  # storage index, id of the owner

# Beside a file that is not complete, of which bytes may be wrong after a power cut.
_IN_DOUBT = ".doubt"
_NOTE = ".json"  # beside a complete file: how it is to be stored
_DAMAGED = ".damaged"  # what such a note becomes that cannot be read
# Files on the disk, of all clients and of one.
_MOST_FILES, _MOST_OF_CLIENT = 10_000, 2_000


@frozen
class Home:
    """What has to be known of the directory of a helper; all of it blocks for a moment."""

    check: Callable[[], None] = lambda: None  # an error while its disk is not mounted
    mark: Callable[[], None] = lambda: None  # know it again
    takes_files: Callable[[], bool] = lambda: True


@define(eq=False)
class Spool:
    """The directory of one helper; ``look`` before anything else."""

    directory: Path
    quotas: Quotas
    _disk: Workers
    _boot: bytes = b""  # which start of the machine this is; empty: not known
    _home: Home = field(factory=Home)
    # Who began what has a file here.
    _kept: dict[UploadKey, Owner] = field(factory=dict, init=False)

    @property
    def incoming(self) -> Path:
        """Where files are that are not complete."""
        return self.directory / "CHK_incoming"

    @property
    def encoding(self) -> Path:
        """Where files are that are complete, and not on the grid."""
        return self.directory / "CHK_encoding"

    def look(self) -> None:
        """
        Find what is kept; blocks.  May be called again.

        :raises OSError: :raises Unavailable: when the disk refuses, or is not mounted.
        """
        self._home.check()
        for place in (self.incoming, self.encoding):
            make_directories(place)
            for draft in place.glob("*.new"):
                if parse_name(draft.name.partition(".")[0]) is not None:
                    with suppress(OSError):
                        draft.unlink(missing_ok=True)
        self._home.mark()
        self._doubt_after_reboot()
        self.quotas.clear()
        for path in self.files():
            known = parse_name(path.name)
            if known is not None:
                index, owner = known
                self._kept[index, owner.id] = owner
                self.quotas.count(owner, path.stat().st_size)

    def _doubt_after_reboot(self) -> None:
        """
        Mark what is not complete when the machine was started anew.

        After a power cut a file may have a length and not the bytes.  A gateway of ours
        compares a hash of them before it goes on; a stock one does not.
        """
        marker = self.directory / "boot"
        try:
            same = bool(self._boot) and marker.read_bytes() == self._boot
        except OSError:
            same = False
        if same:
            return
        try:
            for path in self.files():
                if path.parent == self.incoming:
                    path.with_suffix(_IN_DOUBT).touch(mode=0o600)
            sync_directory(self.incoming)
            write_durably(marker, self._boot)
        except OSError as error:
            # A disk that takes nothing takes no more ciphertext, either.
            log.warn("{path}: {error}", path=str(marker), error=str(error))

    def files(self) -> Iterator[Path]:
        """Give all files with ciphertext; of other files that are there we know nothing."""
        for place in (self.incoming, self.encoding):
            for path in place.iterdir() if place.is_dir() else ():
                if parse_name(path.name) is not None and path.is_file():
                    yield path

    def notes(self) -> list[Path]:
        """Return the notes of complete files, in order; blocks."""
        return sorted(self.encoding.glob(f"*{_NOTE}"))

    # Of one upload

    async def takes_files(self) -> bool:
        """Tell whether the disk takes new files."""
        return await self._disk.run(self._home.takes_files)

    def began(self, storage_index: bytes, owner: Owner) -> Owner:
        """
        Return whose the file of *owner*'s upload is, or may become.

        It counts for the client that began it, though another may come with the secret.
        :raises HelperFull: when there are too many files for a new one, however small.
        """
        began = self._kept.get((storage_index, owner.id))
        if began is not None:
            return began
        if len(self._kept) >= _MOST_OF_CLIENT:
            theirs = sum(each.client == owner.client for each in self._kept.values())
            if len(self._kept) >= _MOST_FILES or theirs >= _MOST_OF_CLIENT:
                raise HelperFull
        return owner

    async def open(
        self, storage_index: bytes, owner: Owner, size: int | None, longer: bool
    ) -> CiphertextFile:
        """
        Return the file of an upload whose file has *size* bytes, or is not known to.

        What is in it and is *longer*, or in doubt, is kept if the caller says so.
        :raises HelperFull:
        """
        file = CiphertextFile(self.path(storage_index, owner), self._disk)
        await file.open()
        doubted = file.path.with_suffix(_IN_DOUBT)
        over = size is not None and file.size > size
        if (over or doubted.exists()) and not longer:
            # It is of another file, or of nothing.
            self.quotas.count(owner, -file.size)
            file.delete()
            doubted.unlink(missing_ok=True)
            file.path.with_suffix(_NOTE).unlink(missing_ok=True)
            file = CiphertextFile(self.incoming / file.path.name, self._disk)
            await file.open()
        self._kept[storage_index, owner.id] = owner
        return file

    def path(self, storage_index: bytes, owner: Owner) -> Path:
        """Return where the ciphertext of a file is, or goes."""
        began = self._kept.get((storage_index, owner.id), owner)
        name = name_of(storage_index, began)
        complete = self.encoding / name
        return complete if complete.exists() else self.incoming / name

    def size_of(self, storage_index: bytes, owner: Owner) -> int | None:
        """Return the bytes of a file; None: it is not there."""
        try:
            # The process may have died before the file was moved.
            return self.path(storage_index, owner).stat().st_size
        except FileNotFoundError:
            return None

    def refuse(self, storage_index: bytes, owner: Owner, file: CiphertextFile) -> None:
        """Close a file whose upload does not begin; it stays unless it is empty."""
        if file.size:
            file.close()
        else:
            file.delete()
            del self._kept[storage_index, owner.id]

    async def keep(self, file: CiphertextFile, parameters: Parameters, size: int) -> None:
        """Write down what is needed to store a complete file without its client."""
        told = asdict(parameters) | {"size": size}
        path = self.encoding / file.path.name
        # What is there may be of another client, or of a file that had another size.
        await self._disk.run(_write_json, path.with_suffix(_NOTE), told)
        doubted = file.path.with_suffix(_IN_DOUBT)
        await file.move(path)
        doubted.unlink(missing_ok=True)

    def forget(self, storage_index: bytes, owner: Owner, name: str) -> None:
        """The file called *name* was removed: so is what stands beside it."""
        self._kept.pop((storage_index, owner.id), None)
        (self.encoding / name).with_suffix(_NOTE).unlink(missing_ok=True)
        (self.incoming / name).with_suffix(_IN_DOUBT).unlink(missing_ok=True)

    def remove_stored(self, storage_index: bytes, owner: Owner, size: int) -> None:
        """Remove a complete file of *size* bytes that is on the grid already."""
        path = self.path(storage_index, owner)
        self.quotas.count(owner, -size)
        path.unlink(missing_ok=True)
        self.forget(storage_index, owner, path.name)

    def expire(self, path: Path, storage_index: bytes, owner: Owner, size: int) -> None:
        """Remove the file at *path*, which has *size* bytes.  :raises OSError:"""
        path.unlink()
        for beside in (_NOTE, _DAMAGED, _IN_DOUBT):
            path.with_suffix(beside).unlink(missing_ok=True)
        self.quotas.count(owner, -size)
        self._kept.pop((storage_index, owner.id), None)


def read_note(path: Path) -> tuple[Parameters, int]:
    """
    Return how a complete file is to be stored, and its bytes.

    :raises ValueError: when that is not what the note says.  :raises OSError:
    """
    names = [each.name for each in fields(Parameters)]
    try:
        told = json.loads(path.read_bytes())
        numbers = [told[name] for name in (*names, "size")]
    except (LookupError, TypeError, RecursionError):
        raise ValueError("it is no note of a file") from None
    if any(type(number) is not int for number in numbers):
        raise ValueError("it has other things than numbers")
    return Parameters(*numbers[:-1]), numbers[-1]


def set_aside(note: Path) -> Path:
    """Rename a note that cannot be read, if the disk lets us; return where it goes."""
    aside = note.with_suffix(_DAMAGED)
    with suppress(OSError):
        note.rename(aside)
    return aside


def _write_json(path: Path, told: object) -> None:
    with disk_full():
        write_durably(path, json.dumps(told).encode("utf-8"))
