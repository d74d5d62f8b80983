"""The identities of tubs."""

from __future__ import annotations

from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import SynchronousTestCase

from truckee.node.tub import make_tub, new_identity


class IdentityTests(SynchronousTestCase):
    def test_new(self) -> None:
        """A tub without a lasting identity has one that no other tub has, nor its key."""
        certificates = [make_tub(None).myCertificate for _ in range(5)]
        self.assertEqual(len({each.digest("sha256") for each in certificates}), 5)
        self.assertEqual(len({each.getPublicKey().keyHash() for each in certificates}), 5)

    def test_again(self) -> None:
        """The same certificate is the same identity."""
        pem = new_identity()
        first, again = make_tub(pem), make_tub(pem)
        self.assertEqual(first.tubID, again.tubID)

    def test_signed_by_itself(self) -> None:
        """It stands for itself alone, and does not expire while its node runs."""
        certificate = PrivateCertificate.loadPEM(new_identity())
        self.assertEqual(certificate.getIssuer(), certificate.getSubject())
        self.assertFalse(certificate.original.has_expired())

    def test_damaged(self) -> None:
        """A certificate that is none is no reason to have another identity."""
        for bad in (b"", b"rubbish", new_identity()[:300]):
            self.assertRaises(ValueError, make_tub, bad)
