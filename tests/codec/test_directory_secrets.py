"""Write caps of children, encrypted for those who may write their directory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_example import WRITE, WRITE_KEY
from truckee.codec.directory_secrets import decrypt_write_cap, encrypt_write_cap

SALT = "efa609ea6c8c4b8ae23bdd6fb1d0e36f"
CIPHERTEXT = (
    "66483fe19d8718c1d4b2b0aecf1c171459f64f4b905ae28b3cd9aa5fe9e3158fb16829f6f6ef2e41e2d7"
    "0ca2fba7ab93eec27ea1f891eb27cbf88a370271f3daf10ab866d7388b7a0836bc39fdb18513ddd209a1"
    "b5c954"
)
MAC = "1d9ad19a705053156d78f7a8459923825730a671a7a9fdcc6f8ff22f91195128"
NONE = (
    "d05f738a043b8404b7495ccb5d5501864d97fc94fbd98332f9a7b291acde0bf275681fc51a928e00856e"
    "f725addc6aab"
)


class SecretTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The example's write cap has the salt, the ciphertext and the mac of the page."""
        found = encrypt_write_cap(WRITE_KEY, WRITE.encode())
        self.assertEqual(found.hex(), SALT + CIPHERTEXT + MAC)
        self.assertEqual(decrypt_write_cap(WRITE_KEY, found), WRITE.encode())

    def test_no_write_cap(self) -> None:
        """No write cap is 48 bytes, which decrypt to none."""
        found = encrypt_write_cap(WRITE_KEY, b"")
        self.assertEqual(found.hex(), NONE)
        self.assertEqual(decrypt_write_cap(WRITE_KEY, found), b"")

    @given(st.binary(max_size=200), st.binary(min_size=16, max_size=16))
    def test_round_trip(self, cap: bytes, key: bytes) -> None:
        """A cap comes back, the same bytes each time, and with its own key only."""
        found = encrypt_write_cap(key, cap)
        self.assertEqual(len(found), 48 + len(cap))
        self.assertEqual(encrypt_write_cap(key, cap), found)
        self.assertEqual(decrypt_write_cap(key, found), cap)
        if len(cap) > 8:
            other = bytes([key[0] ^ 1]) + key[1:]
            self.assertNotEqual(decrypt_write_cap(other, found), cap)

    def test_mac_is_not_checked(self) -> None:
        """A wrong mac changes nothing, since other writers need not have made it."""
        found = encrypt_write_cap(WRITE_KEY, WRITE.encode())
        self.assertEqual(
            decrypt_write_cap(WRITE_KEY, found[:-32] + bytes(32)), WRITE.encode()
        )

    def test_short(self) -> None:
        """Less than a salt and a mac is no write cap."""
        for length in range(49):
            self.assertEqual(decrypt_write_cap(WRITE_KEY, b"x" * length), b"")
        self.assertEqual(len(decrypt_write_cap(WRITE_KEY, b"x" * 49)), 1)
