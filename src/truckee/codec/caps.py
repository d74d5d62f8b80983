"""
Capabilities: parsed, printed, diminished.  Source: formats, "Capabilities".

``parse_cap`` is the one way in.  Printing gives the canonical text; what older writers
appended is accepted and dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from attrs import define, field, frozen

from truckee.codec import base32
from truckee.codec.geometry import LITERAL_LIMIT, MAX_SHARES
from truckee.codec.hashes import storage_index_of, tagged_hash
from truckee.errors import Misuse

# 20 digits hold every size that a share header can.
_MAX_DIGITS = 20


@define
class MalformedCap(Misuse):
    """This is not a usable cap: {reason}. Copy the whole cap, from "URI:" to its end."""

    reason: str


@frozen
class ChkReadCap:
    """Reads one immutable file."""

    key: bytes = field(repr=False)  # 16 bytes, secret
    ueb_hash: bytes
    needed: int  # k
    total: int  # N
    size: int  # bytes of plaintext

    def __str__(self) -> str:
        return f"URI:CHK:{_chk_tail(self.key, self)}"

    @cached_property
    def storage_index(self) -> bytes:
        """16 bytes, the file's name on servers."""
        return storage_index_of(self.key)

    def verify_cap(self) -> ChkVerifyCap:
        """Return the cap that checks the file and cannot read it."""
        return ChkVerifyCap(
            self.storage_index, self.ueb_hash, self.needed, self.total, self.size
        )


@frozen
class ChkVerifyCap:
    """Checks and repairs one immutable file; cannot read it."""

    storage_index: bytes  # 16 bytes
    ueb_hash: bytes
    needed: int
    total: int
    size: int

    def __str__(self) -> str:
        return f"URI:CHK-Verifier:{_chk_tail(self.storage_index, self)}"

    def verify_cap(self) -> ChkVerifyCap:
        """Return this cap."""
        return self

    def read_cap(self, key: bytes) -> ChkReadCap:
        """Return the cap that reads the file, whose key the caller knows."""
        return ChkReadCap(key, self.ueb_hash, self.needed, self.total, self.size)


@frozen
class LiteralCap:
    """Holds a short file itself."""

    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"URI:LIT:{base32.encode(self.data)}"

    @property
    def size(self) -> int:
        """Bytes of plaintext."""
        return len(self.data)

    def verify_cap(self) -> None:
        """There is nothing to verify."""


@frozen
class MutableWriteCap:
    """Writes one mutable file."""

    format: str  # SSK (one segment) or MDMF
    write_key: bytes = field(repr=False)  # 16 bytes, secret
    fingerprint: bytes  # 32 bytes, of the RSA public key

    def __str__(self) -> str:
        return f"URI:{self.format}:{_pair(self.write_key, self.fingerprint)}"

    def read_cap(self) -> MutableReadCap:
        """Return the cap that reads the file and cannot write it."""
        tag = b"allmydata_mutable_writekey_to_readkey_v1"
        key = tagged_hash(tag, self.write_key)[:16]
        return MutableReadCap(self.format, key, self.fingerprint)

    def verify_cap(self) -> MutableVerifyCap:
        """Return the cap that checks the file."""
        return self.read_cap().verify_cap()


@frozen
class MutableReadCap:
    """Reads one mutable file."""

    format: str
    read_key: bytes = field(repr=False)  # 16 bytes, secret
    fingerprint: bytes

    def __str__(self) -> str:
        return f"URI:{self.format}-RO:{_pair(self.read_key, self.fingerprint)}"

    def read_cap(self) -> MutableReadCap:
        """Return this cap."""
        return self

    def verify_cap(self) -> MutableVerifyCap:
        """Return the cap that checks the file and cannot read it."""
        tag = b"allmydata_mutable_readkey_to_storage_index_v1"
        index = tagged_hash(tag, self.read_key)[:16]
        return MutableVerifyCap(self.format, index, self.fingerprint)


@frozen
class MutableVerifyCap:
    """Checks one mutable file."""

    format: str
    storage_index: bytes
    fingerprint: bytes

    def __str__(self) -> str:
        return f"URI:{self.format}-Verifier:{_pair(self.storage_index, self.fingerprint)}"

    def verify_cap(self) -> MutableVerifyCap:
        """Return this cap."""
        return self


MutableCap = MutableVerifyCap | MutableReadCap | MutableWriteCap
FileCap = ChkReadCap | ChkVerifyCap | LiteralCap | MutableCap


@frozen
class DirectoryCap:
    """A directory: the cap of the file that holds its entries, under another name."""

    inner: FileCap

    def __str__(self) -> str:
        kind, tail = str(self.inner)[len("URI:") :].split(":", 1)
        # The first kind of directory was SSK's, and its name has no kind in it.
        kind = f"-{kind}".removeprefix("-SSK")
        return f"URI:DIR2{kind}:{tail}"

    def read_cap(self) -> DirectoryCap:
        """Return the cap that lists the directory and cannot change it."""
        inner = self.inner
        if isinstance(inner, MutableWriteCap):
            return DirectoryCap(inner.read_cap())
        return self

    def verify_cap(self) -> DirectoryCap | None:
        """Return the cap that checks the directory; a literal one has none."""
        inner = self.inner.verify_cap()
        return None if inner is None else DirectoryCap(inner)


