"""
Whose an upload at a helper is, so that no client has to do with another's.

Source: ``docs/formats/helper-push.md``, "Whose an upload is".
"""

from __future__ import annotations

import re

from attrs import field, frozen

from truckee.codec import base32
from truckee.codec.hashes import tagged_hash, tagged_pair_hash

SECRET_SIZE = 32  # bytes
_ID_SIZE = 16  # bytes

_SECRET = b"truckee_helper_upload_secret_v1"
_BY_SECRET = b"truckee_helper_owner_by_secret_v1"
_BY_TUB = b"truckee_helper_owner_by_tub_v1"
_CLIENT = b"truckee_helper_client_v1"

_NAME = re.compile(r"([a-z2-7]{26})(?:-([a-z2-7]{26})-([a-z2-7]{26}))?")


@frozen
class Owner:
    """Who may resume an upload, and against whose quota it counts."""

    id: bytes = field(repr=False)  # 16 bytes
    client: bytes = field(repr=False)  # 16 bytes

    @classmethod
    def by_secret(cls, secret: bytes, tub: bytes) -> Owner:
        """Return the owner who showed *secret* over a connection of *tub*."""
        if len(secret) != SECRET_SIZE:
            raise ValueError(f"an upload secret has {SECRET_SIZE} bytes")
        return cls(tagged_hash(_BY_SECRET, secret)[:_ID_SIZE], _client(tub))

    @classmethod
    def by_tub(cls, tub: bytes) -> Owner:
        """Return the owner that a client without a secret is: its authenticated tub."""
        return cls(tagged_hash(_BY_TUB, tub)[:_ID_SIZE], _client(tub))


def _client(tub: bytes) -> bytes:
    return tagged_hash(_CLIENT, tub)[:_ID_SIZE]


# Of files that a version without owners left: no client resumes them.
NOBODY = Owner(b"", b"")


def upload_secret(node_secret: bytes, helper: bytes, storage_index: bytes) -> bytes:
    """
    Return the 32 bytes that a gateway shows the helper with the tub id *helper*.

    *node_secret* is the gateway's own; no other helper, and no other file, has the same.
    """
    of_helper = tagged_pair_hash(_SECRET, node_secret, helper)
    return tagged_pair_hash(_SECRET, of_helper, storage_index)


def name_of(storage_index: bytes, owner: Owner) -> str:
    """Return what the file with the ciphertext of an upload is called."""
    parts = [storage_index] if owner == NOBODY else [storage_index, owner.id, owner.client]
    return "-".join(map(base32.encode, parts))


def parse_name(name: str) -> tuple[bytes, Owner] | None:
    """Return whose ciphertext is in a file called *name*; None: it is none of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        index, *rest = (base32.decode(part) for part in match.groups() if part)
    except ValueError:
        return None
    if any(len(each) != _ID_SIZE for each in (index, *rest)):
        return None
    return index, Owner(*rest) if rest else NOBODY
