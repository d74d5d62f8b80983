"""Certificates that are made with few keys are those of different tubs."""

from __future__ import annotations

from foolscap.api import Tub
from twisted.trial.unittest import SynchronousTestCase

from tests.keys import KEYS, certificate


class CertificateTests(SynchronousTestCase):
    def test_different(self) -> None:
        """No two tubs have the same id, and those of one grid not even the same key."""
        tubs = [Tub(certData=certificate()) for _ in range(2 * KEYS)]
        self.assertEqual(len({tub.tubID for tub in tubs}), 2 * KEYS)
        keys = [tub.myCertificate.getPublicKey().keyHash() for tub in tubs]
        self.assertEqual(len(set(keys[:KEYS])), KEYS)
        self.assertEqual(keys[:KEYS], keys[KEYS:])
