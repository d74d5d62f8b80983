"""Lower-case, unpadded base32, decoded strictly.  Source: formats, "Base32"."""

from __future__ import annotations

from base64 import b32decode, b32encode

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def encode(data: bytes) -> str:
    """Return *data* as ``ceil(8 * len(data) / 5)`` characters."""
    return b32encode(data).decode("ascii").rstrip("=").lower()


def decode(text: str) -> bytes:
    """
    Return the bytes *text* stands for; every byte string has exactly one text.

    :raises ValueError: for upper case, padding, other characters, an impossible
        length or spare bits that are not zero.
    """
    if not set(text) <= set(ALPHABET):
        raise ValueError("base32 has characters other than a-z and 2-7")
    if len(text) % 8 in (1, 3, 6):
        raise ValueError(f"no byte string has a base32 text of {len(text)} characters")
    data = b32decode(text.upper() + "=" * (-len(text) % 8))
    if encode(data) != text:
        raise ValueError("the last base32 character has spare bits that are not zero")
    return data
