"""The numbers of announcements."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.node.layout import NodeDirectory
from truckee.node.offer import StorageOffer


class NumberTests(SynchronousTestCase):
    def test_damaged(self) -> None:
        """A number that cannot be read is set aside, and a higher one comes next."""
        directory = NodeDirectory(new_directory(self))
        offer = StorageOffer(directory, Ed25519PrivateKey.generate(), "me", bytes)
        offer.keep_number(41)
        self.assertEqual(offer.next_number(1.7e9), 42)
        for text in ("", "\n", "forty\n"):
            directory.seqnum.write_text(text)
            with capturedLogs() as events:
                self.assertEqual(offer.next_number(1.7e9), 1_700_000_000)
            [event] = events
            self.assertIn("damaged", event["log_format"])
            self.assertEqual(directory.seqnum.with_suffix(".damaged").read_text(), text)
            self.assertFalse(directory.seqnum.exists())
