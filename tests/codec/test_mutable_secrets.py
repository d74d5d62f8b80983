"""Keys and secrets of mutable files."""

from __future__ import annotations

from hashlib import sha256

from attrs import evolve
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import PRIVATE_KEY, published, signing_key, write_cap
from truckee.codec.caps import MutableWriteCap, parse_cap
from truckee.codec.cipher import crypt
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_secrets import (
    data_key,
    decrypt_private_key,
    encrypt_private_key,
    fingerprint_of,
    write_cap_of,
    write_enabler,
    write_key_of,
)
from truckee.codec.rsa_keys import SigningKey
from truckee.codec.secrets import lease_secrets

SERVER = bytes(range(20))


def fast(pem: bytes) -> SigningKey:
    """Return the key in *pem*, by way of DER."""
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey.parse(der)


class ExampleTests(SynchronousTestCase):
    def test_caps(self) -> None:
        """All caps of the example come from its private key."""
        cap = write_cap()
        self.assertEqual(
            str(cap),
            "URI:SSK:q3edlbvmk2upetd3dek7ja3c74:"
            "av3grqocl7hoy6hnbt6vc7fge7g3z5khxdazggxr545m2kwlgqiq",
        )
        self.assertEqual(cap.read_cap().read_key.hex(), "4df755712c3916eff455786dc90740c8")
        self.assertEqual(
            cap.verify_cap().storage_index.hex(), "cdbf7db631ebca63d63004ecce0ef8c1"
        )
        self.assertEqual(str(write_cap("MDMF")), str(cap).replace("SSK", "MDMF"))

    def test_secrets(self) -> None:
        """Data key, write enabler and lease secrets of the example are known."""
        cap = write_cap()
        for salt, hexed in (
            (bytes(range(16)), "ae49cc14632f0b0d62d09ad1629b78c5"),
            (b"\xa0" * 16, "29a8d400e5385041b0576159ee779763"),
            (b"\xa1" * 16, "13f9676a509c0c85aa8f09959100fb46"),
        ):
            self.assertEqual(data_key(cap.read_cap().read_key, salt).hex(), hexed)
        self.assertEqual(
            write_enabler(cap.write_key, SERVER).hex(),
            "9f4d91003620075aad18f2a7a5e2a0a9bc6a5e0c1d630ac8ab26e90a3c23b311",
        )
        leases = lease_secrets(b"\x5a" * 32, cap.verify_cap().storage_index, SERVER)
        self.assertEqual(
            leases.renew.hex(),
            "37e80aad6bfb92b9f4b6d26bcb4ee3aac4d5b532b13ac4af14559535ecd64fb7",
        )
        self.assertEqual(
            leases.cancel.hex(),
            "83d48da1f30ea512b36821c335cfcc8c2b0b46516f1058967de54438436cb82c",
        )

    def test_private_key(self) -> None:
        """The private key as shares have it is known, and is read back."""
        cap = write_cap()
        encrypted = encrypt_private_key(cap.write_key, signing_key())
        self.assertEqual(
            sha256(encrypted).hexdigest(),
            "cf12252f4dfbd69637923095bb50ccddc71629b194f5323739599eae037e0b68",
        )
        key = decrypt_private_key(cap, memoryview(encrypted))
        self.assertEqual(key.der, PRIVATE_KEY)

    def test_damaged_private_key(self) -> None:
        """A flipped bit, a part or more than the private key is a bad share."""
        cap = write_cap()
        good = encrypt_private_key(cap.write_key, signing_key())
        wrong = [good[:-1], good + b"\0", b""]
        for at in (0, 600, 1200):
            wrong.append(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        for encrypted in wrong:
            with self.assertRaisesRegex(BadShare, "not the one that the cap names"):
                decrypt_private_key(cap, encrypted)

    def test_key_of_another_file(self) -> None:
        """A private key that does not belong to the fingerprint signs nothing."""
        cap = evolve(write_cap(), fingerprint=bytes(32))
        encrypted = encrypt_private_key(cap.write_key, signing_key())
        with self.assertRaisesRegex(BadShare, "does not belong to its public key"):
            decrypt_private_key(cap, encrypted)

    def test_no_key(self) -> None:
        """A cap made from something else than a key opens nothing."""
        noise = b"no key at all"
        cap = MutableWriteCap("SSK", write_key_of(noise), fingerprint_of(b""))
        with self.assertRaisesRegex(BadShare, "unusable, it is neither PEM nor DER"):
            decrypt_private_key(cap, crypt(cap.write_key, 0, noise))


class PublishedTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each published key gives the cap that stock published with it."""
        vectors = published()
        self.assertEqual(len(vectors), 60)
        for number, vector in enumerate(vectors):
            pem = vector["private_key_pem"].encode("ascii")
            # What a client gives is looked at for a tenth of a second.
            key = SigningKey.load(pem) if number % 12 == 0 else fast(pem)
            format = {"sdmf": "SSK", "mdmf": "MDMF"}[vector["format"]]
            cap = write_cap_of(format, key)
            self.assertEqual(str(cap), vector["cap"])
            self.assertEqual(parse_cap(vector["cap"]), cap)
