"""
AES-128 in counter mode, from any byte of the file.

Source: formats, "Keys and encryption": one key stream over the whole file, a 16-byte
big-endian counter that starts at 0.  Encrypting and decrypting are the same.
"""

from __future__ import annotations

from Crypto.Cipher import AES

from truckee.codec.hashes import Buffer

_BLOCK = 16  # bytes of one AES block


def crypt(key: bytes, offset: int, data: Buffer) -> bytes:
    """Return *data*, which stands *offset* bytes into the file, under *key*."""
    cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=offset // _BLOCK)
    skip = offset % _BLOCK
    if skip:
        cipher.encrypt(bytes(skip))
    return cipher.encrypt(data)
