"""Entity tags of immutable files."""

from __future__ import annotations

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.hashes import tagged_hash

_CHK = b"truckee_etag_chk_v1"
_LITERAL = b"truckee_etag_literal_v1"
_LENGTH = 16  # bytes of the hash: nobody finds two files that share them


def entity_tags(cap: ChkReadCap | LiteralCap) -> tuple[str, ...]:
    """
    Return the strong tags of a file's content, without quotes; the first is ours.

    They tell neither key nor content.  The second is that of stock gateways, which have
    none for literals: the storage index, and that is not enough for us, as another file
    can stand under the same key when the first one is gone.
    """
    if isinstance(cap, LiteralCap):
        return (_hash(_LITERAL, cap.data),)
    stock = f"{base32.encode(cap.storage_index)}-"
    return stock + _hash(_CHK, str(cap.verify_cap()).encode("ascii")), stock


def _hash(tag: bytes, value: bytes) -> str:
    return base32.encode(tagged_hash(tag, value)[:_LENGTH])
