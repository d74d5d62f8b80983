"""A node's secrets: made once, kept in ``private/``, readable by its owner only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import define, evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from foolscap.pb import Tub

from truckee.codec import base32
from truckee.errors import Misuse
from truckee.flow.durable import (
    DRAFT,
    make_directories,
    sync_directory,
    write_durably,
    write_synced,
)

SECRET_SIZE = 32  # bytes
_SIGNING = "priv-v0-"
_SECRETS = ("convergence", "secret")
_CERTIFICATE = "node.pem"
_NAMES = (*_SECRETS, _CERTIFICATE)


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

    # What names the node to others, in PEM; None: it has none.
    certificate: bytes | None = field(default=None, repr=False)
    # Files by name that were made and are not on the disk yet.
    unsaved: Mapping[str, bytes] = field(factory=dict, repr=False)

    @classmethod
    def at_start(cls, private: Path, random: Callable[[int], bytes]) -> NodeKeys:
        """
        Return the keys of a node; new ones, to be saved, if it has never been started.

        When one of the files is there, another one that is missing was lost.
        :raises BadSecret: then, and as ``load``.
        """
        with suppress(OSError):
            _finish(private)
        if not any((private / name).exists() for name in _NAMES):
            new = _new_files(random)
            convergence, secret = (
                base32.decode(new[name].decode("ascii").strip()) for name in _SECRETS
            )
            return cls(convergence, secret, new[_CERTIFICATE], new)
        keys = cls.load(private)
        if keys.certificate is not None:
            return keys
        certificate = Tub().getCertData()
        return evolve(keys, certificate=certificate, unsaved={_CERTIFICATE: certificate})

    @classmethod
    def load(cls, private: Path) -> NodeKeys:
        """:raises BadSecret: when a secret is missing or is not base32."""
        secret = _read_base32(private / "secret")
        if len(secret) != SECRET_SIZE:
            raise BadSecret(private / "secret", f"it has {len(secret)} bytes, not 32")
        convergence, pem = _read_base32(private / "convergence"), private / _CERTIFICATE
        try:
            return cls(convergence, secret, pem.read_bytes())
        except FileNotFoundError:
            return cls(convergence, secret)
        except OSError as error:
            raise BadSecret(pem, str(error.strerror)) from None

    def save(self, private: Path) -> None:
        """Write what was made, all of it or nothing; blocks.  :raises OSError:"""
        if self.unsaved:
            make_directories(private)
            _save(private, self.unsaved)


def create_keys(private: Path, random: Callable[[int], bytes]) -> None:
    """Make new secrets and a node key in the directory *private*, which is made too."""
    private.mkdir(mode=0o700)
    _save(private, _new_files(random))


def _new_files(random: Callable[[int], bytes]) -> dict[str, bytes]:
    files = {name: base32.encode(random(SECRET_SIZE)).encode() + b"\n" for name in _SECRETS}
    return files | {_CERTIFICATE: Tub().getCertData()}


def _save(private: Path, files: Mapping[str, bytes]) -> None:
    drafts = [private / (name + DRAFT) for name in files]
    try:
        for draft, data in zip(drafts, files.values(), strict=True):
            write_synced(draft, data)
        # Should the next step be cut short, the drafts are there to be renamed later.
        sync_directory(private)
    except OSError:
        for draft in drafts:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        raise
    for draft in drafts:
        draft.rename(draft.with_suffix(""))
    sync_directory(private)


def _finish(private: Path) -> None:
    """Name the files of a ``_save`` that was cut short after it named the first one."""
    if any((private / name).exists() for name in _NAMES):
        for name in _NAMES:
            draft = private / (name + DRAFT)
            if draft.exists() and not (private / name).exists():
                draft.rename(private / name)


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
