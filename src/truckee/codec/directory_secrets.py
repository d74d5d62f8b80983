"""
How a directory keeps the write caps of its children from those who may only read it.

Source: ``docs/formats/directories.md``, "Write caps".
"""

from __future__ import annotations

from hashlib import sha256

from truckee.codec.cipher import crypt
from truckee.codec.hashes import tagged_hash, tagged_pair_hash
from truckee.codec.secrets import KEY_SIZE

_SALT = b"allmydata_dirnode_child_rwcap_to_salt_v1"
_KEY = b"allmydata_mutable_writekey_and_salt_to_dirnode_child_capkey_v1"
_SALT_SIZE = 16  # bytes
_MAC_SIZE = 32
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))


def encrypt_write_cap(write_key: bytes, cap: bytes) -> bytes:
    """Return the rwdata of *cap*, which is empty when there is none, for a directory."""
    salt = tagged_hash(_SALT, cap)[:_SALT_SIZE]
    key = _key(write_key, salt)
    sealed = salt + crypt(key, 0, cap)
    return sealed + _mac(key, sealed)


def decrypt_write_cap(write_key: bytes, rwdata: bytes) -> bytes:
    """
    Return the write cap that *rwdata* holds, or nothing.

    The mac is not checked.  With another directory's key the result is noise.
    """
    ciphertext = rwdata[_SALT_SIZE:-_MAC_SIZE]
    if not ciphertext:
        return b""
    return crypt(_key(write_key, rwdata[:_SALT_SIZE]), 0, ciphertext)


def _key(write_key: bytes, salt: bytes) -> bytes:
    return tagged_pair_hash(_KEY, salt, write_key)[:KEY_SIZE]


def _mac(key: bytes, data: bytes) -> bytes:
    """Return what looks like HMAC-SHA256 and is not: the key is not filled to a block."""
    inner = sha256(key.translate(_INNER) + data).digest()
    return sha256(key.translate(_OUTER) + inner).digest()
