"""
Passwords: hashed, and compared.  All of it blocks for a while: it runs in ``flow.cpu``.

Source: RFC 9106; ``docs/formats/accounts.md``.
"""

from __future__ import annotations

import hashlib
import hmac

from truckee.accounts.account import HASHED

# Parameters of new hashes.  The memory is what many log-ins at once cost a small machine,
# and what makes guessing on special hardware dear.
MEMORY, PASSES, LANES = 19456, 2, 1  # KiB, times, threads
# Stands for the password of whom there is none: no password has this hash.
_NOBODY = f"$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"


def hash_password(password: str) -> str:
    """Return what the file has in place of *password*."""
    # Most processes have no accounts and need none of its memory.
    from argon2 import PasswordHasher  # noqa: PLC0415

    return str(PasswordHasher(PASSES, MEMORY, LANES).hash(password))


def matches(password: str, stored: str, other: str = "") -> bool:
    """
    Tell whether *password* is the *stored* one, which is hashed, as it is, or empty: none.

    However it ends, it takes the time of one hash: of the stored one, or else of *other*,
    a hash that is known to be in use.
    """
    if stored.startswith(HASHED):
        return _verify(password, stored)
    _verify(password, other or _NOBODY)
    # Of equal length, so that the time tells nothing of the length either.
    given, right = (hashlib.sha256(_bytes(text)).digest() for text in (password, stored))
    return hmac.compare_digest(given, right) and bool(stored)


def _verify(password: str, stored: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415
    from argon2.low_level import Type, verify_secret  # noqa: PLC0415

    try:
        return bool(verify_secret(stored.encode("ascii"), _bytes(password), Type.ID))
    except (VerificationError, InvalidHashError):
        return False


def _bytes(text: str) -> bytes:
    """Return *text* in UTF-8; what a client sent need not be text."""
    return text.encode("utf-8", "surrogatepass")
