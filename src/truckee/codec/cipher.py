"""
AES-128 in counter mode, from any byte of the file.

Source: formats, "Keys and encryption": one key stream over the whole file, a 16-byte
big-endian counter that starts at 0.  Encrypting and decrypting are the same.
"""

from __future__ import annotations

from Crypto.Cipher import AES
from Crypto.Cipher._mode_ctr import CtrMode

from truckee.codec.hashes import Buffer

_BLOCK = 16  # bytes of one AES block


def crypt(key: bytes, offset: int, data: Buffer) -> bytes:
    """Return *data*, which stands *offset* bytes into the file, under *key*."""
    return _cipher(key, offset).encrypt(data)


def crypt_in_place(key: bytes, offset: int, data: bytearray) -> None:
    """Put *data* under *key* where it stands, so that nothing is left of what it was."""
    _cipher(key, offset).encrypt(data, output=data)


def _cipher(key: bytes, offset: int) -> CtrMode:
    """Return the cipher at byte *offset* of its key stream."""
    cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=offset // _BLOCK)
    cipher.encrypt(bytes(offset % _BLOCK))
    return cipher
