"""
The mark of a storage directory: the file ``server-id`` in it.

Source: ``docs/reference/node-directory.md``, "Storage directories".
"""

from __future__ import annotations

from pathlib import Path

from truckee.codec import base32
from truckee.flow.durable import write_durably

SERVER_ID = "server-id"
SERVER_ID_SIZE = 20  # bytes


def read_identity(path: Path) -> bytes:
    """
    Return the identity in a file, or of a storage directory.

    :raises OSError: :raises ValueError: when it is damaged.
    """
    file = path / SERVER_ID if path.is_dir() else path
    return parse_identity(file.read_text("ascii"))


def read_mark(path: Path) -> bytes | None:
    """Return the identity of a storage directory; None: it has none; empty: damaged."""
    try:
        return read_identity(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return b""


def parse_identity(text: str) -> bytes:
    """Return the identity in a text.  :raises ValueError: when it is damaged."""
    identity = base32.decode(text.strip())
    if len(identity) != SERVER_ID_SIZE:
        raise ValueError("it has another length")
    return identity


def write_identity(file: Path, identity: bytes) -> None:
    """Write an identity into *file*, for good; blocks.  :raises OSError:"""
    write_durably(file, f"{base32.encode(identity)}\n".encode("ascii"))
