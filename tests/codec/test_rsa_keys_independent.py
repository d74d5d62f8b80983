"""Signatures beside a second implementation of RSA-PSS that shares no code with it."""

from __future__ import annotations

import random

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pss
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.rsa_keys import SigningKey, VerifyingKey

SIZES = (0, 1, 31, 32, 33, 75, 1000, 5000)


class SignatureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.chance = random.Random(7)
        self.ours = SigningKey.generate()
        self.second = RSA.import_key(self.ours.der)

    def test_keys(self) -> None:
        """Both read each other's keys."""
        public = self.second.public_key().export_key("DER")
        self.assertEqual(VerifyingKey.parse(public), self.ours.verifying_key)
        private = self.second.export_key("DER", pkcs=8)
        self.assertEqual(SigningKey.parse(private).der, self.ours.der)

    def test_ours(self) -> None:
        """What we sign is right for the second one; what is changed is not."""
        verifier = pss.new(self.second, salt_bytes=32)
        for size in SIZES:
            message = self.chance.randbytes(size)
            signature = self.ours.sign(message)
            verifier.verify(SHA256.new(message), signature)
            for other in (message + b"x", self.chance.randbytes(size + 1)):
                with self.assertRaises(ValueError):
                    verifier.verify(SHA256.new(other), signature)

    def test_theirs(self) -> None:
        """What the second one signs is right for us; what is changed is not."""
        signer = pss.new(self.second, salt_bytes=32)
        verifying = self.ours.verifying_key
        for size in SIZES:
            message = self.chance.randbytes(size)
            signature = signer.sign(SHA256.new(message))
            self.assertTrue(verifying.is_signature(signature, message))
            self.assertFalse(verifying.is_signature(signature, message + b"x"))
            place = self.chance.randrange(len(signature))
            flipped = bytearray(signature)
            flipped[place] ^= 1 << self.chance.randrange(8)
            self.assertFalse(verifying.is_signature(bytes(flipped), message))
        # Another length of the salt is another scheme.
        other = pss.new(self.second, salt_bytes=20).sign(SHA256.new(b""))
        self.assertFalse(verifying.is_signature(other, b""))
