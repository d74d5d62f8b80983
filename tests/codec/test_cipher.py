"""The cipher, from any byte of the file."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.cipher import crypt, crypt_joined

KEY = bytes(range(16))


class CryptTests(SynchronousTestCase):
    def test_key_stream(self) -> None:
        """The key stream of the example key is known at three places."""
        for offset, stream in (
            (0, "c6a13b37878f5b826f4f8162a1c8d879"),
            (5, "8f5b826f4f8162a1"),
            (1048576, "5920ea9d81b874b81a7260643279c8ff"),
        ):
            size = len(stream) // 2
            self.assertEqual(crypt(KEY, offset, bytes(size)).hex(), stream)

    def test_example(self) -> None:
        """The plaintext of the example file becomes its ciphertext."""
        self.assertEqual(
            crypt(bytes.fromhex("380ff65ec57c08c67d0219f67b481d28"), 0, b"a" * 56).hex(),
            "69a274f9768a1a437fd51b13cb402d0b0b1bbdd69414c91e9cc8f33de0b1117243a0d341"
            "b5a3f045bb524b5bf6b200329a8a5eaac154f3c7",
        )

    @given(st.binary(min_size=16, max_size=16), st.binary(max_size=200), st.data())
    def test_any_part_is_a_slice_of_the_whole(
        self, key: bytes, plaintext: bytes, data: st.DataObject
    ) -> None:
        """A part encrypted at its offset is that part of the whole file encrypted."""
        start = data.draw(st.integers(0, len(plaintext)))
        end = data.draw(st.integers(start, len(plaintext)))
        whole = crypt(key, 0, plaintext)
        self.assertEqual(len(whole), len(plaintext))
        self.assertEqual(crypt(key, start, plaintext[start:end]), whole[start:end])

    @given(st.lists(st.binary(max_size=50)), st.integers(0, 200))
    def test_pieces(self, pieces: list[bytes], size: int) -> None:
        """Pieces are one file, of which no more is given than it has."""
        whole = b"".join(pieces)[:size]
        self.assertEqual(crypt_joined(KEY, pieces, len(whole)), crypt(KEY, 0, whole))

    @given(st.integers(0, 1 << 64), st.binary(max_size=60))
    def test_far_offsets(self, offset: int, data: bytes) -> None:
        """The counter is 16 bytes wide and counts blocks of 16 bytes, first byte first."""
        first = offset // 16
        blocks = b"".join((first + i).to_bytes(16, "big") for i in range(5))
        stream = Cipher(AES(KEY), ECB()).encryptor().update(blocks)[offset % 16 :]
        expected = bytes(a ^ b for a, b in zip(data, stream, strict=False))
        self.assertEqual(crypt(KEY, offset, data), expected)

    @given(st.integers(0, 1 << 40), st.binary(max_size=100))
    def test_decrypting_is_encrypting(self, offset: int, data: bytes) -> None:
        """Twice is not at all."""
        self.assertEqual(crypt(KEY, offset, crypt(KEY, offset, data)), data)

    def test_buffers(self) -> None:
        """Any kind of buffer is taken and left as it was."""
        data = bytearray(b"plaintext")
        expected = crypt(KEY, 3, b"plaintext")
        self.assertEqual(crypt(KEY, 3, data), expected)
        self.assertEqual(crypt(KEY, 3, memoryview(data)), expected)
        self.assertEqual(data, b"plaintext")
