"""Accounts, keys and caps for tests, and files with them."""

from __future__ import annotations

import base64
from pathlib import Path

from truckee.accounts.accounts import Accounts
from truckee.accounts.passwords import hash_password
from truckee.codec.caps import ChkReadCap, DirectoryCap, LiteralCap, MutableWriteCap

ROOT = DirectoryCap(MutableWriteCap("SSK", b"w" * 16, b"f" * 32))
OTHER = DirectoryCap(MutableWriteCap("MDMF", b"o" * 16, b"F" * 32))
READ = ROOT.read_cap()
FIXED = DirectoryCap(ChkReadCap(b"k" * 16, b"u" * 32, 3, 10, 1000))
EMPTY = DirectoryCap(LiteralCap(b""))
# Argon2id takes its time: the tests share what they need.
PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)


def blob_of(kind: str, body: bytes = b"k" * 40) -> bytes:
    """Return a public key of SSH; it fits no private key."""
    return len(kind).to_bytes(4, "big") + kind.encode() + body


def key_of(kind: str, body: bytes = b"k" * 40) -> str:
    """Return a public key as two words."""
    return f"{kind} {base64.b64encode(blob_of(kind, body)).decode()}"


# One that conch reads, too; nobody has its private half.
REAL_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMzZE9ZJ5gBB4Ek0Ua7ZgXm2pV8rWrZ0k6xGxxHn9CYx"
)
ED25519 = key_of("ssh-ed25519")
RSA = key_of("ssh-rsa", b"r" * 260)
ECDSA = key_of("ecdsa-sha2-nistp256")


def write_accounts(path: Path, *lines: str, mode: int = 0o600) -> None:
    """Write an accounts file, as ``truckee account`` does: in the place of the old one."""
    draft = path.with_suffix(".draft")
    draft.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    draft.chmod(mode)
    draft.rename(path)


def beside(accounts: Accounts) -> Path:
    """Return the file for what stock refuses."""
    return accounts.files.beside