@frozen
class UnknownCap:
    """Text of a kind not known here, kept as it came."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        return self.text


Cap = FileCap | DirectoryCap | UnknownCap


def parse_cap(text: str) -> Cap:
    """
    Return the cap that *text* is; percent-decode it before.

    A prefix ``ro.`` or ``imm.`` is a demand on the cap, and is dropped where it is met.

    :raises MalformedCap: behind a known prefix, when the rest is wrong or the demand
        is not met.  Text with no known prefix is an ``UnknownCap``.
    """
    for prefix, refused, demand in _DEMANDS:
        if text.startswith(prefix):
            cap = _parse_plain(text[len(prefix) :])
            if isinstance(cap, UnknownCap):
                return UnknownCap(text)
            core = cap.inner if isinstance(cap, DirectoryCap) else cap
            if isinstance(core, refused):
                raise MalformedCap(f"{prefix} in front of it demands that it {demand}")
            return cap
    return _parse_plain(text)


_DEMANDS = (
    ("imm.", (MutableWriteCap, MutableReadCap), "cannot change"),
    ("ro.", (MutableWriteCap,), "cannot write"),
)


def _parse_plain(text: str) -> Cap:
    match = re.match(r"URI:([A-Za-z0-9-]+):", text)
    if match is None or match[1] not in _PARSERS:
        return UnknownCap(text)
    return _PARSERS[match[1]](text[match.end() :])


def _chk_tail(first: bytes, cap: ChkReadCap | ChkVerifyCap) -> str:
    pair = _pair(first, cap.ueb_hash)
    return f"{pair}:{cap.needed}:{cap.total}:{cap.size}"


def _pair(first: bytes, second: bytes) -> str:
    return f"{base32.encode(first)}:{base32.encode(second)}"


def _bytes_of(text: str, length: int) -> bytes:
    try:
        data = base32.decode(text)
    except ValueError as error:
        raise MalformedCap(str(error)) from None
    if len(data) != length:
        raise MalformedCap(f"a part of it has {len(data)} bytes instead of {length}")
    return data


def _number(text: str) -> int:
    # Without its zeros: int() refuses texts of thousands of digits.
    digits = text.lstrip("0")
    if not re.fullmatch(r"[0-9]+", text) or len(digits) > _MAX_DIGITS:
        raise MalformedCap("the numbers at its end are wrong")
    return int(digits or "0")


def _chk_fields(parts: list[str]) -> tuple[bytes, bytes, int, int, int]:
    if len(parts) != 5:
        raise MalformedCap(f"it has {len(parts)} parts after its kind instead of 5")
    needed, total, size = map(_number, parts[2:])
    if not 1 <= needed <= total <= MAX_SHARES or size < 1:
        raise MalformedCap(f"no file of {size} bytes is stored {needed}-of-{total}")
    return _bytes_of(parts[0], 16), _bytes_of(parts[1], 32), needed, total, size


def _parse_chk(tail: str) -> ChkReadCap:
    return ChkReadCap(*_chk_fields(tail.split(":")))


def _parse_chk_verify(tail: str) -> ChkVerifyCap:
    return ChkVerifyCap(*_chk_fields(tail.split(":")[:5]))


def _parse_literal(tail: str) -> LiteralCap:
    try:
        data = base32.decode(tail)
    except ValueError as error:
        raise MalformedCap(str(error)) from None
    if len(data) > LITERAL_LIMIT:
        raise MalformedCap(f"no file of more than {LITERAL_LIMIT} bytes is in its cap")
    return LiteralCap(data)


def _mutable(
    make: Callable[[str, bytes, bytes], FileCap], format: str
) -> Callable[[str], FileCap]:
    def parse(tail: str) -> FileCap:
        parts = tail.split(":")
        # MDMF caps of old writers go on after a colon.
        if len(parts) < 2 or (format == "SSK" and len(parts) > 2):
            raise MalformedCap(f"it has {len(parts)} parts after its kind instead of 2")
        return make(format, _bytes_of(parts[0], 16), _bytes_of(parts[1], 32))

    return parse


def _directory(parse: Callable[[str], FileCap]) -> Callable[[str], Cap]:
    return lambda tail: DirectoryCap(parse(tail))


_FILES: dict[str, Callable[[str], FileCap]] = {
    "CHK": _parse_chk,
    "CHK-Verifier": _parse_chk_verify,
    "LIT": _parse_literal,
    "SSK": _mutable(MutableWriteCap, "SSK"),
    "SSK-RO": _mutable(MutableReadCap, "SSK"),
    "SSK-Verifier": _mutable(MutableVerifyCap, "SSK"),
    "MDMF": _mutable(MutableWriteCap, "MDMF"),
    "MDMF-RO": _mutable(MutableReadCap, "MDMF"),
    "MDMF-Verifier": _mutable(MutableVerifyCap, "MDMF"),
}
_PARSERS: dict[str, Callable[[str], Cap]] = {
    **_FILES,
    **{
        f"DIR2-{kind}".replace("DIR2-SSK", "DIR2"): _directory(parse)
        for kind, parse in _FILES.items()
    },
}
