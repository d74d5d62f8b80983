"""
AES-128 in counter mode, from any byte of the file.

Source: formats, "Keys and encryption": one key stream over the whole file, a 16-byte
big-endian counter that starts at 0.  Encrypting and decrypting are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

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


def crypt_joined(key: bytes, pieces: Iterable[Buffer], size: int) -> bytes:
    """Return the first *size* bytes of a file that stands in *pieces*, under *key*."""
    cipher, at = _cipher(key, 0), 0
    # What this gives is the buffer that it was written into: long files are not copied.
    found = BytesIO(bytes(size))
    with found.getbuffer() as whole:
        for piece in pieces:
            part = memoryview(piece)[: size - at]
            cipher.update_into(part, whole[at : at + len(part)])
            at += len(part)
    return found.getvalue()


def _cipher(key: bytes, offset: int) -> CipherContext:
    """Return the cipher at byte *offset* of its key stream."""
    counter = (offset // _BLOCK).to_bytes(_BLOCK, "big")
    context = Cipher(AES(key), CTR(counter)).encryptor()
    context.update(bytes(offset % _BLOCK))
    return context
