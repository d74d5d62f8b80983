"""Lower-case, unpadded base32, decoded strictly.  Source: formats, "Base32"."""

from __future__ import annotations

import re
from base64 import b32encode

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_CHARACTERS = re.compile("[a-z2-7]*")
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_SHORT = 32  # bytes
_DIGITS = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")


def encode(data: bytes) -> str:
    """Return *data* as ``ceil(8 * len(data) / 5)`` characters."""
    size = len(data)
    if size > _SHORT:
        return b32encode(data).decode("ascii").rstrip("=").lower()
    # Keys and hashes; large listings encode many of them.
    pairs = -(-8 * size // 10)
    number = int.from_bytes(data, "big") << (10 * pairs - 8 * size)
    shifts = range(10 * (pairs - 1), -1, -10)
    text = "".join([_PAIRS[(number >> shift) & 1023] for shift in shifts])
    return text[: -(-8 * size // 5)]


def decode(text: str) -> bytes:
    """
    Return the bytes *text* stands for; every byte string has exactly one text.

    :raises ValueError: for upper case, padding, other characters, an impossible
        length or spare bits that are not zero.
    """
    if not _CHARACTERS.fullmatch(text):
        raise ValueError("base32 has characters other than a-z and 2-7")
    if len(text) % 8 in (1, 3, 6):
        raise ValueError(f"no byte string has a base32 text of {len(text)} characters")
    size, spare = divmod(5 * len(text), 8)
    # Python reads numbers with the digits 0-9a-v; large listings decode many caps.
    number = int(text.translate(_DIGITS) or "0", 32)
    if number & ((1 << spare) - 1):
        raise ValueError("the last base32 character has spare bits that are not zero")
    return (number >> spare).to_bytes(size, "big")
