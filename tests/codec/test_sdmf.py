"""SDMF, a file in one segment."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import SHARE_0, signing_key, write_cap
from tests.codec.mutable_reader import blocks_of, read_part, verify
from truckee.codec import sdmf
from truckee.codec.mutable_secrets import decrypt_private_key, encrypt_private_key
from truckee.codec.mutable_version import SignedVersion

CAP = write_cap()
READ = CAP.read_cap()
HELLO = b"hello, mutable world"


class ExampleTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The shares of the example are known to the byte."""
        made = sdmf.encode(
            b"hello, mutable world", READ.read_key, bytes(range(16)), 2, 3, 1
        )
        verified = verify(READ.fingerprint, 0, SHARE_0)
        signed = SignedVersion(
            made.version,
            verified.signature,
            verified.public_key,
            encrypt_private_key(CAP.write_key, signing_key()),
        )
        self.assertEqual(made.share(0, signed), SHARE_0)
        for number, digest in enumerate(
            (
                "be155995b297f448ada2ff4935ca51f6de40b6fff141a9bee52da2af7b0be180",
                "b84539b93d2b0d4005f6b326eb54304342db935e57f929e796f0563736a462a5",
                "af9fde9d683c4f1cf37835af407f248703af92dd16df0974f1e7b79293c3816f",
            )
        ):
            self.assertEqual(sha256(made.share(number, signed)).hexdigest(), digest)

    def test_read(self) -> None:
        """The example is read, and with the write cap its private key too."""
        verified = verify(READ.fingerprint, 0, SHARE_0)
        key = read_part(SHARE_0, verified.header.layout.private_key)
        self.assertEqual(decrypt_private_key(CAP, key), signing_key())
        made = sdmf.encode(
            b"hello, mutable world", READ.read_key, bytes(range(16)), 2, 3, 1
        )
        signed = made.version.sign(signing_key(), CAP.write_key)
        shares = {0: SHARE_0, 2: made.share(2, signed)}
        blocks = {
            number: blocks_of(verify(READ.fingerprint, number, share), share)[0]
            for number, share in shares.items()
        }
        prefix = verified.header.prefix
        self.assertEqual(
            sdmf.decode(prefix, blocks, READ.read_key), b"hello, mutable world"
        )

    def test_empty(self) -> None:
        """An empty file has no block, and is read from none."""
        made = sdmf.encode(b"", READ.read_key, bytes(16), 3, 10, 1)
        self.assertEqual(made.segments, [])
        self.assertEqual(sdmf.decode(made.version.prefix, {}, READ.read_key), b"")

    def test_bounds(self) -> None:
        """What cannot be written is refused."""
        for needed, total, sequence in ((0, 1, 1), (4, 3, 1), (1, 256, 1), (1, 1, 1 << 64)):
            with self.assertRaises(ValueError):
                sdmf.encode(b"x", READ.read_key, bytes(16), needed, total, sequence)
        with self.assertRaises(ValueError):
            sdmf.encode(b"x", READ.read_key, bytes(15), 1, 1, 1)
