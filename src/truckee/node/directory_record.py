"""
Which storage directories a grid of its own had, and which of them were replaced.

So a disk that is mounted in the place of another one is known, and one that was replaced
when it comes back.

Source: ``docs/reference/node-directory.md``, "Storage directories".
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import evolve, field, frozen

from truckee.codec import base32
from truckee.errors import Unavailable
from truckee.flow.durable import write_durably
from truckee.flow.ownership import give_to_owner_of
from truckee.node.identity import parse_identity

RECORD = "storage-directories.json"
_VERSION = 1
_MOST = 1 << 20  # bytes of the file
_MOST_ENTRIES = 1024
_PATIENCE = 10.0  # seconds


class RecordBusy(Unavailable):
    """Another command changes the storage directories of this node. Try again."""


@frozen
class Replaced:
    """A directory that another one took the place of."""

    identity: bytes
    path: Path
    by: bytes  # the identity of the new one
    when: float  # Unix seconds


@frozen
class Remembered:
    """What the record says."""

    places: Mapping[bytes, Path] = field(factory=dict)  # where each identity was last
    replaced: Sequence[Replaced] = ()

    def at(self, path: Path) -> bytes | None:
        """Return the identity that was last seen at *path*; None: there was none."""
        gone = {each.identity for each in self.replaced}
        found = [each for each, place in self.places.items() if place == path]
        return next((each for each in reversed(found) if each not in gone), None)

    def replacement(self, identity: bytes, used: Collection[Path]) -> Replaced | None:
        """Return what replaced *identity*, if one of the paths in use did."""
        for each in self.replaced:
            # A replacement that was broken off is not among them.
            if each.identity == identity and self.places.get(each.by) in used:
                return each
        return None

    def is_other(self, path: Path, identity: bytes) -> bool:
        """Tell whether *identity* is unknown, and *path* had another one."""
        return identity not in self.places and path in self.places.values()

    def seen(self, identity: bytes, path: Path) -> Remembered:
        """Return the same with *identity* at *path*."""
        places = {key: place for key, place in self.places.items() if key != identity}
        newest = list({**places, identity: path}.items())[-_MOST_ENTRIES:]
        return evolve(self, places=dict(newest))

    def with_replaced(self, replaced: Replaced) -> Remembered:
        """Return the same with one more that was replaced."""
        others = [each for each in self.replaced if each.identity != replaced.identity]
        return evolve(self, replaced=[*others, replaced][-_MOST_ENTRIES:])


@frozen
class DirectoryRecord:
    """The record in one node directory; everything here blocks."""

    node: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.node / RECORD

    def read(self) -> Remembered:
        """Return what it says; nothing when it is missing or damaged."""
        try:
            with self.path.open("rb") as file:
                told = json.loads(file.read(_MOST))
            places = {
                parse_identity(key): Path(place)
                for key, place in told["directories"].items()
            }
            replaced = [
                Replaced(
                    parse_identity(each["id"]),
                    Path(each["path"]),
                    parse_identity(each["by"]),
                    float(each["when"]),
                )
                for each in told["replaced"]
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Remembered()
        return Remembered(places, replaced)

    def change(self, change: Callable[[Remembered], Remembered]) -> Remembered:
        """
        Replace what it says by what *change* makes of it; return that.

        :raises RecordBusy: :raises OSError:
        """
        with self.locked():
            before = self.read()
            after = change(before)
            if after != before or list(after.places) != list(before.places):
                self.write(after)
            return after

    def see(self, identity: bytes, path: Path) -> Remembered:
        """Remember that *identity* is at *path*.  :raises RecordBusy: :raises OSError:"""
        known = self.read()
        if known.places.get(identity) == path:
            return known
        return self.change(lambda remembered: remembered.seen(identity, path))

    def write(self, remembered: Remembered) -> None:
        """Replace what it says, while it is ``locked``.  :raises OSError:"""
        document = {
            "version": _VERSION,
            "directories": {
                base32.encode(key): str(place) for key, place in remembered.places.items()
            },
            "replaced": [
                {
                    "id": base32.encode(each.identity),
                    "path": str(each.path),
                    "by": base32.encode(each.by),
                    "when": each.when,
                }
                for each in remembered.replaced
            ],
        }
        write_durably(self.path, (json.dumps(document, indent=1) + "\n").encode("ascii"))
        give_to_owner_of(self.node, self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing it meanwhile.  :raises RecordBusy:"""
        # The node directory itself is locked by the node that runs.
        place = self.node / "private"
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    end = time.monotonic() + _PATIENCE
    # Some network file systems have no locks on directories.
    with suppress(OSError):
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise RecordBusy from None
                time.sleep(0.05)
