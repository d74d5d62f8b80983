"""A node's secrets: made once, kept in ``private/``, readable by its owner only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from foolscap.pb import Tub

from truckee.codec import base32
from truckee.errors import Misuse
from truckee.flow.durable import write_durably

SECRET_SIZE = 32  # bytes
_SIGNING = "priv-v0-"


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
    def make_at_first_start(cls, private: Path, random: Callable[[int], bytes]) -> None:
        """
        Make what a node that was created and never started does not have yet.

        When one of the files is there, another one that is missing was lost.
        """
        names = ("convergence", "secret", "node.pem")
        if not any((private / name).exists() for name in names):
            private.mkdir(mode=0o700, exist_ok=True)
            _fill(private, random)

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
    _fill(private, random)


def _fill(private: Path, random: Callable[[int], bytes]) -> None:
    for name in ("convergence", "secret"):
        write_durably(private / name, base32.encode(random(SECRET_SIZE)).encode() + b"\n")
    write_durably(private / "node.pem", Tub().getCertData())


def _read_base32(path: Path) -> bytes:
    try:
        return base32.decode(path.read_text("ascii").strip())
    except OSError as error:
        raise BadSecret(path, str(error.strerror)) from None
    except ValueError as error:
        raise BadSecret(path, str(error)) from None


def load_signing_key(private: Path, random: Callable[[int], bytes]) -> Ed25519PrivateKey:
    """Return the key that signs our announcements, which is made at the first start."""
    path = private / "node.privkey"
    if not path.exists():
        write_durably(path, (_SIGNING + base32.encode(random(32)) + "\n").encode())
    try:
        text = path.read_text("ascii").strip()
        if not text.startswith(_SIGNING):
            raise ValueError(f"it does not begin with {_SIGNING}")
        seed = base32.decode(text.removeprefix(_SIGNING))
        return Ed25519PrivateKey.from_private_bytes(seed)
    except (OSError, ValueError) as error:
        raise BadSecret(path, str(error)) from None
