"""A key of which every hash is known, and the keys of stock's published caps."""

from __future__ import annotations

import json
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_secrets import write_cap_of
from truckee.codec.rsa_keys import SigningKey

_VECTORS = Path(__file__).parents[1] / "vectors"
_EXAMPLE = json.loads((_VECTORS / "mutable.json").read_text("ascii"))

PRIVATE_KEY = b64decode(_EXAMPLE["private_key"])
SHARE_0 = b64decode(_EXAMPLE["sdmf_share_0"])


@cache
def signing_key() -> SigningKey:
    """Return the key of the example."""
    return SigningKey.parse(PRIVATE_KEY)


@cache
def write_cap(format: str = "SSK") -> MutableWriteCap:
    """Return the write cap of the example."""
    return write_cap_of(format, signing_key())


def published() -> list[dict[str, Any]]:
    """Return stock's published vectors: caps and the keys they were made from."""
    vectors: list[dict[str, Any]] = json.loads((_VECTORS / "ssk.json").read_text("ascii"))
    return vectors
