"""
What is known of an open upload, in a file that only the node's owner can read.

Source: ``docs/formats/open-uploads.md``, "The record".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap, parse_cap
from truckee.codec.secrets import KEY_SIZE
from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories, write_durably
from truckee.flow.other_disk import MARK
from truckee.flow.spool import disk_full
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.uploader import Cap

_VERSION = 1
_CHOICES = {RandomKey: "random", ConvergentKey: "CHK", GivenKey: "given"}


@frozen
class UploadRecord:
    """One such record, which is replaced and never changed."""

    handle: str = field(repr=False)
    log_key: bytes = field(repr=False)
    choice: KeyChoice = field(repr=False)  # a random one has its key
    size: int | None = None  # bytes that were promised
    bound: int | None = None
    direct: bool = False
    partial: bool = False
    meta: Mapping[str, str] = field(factory=dict, repr=False)
    end: int | None = None  # bytes, once it was closed
    cap: Cap | None = field(default=None, repr=False)
    # Whether it has a cap, and its log is kept since its shares may be lost in a power cut.
    guarded: bool = False
    error: str | None = None
    task: str | None = field(default=None, repr=False)  # the id that it is watched by

    @property
    def name(self) -> str:
        """What its files are called; tells nobody the handle."""
        digest = hashlib.sha256(self.handle.encode("ascii")).digest()
        return base32.encode(digest[:10])

    @property
    def options(self) -> UploadOptions:
        """
        How its file is stored.

        In the same way each time, so that a later run continues what an earlier one
        left on servers: a size that nobody promised stays unknown.
        """
        return UploadOptions(self.choice, self.size, self.bound, not self.direct)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.cap is not None or self.error is not None


def record_json(record: UploadRecord) -> bytes:
    """Return *record* as it is kept."""
    choice = record.choice
    key = None if isinstance(choice, ConvergentKey) else choice.key
    document = {
        "version": _VERSION,
        "handle": record.handle,
        "log_key": base32.encode(record.log_key),
        "choice": _CHOICES[type(choice)],
        "key": None if key is None else base32.encode(key),
        "size": record.size,
        "bound": record.bound,
        "direct": record.direct,
        "partial": record.partial,
        "meta": dict(record.meta),
        "end": record.end,
        "cap": None if record.cap is None else str(record.cap),
        "guarded": record.guarded,
        "error": record.error,
        "task": record.task,
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def parse_record(data: bytes) -> UploadRecord:
    """Return the record in *data*.  :raises ValueError: if it is none."""
    document = json.loads(data)
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("an upload's record has another version")
    try:
        handle, log_key = str(document["handle"]), base32.decode(document["log_key"])
        cap = None if document["cap"] is None else parse_cap(document["cap"])
        record = UploadRecord(
            handle=handle,
            log_key=log_key,
            choice=_choice(document),
            size=_number(document["size"]),
            bound=_number(document["bound"]),
            direct=bool(document["direct"]),
            partial=bool(document["partial"]),
            meta={str(name): str(text) for name, text in document["meta"].items()},
            end=_number(document["end"]),
            guarded=bool(document.get("guarded", False)),  # older records have none
            error=document["error"],
            task=document["task"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an upload's record is damaged: {error}") from None
    if not handle.isascii() or len(log_key) != KEY_SIZE:
        raise ValueError("an upload's record has another form")
    if cap is not None and not isinstance(cap, (ChkReadCap, LiteralCap)):
        raise ValueError("an upload's record has the cap of something else")
    return evolve(record, cap=cap)


def _choice(document: Mapping[str, Any]) -> KeyChoice:
    if document["choice"] == "CHK":
        return ConvergentKey()
    key = base32.decode(document["key"])
    if len(key) != KEY_SIZE:
        raise ValueError("an upload's record has a key of another size")
    return GivenKey(key) if document["choice"] == "given" else RandomKey(key)


def _number(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 0):
        raise ValueError("an upload's record has a size that is none")
    return value


@frozen(eq=False)
class UploadFiles:
    """Where records and logs are."""

    records: Path  # mode 700
    logs: Path  # mode 700
    _disk: Workers
    # Of the logs: an error while their disk is not mounted; and know it again.
    _check: Callable[[], None] = lambda: None
    _mark: Callable[[], None] = lambda: None

    def log(self, record: UploadRecord) -> Path:
        """Return where the log of *record* is."""
        return self.logs / record.name

    def touched(self, record: UploadRecord) -> float:
        """Return when something last happened to *record*, in Unix seconds; blocks."""
        path = self._place(record) if record.ended else self.log(record)
        status = path.stat()
        # The first can be set by anybody; the second is when the system saw a change.
        return max(status.st_mtime, status.st_ctime)

    async def save(self, record: UploadRecord) -> None:
        """
        Keep *record* in place of the one before; it outlives a power cut.

        :raises SpoolDiskFull:
        """
        await self._disk.run(self._save, record)

    def _save(self, record: UploadRecord) -> None:
        with disk_full():
            write_durably(self._place(record), record_json(record))

    async def forget(self, record: UploadRecord) -> None:
        """Remove *record*, if it is there."""
        await self._disk.run(self._place(record).unlink, missing_ok=True)

    def _place(self, record: UploadRecord) -> Path:
        return self.records / f"{record.name}.json"

    def make(self) -> None:
        """
        Make the directories; blocks.

        :raises OSError: :raises Unavailable: while the disk of the logs is not mounted.
        """
        make_directories(self.records)
        self._check()
        make_directories(self.logs)
        self._mark()

    async def check(self) -> None:
        """:raises Unavailable: while the disk of the logs is not mounted."""
        await self._disk.run(self._check)

    def load(self, clean: bool) -> list[UploadRecord | Path]:
        """
        Return each record, and each file in its place that is none; blocks.

        To *clean* is to remove what belongs to no record, before any upload is opened.
        :raises OSError: when they cannot be read.
        """
        return list(self._load(clean))

    def _load(self, clean: bool) -> Iterator[UploadRecord | Path]:
        wanted = set()
        for path in sorted(self.records.iterdir()):
            if path.suffix != ".json":
                if clean:
                    _remove(path)  # a draft
                continue
            # So that nothing is lost of one that only a newer version can read.
            wanted.add(path.stem)
            try:
                record = parse_record(path.read_bytes())
            except (OSError, ValueError):
                yield path
            else:
                if record.ended and not record.guarded:
                    wanted.discard(path.stem)
                yield record
        with suppress(OSError):
            for path in list(self.logs.iterdir()) if clean else ():
                if path.name not in wanted and path.name != MARK:
                    _remove(path)


def _remove(path: Path) -> None:
    # What a read-only disk keeps is removed at another start.
    with suppress(OSError):
        path.unlink()
