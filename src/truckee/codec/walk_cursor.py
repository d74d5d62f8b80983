"""
Places in a walk of a tree, and the cursors that name them to whoever continues there.

Source: ``docs/formats/walk-cursor.md``.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from enum import IntEnum
from hmac import compare_digest

from attrs import define, field, frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.cipher import crypt
from truckee.codec.hashes import tagged_hash, tagged_pair_hash
from truckee.codec.netstring import netstring, split_netstring
from truckee.errors import Misuse

_KEY = b"truckee_walk_cursor_key_v1"
_TAG = b"truckee_walk_cursor_tag_v1"
_CIPHER = b"truckee_walk_cursor_cipher_v1"
_TAG_SIZE = 16  # bytes
_PLAIN, _DEFLATED = b"p", b"z"
_SHORT = 120  # bytes; what is not longer is not compressed
_MOST = 4 << 20  # bytes of names


@define
class BadCursor(Misuse):
    """
    This cursor is damaged, or it belongs to another directory. Give the "cursor" of a line
    of a walk that began at this directory, whole, or start over without one.
    """


class Rank(IntEnum):
    """What a name stands for: in a directory, all of one kind come before the next."""

    UNKNOWN = 0
    FILE = 1
    DIRECTORY = 2


# Of one name after the other, from the root: compared, they are in the order of the walk,
# for what is in a directory comes behind it and before its next sibling.
Place = tuple[tuple[int, str], ...]

ROOT: Place = ()
# Behind everything.
END: Place = ((3, ""),)


def place_of(path: Sequence[str], rank: Rank) -> Place:
    """Return the place of what stands at *path*."""
    above = tuple((int(Rank.DIRECTORY), name) for name in path[:-1])
    return (*above, (int(rank), path[-1])) if path else ROOT


@frozen
class Cursor:
    """Where to continue a walk."""

    place: Place
    # Directories up to there that could not be read.  If there are more when a walk comes
    # there again, it has not met what it met before.
    unreadable: int = 0


@frozen
class CursorKey:
    """Makes and reads the cursors of one tree; whoever may list its root has the key."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, root: DirectoryCap) -> CursorKey:
        """Return the key for walks that begin at *root*, by whichever of its caps."""
        return cls(tagged_hash(_KEY, str(root.read_cap()).encode("ascii")))

    def seal(self, cursor: Cursor) -> str:
        """Return *cursor* as a word of letters, digits, "-" and "_"."""
        packed = _pack(cursor)
        tag = self._tag(packed)
        sealed = tag + crypt(self._cipher_key(tag), 0, packed)
        return urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def open(self, word: str) -> Cursor:
        """Return the cursor that *word* is.  :raises BadCursor:"""
        try:
            padded = word.encode("ascii") + b"=" * (-len(word) % 4)
            sealed = urlsafe_b64decode(padded)
        except ValueError:
            raise BadCursor from None
        tag = sealed[:_TAG_SIZE]
        packed = crypt(self._cipher_key(tag), 0, sealed[_TAG_SIZE:])
        if not compare_digest(tag, self._tag(packed)):
            raise BadCursor
        return _unpack(packed)

    def _tag(self, packed: bytes) -> bytes:
        return tagged_pair_hash(_TAG, self._key, packed)[:_TAG_SIZE]

    def _cipher_key(self, tag: bytes) -> bytes:
        return tagged_pair_hash(_CIPHER, self._key, tag)[:16]


def _pack(cursor: Cursor) -> bytes:
    place = cursor.place
    last = place[-1][0] if place else 0
    names = b"".join(netstring(name.encode("utf-8")) for _, name in place)
    packed = b"%d:%d%s" % (cursor.unreadable, last, names)
    if len(packed) > _SHORT:
        return _DEFLATED + zlib.compress(packed, 6)
    return _PLAIN + packed


def _unpack(packed: bytes) -> Cursor:
    """Return the cursor that was packed.  :raises BadCursor: when another program did."""
    kind, packed = packed[:1], packed[1:]
    try:
        if kind == _DEFLATED:
            packed = zlib.decompressobj().decompress(packed, _MOST)
        count, _, packed = packed.partition(b":")
        unreadable, last, names, at = int(count), int(packed[:1]), [], 1
        while at < len(packed):
            name, at = split_netstring(packed, at)
            names.append(name.decode("utf-8"))
    except (ValueError, zlib.error):
        raise BadCursor from None
    if not names:
        return Cursor(ROOT, unreadable)
    above = [(int(Rank.DIRECTORY), name) for name in names[:-1]]
    return Cursor((*above, (last, names[-1])), unreadable)
