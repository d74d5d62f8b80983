"""Children, metadata and names: those of the worked example, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from truckee.codec import base32
from truckee.codec.caps import (
    Cap,
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableVerifyCap,
    MutableWriteCap,
)
from truckee.codec.directory_children import Link, new_immutable_entry
from truckee.codec.new_table import pack_table

WRITE_KEY = bytes.fromhex("86c83586ac56a8f24c7b1915f48362ff")
READ_ONLY = "URI:LIT:nbswy3dp"
_TAIL = "ibaueq2eivdeoscjjjfuytkoj5ifcustkrkvmv2ylfnfwxc5lzpq"
WRITE = f"URI:SSK:caireeyuculbogazdinryhi6d4:{_TAIL}"
READ = f"URI:SSK-RO:oeguseprfi6pimp6hmva25ouam:{_TAIL}"
TIMES: dict[str, Any] = {"tahoe": {"linkcrtime": 1, "linkmotime": 2.5}}

# The cap of the directory whose key that is, by stock's reckoning and ours.
DIRECTORY = f"URI:DIR2:{base32.encode(WRITE_KEY)}:{_TAIL}"
READ_DIRECTORY = str(
    DirectoryCap(MutableWriteCap("SSK", WRITE_KEY, base32.decode(_TAIL)).read_cap())
)
IMMUTABLE_DIRECTORY = f"URI:DIR2-CHK:{base32.encode(WRITE_KEY)}:{_TAIL}:3:10:1000"

UNKNOWN = [
    "x-foo:bar",
    "lafs://from-the-future",
    "URI:DIR3:abc",
    "URI:SSK:misspelt",
    "URI:CHK:misspelt",
    "caf\xe9",
    "\udcff\udc80",
]


def pack_immutable(links: Mapping[str, Link]) -> bytes:
    """Return the table of an immutable directory."""
    return pack_table(new_immutable_entry(name, link) for name, link in links.items())


def caps(key: bytes = bytes(16)) -> dict[str, Cap]:
    """Return a cap of each kind that may be a child's, by a name; and the verify caps."""
    hash = key + key
    found: dict[str, Cap] = {
        "chk": ChkReadCap(key, hash, 3, 10, 1234),
        "literal": LiteralCap(key[:5]),
        "ssk": MutableWriteCap("SSK", key, hash),
        "ssk-ro": MutableReadCap("SSK", key, hash),
        "mdmf": MutableWriteCap("MDMF", key, hash),
        "mdmf-ro": MutableReadCap("MDMF", key, hash),
        "ssk-verify": MutableVerifyCap("SSK", key, hash),
        "mdmf-verify": MutableVerifyCap("MDMF", key, hash),
    }
    inside = {f"dir-{name}": DirectoryCap(cap) for name, cap in found.items()}  # type: ignore[arg-type]
    chk = ChkReadCap(key, hash, 3, 10, 1234)
    return {**found, **inside, "dir-chk-verify": DirectoryCap(chk.verify_cap())}


def all_texts(key: bytes = bytes(16)) -> list[str]:
    """Return texts for a slot: each kind of cap and unknown ones, with each prefix."""
    texts = [*map(str, caps(key).values()), *UNKNOWN]
    return [prefix + text for text in texts for prefix in ("", "ro.", "imm.")]


def random_json(random: Random, depth: int = 2) -> Any:
    """Return some value of JSON."""
    scalars = [None, True, 0, -7, 1.5, 1e300, 10**30, "", "caf\xe9 \U0001f600\x00\ud800"]
    match random.randrange(4 if depth else 1):
        case 1:
            return [random_json(random, depth - 1) for _ in range(random.randrange(3))]
        case 2 | 3:
            return random_metadata(random, depth - 1)
    return random.choice(scalars)


def random_metadata(random: Random, depth: int = 2) -> dict[str, Any]:
    """Return some JSON object, often with keys that mean something."""
    keys = ["a", "ctime", "mtime", "no-write", "\xe9", ""]
    found = {
        random.choice(keys): random_json(random, depth) for _ in range(random.randrange(4))
    }
    if random.random() < 0.4:
        times: list[dict[str, Any]] = [
            {},
            {"linkcrtime": 5},
            {"linkmotime": 7.25, "other": [1]},
            TIMES["tahoe"],
        ]
        found["tahoe"] = dict(random.choice(times))
    return found


def random_name(random: Random) -> str:
    """Return a name that is like few others, in any form."""
    letters = "abcz/ .\x00\xe9e\u0301\u212b\uac00\u1100\u1161\uffee\U0001f600"
    return "".join(random.choice(letters) for _ in range(random.randrange(7)))
