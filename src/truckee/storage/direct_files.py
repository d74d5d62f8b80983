"""
Short shares as files, each written at once.  All blocks.

Source: ``docs/formats/immutable.md``, "Container".
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from truckee.codec import base32, container
from truckee.codec.container import ContainerHeader
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.durable import ensure_directories
from truckee.storage.sharefiles import ShareDirectory


def store_share(
    directory: ShareDirectory,
    storage_index: bytes,
    share: int,
    data: bytes,
    secrets: LeaseSecrets,
    now: float,
) -> bool:
    """
    Store a finished share; it is durable then, with its name.

    Return whether it is: not where there is something of that number, or a share of a
    mutable file.  One caller at a time stores it.
    """
    home = directory.home(storage_index)
    if not _is_free(directory, storage_index, share, home):
        return False
    lease = ContainerHeader(2, 1).lease(container.OWNER_OF_ALLOCATION, secrets, now)
    parts = (container.pack_header(len(data), 1), data, lease.pack())
    draft = directory.draft(f"{base32.encode(storage_index)}.{share}")
    final = home / str(share)
    try:
        _write(draft, parts)
        directory.make_home(storage_index)
        os.rename(draft, final)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    try:
        directory.sync_names(storage_index)
    except OSError:
        # It was not acknowledged to anybody.
        with suppress(OSError):
            final.unlink(missing_ok=True)
        raise
    return True


def _is_free(
    directory: ShareDirectory, storage_index: bytes, share: int, home: Path
) -> bool:
    """Tell whether there is no such share, and none of a mutable file."""
    try:
        names = {int(name) for name in os.listdir(home) if name.isdecimal()}
    except FileNotFoundError:
        return True
    return share not in names and names == directory.shares(storage_index).keys()


def _write(path: Path, parts: tuple[Buffer, ...]) -> None:
    """Write a new file, and wait until its bytes are on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        ensure_directories(path.parent)
        descriptor = os.open(path, flags, 0o600)
    try:
        left = memoryview(b"".join(parts))
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
