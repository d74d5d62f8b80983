"""A node's secrets."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from foolscap.pb import Tub
from twisted.trial.unittest import SynchronousTestCase

from truckee.errors import Misuse
from truckee.node.keys import BadSecret, NodeKeys, create_keys


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.private = Path(room.name) / "private"

    def mode(self, path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)


class CreateTests(_Case):
    def test_round_trip(self) -> None:
        """What is made is read again: 32 bytes each, from the source of randomness."""
        given = iter((b"c" * 32, b"s" * 32))
        create_keys(self.private, lambda size: next(given))
        keys = NodeKeys.load(self.private)
        self.assertEqual((keys.convergence, keys.lease_secret), (b"c" * 32, b"s" * 32))

    def test_stock_form(self) -> None:
        """Each is a line of lower-case base32, as a stock node has it."""
        create_keys(self.private, bytes)
        for name in ("convergence", "secret"):
            self.assertEqual((self.private / name).read_bytes(), b"a" * 52 + b"\n")

    def test_certificate(self) -> None:
        """node.pem is a certificate and a key that a Tub takes."""
        create_keys(self.private, os.urandom)
        tub = Tub(certData=(self.private / "node.pem").read_bytes())
        self.assertEqual(len(tub.tubID), 32)

    def test_modes(self) -> None:
        """The directory is 0700 and each file 0600, under any umask."""
        for umask in (0o000, 0o022, 0o077):
            before = os.umask(umask)
            try:
                private = self.private.with_name(f"private{umask}")
                create_keys(private, os.urandom)
            finally:
                os.umask(before)
            self.assertEqual(self.mode(private), 0o700)
            for path in private.iterdir():
                self.assertEqual(self.mode(path), 0o600, path.name)

    def test_never_twice(self) -> None:
        """Secrets that are there are never made anew."""
        create_keys(self.private, os.urandom)
        before = NodeKeys.load(self.private)
        self.assertRaises(FileExistsError, create_keys, self.private, os.urandom)
        self.assertEqual(NodeKeys.load(self.private), before)


class LoadTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        create_keys(self.private, os.urandom)

    def test_hidden(self) -> None:
        """No secret is in a repr."""
        self.assertEqual(repr(NodeKeys.load(self.private)), "NodeKeys()")

    def test_empty_convergence(self) -> None:
        """An empty file is an empty convergence secret, as stock allows."""
        (self.private / "convergence").write_bytes(b"")
        self.assertEqual(NodeKeys.load(self.private).convergence, b"")

    def test_damaged(self) -> None:
        """A file that is missing, short or no base32 is named, without what is in it."""
        for name, bad in (
            ("secret", b"mfrgg\n"),
            ("secret", b""),
            ("secret", b"A" * 52),
            ("secret", b"a" * 53),
            ("convergence", b"something!\n"),
            ("convergence", b"\xff\xff"),
            ("convergence", None),
        ):
            path = self.private / name
            good = path.read_bytes()
            path.unlink()
            if bad is not None:
                path.write_bytes(bad)
            error = self.assertRaises(BadSecret, NodeKeys.load, self.private)
            self.assertIsInstance(error, Misuse)
            self.assertIn(str(path), str(error))
            if bad:
                self.assertNotIn(bad.decode("latin-1").strip(), str(error))
            path.write_bytes(good)
        NodeKeys.load(self.private)
