"""Netstrings: ``<decimal length>:<bytes>,``.  Source: formats, "Hashing"."""

from __future__ import annotations


def netstring(data: bytes) -> bytes:
    """Return *data* with its length in front and a comma behind."""
    return b"%d:%s," % (len(data), data)


def split_netstring(data: bytes, start: int) -> tuple[bytes, int]:
    """
    Return the netstring at *start* and the position after its comma.

    :raises ValueError: when there is no whole netstring, or its length is not
        written as this module writes it (no sign, no leading zero).
    """
    # 20 digits hold any length that fits an address space.
    colon = data.find(b":", start, start + 21)
    digits = data[start:colon] if colon != -1 else b""
    if not digits.isdigit() or (digits[0:1] == b"0" and digits != b"0"):
        raise ValueError("a netstring must start with its decimal length")
    end = colon + 1 + int(digits)
    if data[end : end + 1] != b",":
        raise ValueError("a netstring must end with a comma")
    return data[colon + 1 : end], end + 1
