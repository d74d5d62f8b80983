"""Entity tags: of files that never change, and of versions of those that do.  Pure."""

from __future__ import annotations

from truckee.codec import base32
from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.codec.hashes import tagged_hash
from truckee.codec.mutable_prefix import Prefix

_CHK = b"truckee_etag_chk_v1"
_LITERAL = b"truckee_etag_literal_v1"
_VERSION = b"truckee_etag_version_v1"
_LISTING = b"truckee_etag_listing_v1"
_PAGE = b"truckee_etag_page_v1"
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


def version_tag(cap: MutableReadCap | MutableWriteCap, version: Prefix) -> str:
    """
    Return the strong tag of one version of a mutable file, without quotes.

    It is the same for who may read and who may write, and tells neither key nor content.
    """
    name = str(cap.verify_cap()).encode("ascii")
    return _hash(_VERSION, name + version.pack())


def listing_tag(cap: DirectoryCap, version: Prefix | None) -> str:
    """
    Return the strong tag of what ``t=json`` says of a directory, without quotes.

    *version* is None for a directory that never changes.
    """
    name = str(cap.verify_cap() or cap).encode("ascii")
    return _hash(_LISTING, name + (b"" if version is None else version.pack()))


def page_tag(listing: str, around: bytes) -> str:
    """
    Return the strong tag of a directory's page, without quotes.

    :param listing: the tag of what it lists.
    :param around: all that it shows beside that.
    """
    return _hash(_PAGE, listing.encode("ascii") + around)


def _hash(tag: bytes, value: bytes) -> str:
    return base32.encode(tagged_hash(tag, value)[:_LENGTH])
