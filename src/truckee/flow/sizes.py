"""Sizes as people write them.  Pure."""

from __future__ import annotations

import re


def parse_size(text: str) -> int:
    """
    Return the bytes that *text* says: ``500``, ``10G`` (10^9), ``10Gi`` (2^30), ``10GB``.

    :raises ValueError: when it is none of these.
    """
    match = re.fullmatch(r"([0-9]{1,20}) ?([KMGTPE]?)(I?)B?", text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is not a size like 500M, 10G or 64MiB")
    digits, unit, binary = match.groups()
    base = 1024 if binary else 1000
    return int(digits) * int(base ** " KMGTPE".index(unit or " "))
