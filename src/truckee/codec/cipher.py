"""
AES-128 in counter mode, from any byte of the file.

Source: formats, "Keys and encryption": one key stream over the whole file, a 16-byte
big-endian counter that starts at 0.  Encrypting and decrypting are the same.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from truckee.codec.hashes import Buffer

_BLOCK = 16  # bytes of one AES block


def crypt(key: bytes, offset: int, data: Buffer) -> bytes:
    """Return *data*, which stands *offset* bytes into the file, under *key*."""
    return _cipher(key, offset).update(data)


def crypt_in_place(key: bytes, offset: int, data: bytearray) -> None:
    """Put *data* under *key* where it stands, so that nothing is left of what it was."""
    _cipher(key, offset).update_into(data, data)


def _cipher(key: bytes, offset: int) -> CipherContext:
    """Return the cipher at byte *offset* of its key stream."""
    counter = (offset // _BLOCK).to_bytes(_BLOCK, "big")
    context = Cipher(AES(key), CTR(counter)).encryptor()
    context.update(bytes(offset % _BLOCK))
    return context
