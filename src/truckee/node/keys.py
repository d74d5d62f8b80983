"""A node's secrets: made once, kept in ``private/``, readable by its owner only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen
from foolscap.pb import Tub

from truckee.codec import base32
from truckee.errors import Misuse

SECRET_SIZE = 32  # bytes


@define
class BadSecret(Misuse):
    """
    {path} cannot be used: {reason}. Restore it from a backup: it is part of every
    convergent cap and every lease of this node.
    """

    path: Path
    reason: str


@frozen
class NodeKeys:
    """What a gateway needs to know that nobody else may."""

    convergence: bytes = field(repr=False)  # any length
    lease_secret: bytes = field(repr=False)  # 32 bytes

    @classmethod
    def load(cls, private: Path) -> NodeKeys:
        """:raises BadSecret: when a file is missing or is not base32."""
        secret = _read_base32(private / "secret")
        if len(secret) != SECRET_SIZE:
            raise BadSecret(private / "secret", f"it has {len(secret)} bytes, not 32")
        return cls(_read_base32(private / "convergence"), secret)


def create_keys(private: Path, random: Callable[[int], bytes]) -> None:
    """Make new secrets and a node key in the directory *private*, which is made too."""
    private.mkdir(mode=0o700)
    for name in ("convergence", "secret"):
        write_private(private / name, base32.encode(random(SECRET_SIZE)).encode() + b"\n")
    write_private(private / "node.pem", Tub().getCertData())


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


def _read_base32(path: Path) -> bytes:
    try:
        return base32.decode(path.read_text("ascii").strip())
    except OSError as error:
        raise BadSecret(path, str(error.strerror)) from None
    except ValueError as error:
        raise BadSecret(path, str(error)) from None
