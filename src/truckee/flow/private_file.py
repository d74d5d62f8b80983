"""Small files that only their owner can read."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # A draft that was there already kept its mode.
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
