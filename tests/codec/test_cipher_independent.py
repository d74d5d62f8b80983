"""The cipher beside a second implementation of AES that shares no code with the first."""

from __future__ import annotations

from Crypto.Cipher import AES
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.cipher import crypt, crypt_in_place


def second(key: bytes, offset: int, data: bytes) -> bytes:
    """Return what pycryptodome makes of *data* at *offset*."""
    cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=offset // 16)
    made: bytes = cipher.encrypt(bytes(offset % 16) + data)
    return made[offset % 16 :]


class CipherTests(SynchronousTestCase):
    @given(
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**60),
        st.binary(max_size=5000),
    )
    @example(bytes(16), 2**36 - 8, bytes(64))  # the counter's lower 32 bits overflow
    @example(bytes(16), 2**68 - 8, bytes(64))  # and its lower 64 bits
    def test_any_place(self, key: bytes, offset: int, data: bytes) -> None:
        """Random bytes under random keys at random offsets are the same in both."""
        expected = second(key, offset, data)
        self.assertEqual(crypt(key, offset, data), expected)
        place = bytearray(data)
        crypt_in_place(key, offset, place)
        self.assertEqual(bytes(place), expected)
        self.assertEqual(crypt(key, offset, expected), data)
