"""What a helper reports of its uploads and its disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.registry import Uploads
from truckee.helper.server.upload import HelperUpload
from truckee.status.problems import Problem, Problems

# As much of a storage index as is shown: to tell uploads apart, not to find shares.
_SHOWN = 5  # characters
# What the counters that stock helpers have call old.
_OLD = 48 * 3600.0  # seconds
# More files that nobody brings are counted, not named.
MOST_KEPT = 100

_COUNTED = (
    "upload_requests",
    "upload_already_present",
    "upload_need_upload",
    "resumes",
    "fetched_bytes",
    "encoded_bytes",
)


@frozen
class UploadReport:
    """One upload under way."""

    name: str  # the first characters of its storage index
    held: int  # bytes of ciphertext here
    stored: int  # bytes of ciphertext that went to the grid
    size: int | None  # bytes; None: not known yet
    phase: str  # "receiving", "storing", "closing", "over"
    clients: int  # that bring it


@frozen
class KeptReport:
    """A file that nobody brings now."""

    name: str  # the first characters of its storage index
    held: int  # bytes of ciphertext
    complete: bool  # it waits for servers, not for a client
    last_byte: float  # Unix seconds
    expires: float  # Unix seconds


@frozen
class HelperReport:
    """A helper at one moment."""

    limits: HelperLimits
    used: int  # bytes of ciphertext, of all files
    free: int | None  # bytes of its disk
    uploads: Sequence[UploadReport]
    kept: Sequence[KeptReport]  # those that expire first
    kept_count: int  # of all
    # Numbers by the names that stock helpers give them.
    counters: Mapping[str, int]
    problems: Sequence[Problem] = ()  # of the node


@frozen
class _File:
    name: str  # the whole storage index
    size: int
    changed: float  # Unix seconds


@define(eq=False)
class HelperReporter:
    """Makes reports of one helper."""

    _uploads: Uploads
    _disk: Workers
    _now: Callable[[], float] = field(repr=False)
    _problems: Problems | None = None

    async def report(self) -> HelperReport:
        """Look at the helper, and at its disk."""
        uploads = self._uploads
        free = await self._disk.run(_free_space, uploads.spool.directory)
        incoming, encoding = await self._disk.run(self._files)
        active = {upload.file.path.name for upload in uploads.active.values()}
        kept = [
            KeptReport(
                file.name[:_SHOWN],
                file.size,
                complete,
                file.changed,
                file.changed + uploads.limits.expire_after,
            )
            for complete, files in ((False, incoming), (True, encoding))
            for file in files
            if file.name not in active
        ]
        kept.sort(key=lambda each: each.expires)
        return HelperReport(
            uploads.limits,
            uploads.used,
            free,
            [_tell(upload) for upload in uploads.active.values()],
            kept[:MOST_KEPT],
            len(kept),
            {
                "active_uploads": len(uploads.active),
                **self._sizes("incoming", incoming),
                **self._sizes("encoding", encoding),
                **{name: uploads.counters.get(name, 0) for name in _COUNTED},
            },
            list(self._problems or ()),
        )

    def _files(self) -> tuple[list[_File], list[_File]]:
        """Return what is incoming, and what is complete; runs in a thread."""
        incoming: list[_File] = []
        encoding: list[_File] = []
        spool = self._uploads.spool
        # Files come and go meanwhile.
        with suppress(OSError):
            for path in spool.files():
                with suppress(OSError):
                    status = path.stat()
                    kind = incoming if path.parent == spool.incoming else encoding
                    kind.append(_File(path.name, status.st_size, status.st_mtime))
        return incoming, encoding

    def _sizes(self, name: str, files: Sequence[_File]) -> dict[str, int]:
        old = [file for file in files if self._now() - file.changed > _OLD]
        return {
            f"{name}_count": len(files),
            f"{name}_size": sum(file.size for file in files),
            f"{name}_size_old": sum(file.size for file in old),
        }


def _free_space(directory: Path) -> int | None:
    """Return the bytes that are free on a disk, None where that is not told."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def _tell(upload: HelperUpload) -> UploadReport:
    return UploadReport(
        base32.encode(upload.storage_index)[:_SHOWN],
        upload.held,
        upload.stored,
        upload.size,
        upload.phase,
        upload.users,
    )
