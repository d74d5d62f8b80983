"""What a gateway checks of what comes back from its helper."""

from __future__ import annotations

import hashlib
import random

from twisted.trial.unittest import SynchronousTestCase

from tests.helper.helped import ENCODING, INDEX, KEY, Content
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.encoder import FileEncoder, encode_segment
from truckee.codec.geometry import Encoding
from truckee.helper.gateway.integrity import CiphertextProof


def ueb_of(data: bytes, encoding: Encoding = ENCODING) -> tuple[bytes, ChkVerifyCap]:
    """Return the UEB of a ciphertext, and the cap that it makes."""
    encoder = FileEncoder(INDEX, encoding.needed, encoding.total)
    size = encoding.geometry(len(data)).segment_size
    for start in range(0, len(data), size):
        segment = data[start : start + size]
        encoder.absorb(segment, encode_segment(segment, encoding.needed, encoding.total))
    file = encoder.finish(size)
    return file.ueb, file.verify_cap


def proof_of(
    data: bytes, segment: int = 64, prefix: int = 0, digest: bytes = b"", piece: int = 64
) -> CiphertextProof:
    """Return what is known of *data*."""
    proof = CiphertextProof(segment, prefix, digest)
    for start in range(0, len(data), piece):
        proof.absorb(data[start : start + piece])
    return proof


class CheckTests(SynchronousTestCase):
    def check(self, data: bytes, ueb: bytes, segment: int = 64) -> ChkVerifyCap:
        proof = proof_of(data, segment)
        return proof.check(ueb, proof.root(), INDEX, 2, 3)

    def test_right(self) -> None:
        """The right UEB makes the cap that the file has when it is stored from here."""
        for size in (1, 2, 63, 64, 65, 128, 129, 1000):
            content = Content(size)
            ueb, cap = ueb_of(content.ciphertext)
            self.assertEqual(self.check(content.ciphertext, ueb), cap)
            self.assertEqual(cap.read_cap(KEY), content.cap)
            # The root may be had when the size is told.
            self.assertEqual(proof_of(content.ciphertext).root(), content.root)

    def test_any_pieces(self) -> None:
        """However the bytes come, they are hashed in segments."""
        for size in (1, 64, 65, 1000):
            content = Content(size)
            for piece in (1, 7, 63, 65, 200, 1000):
                proof = proof_of(content.ciphertext, piece=piece)
                self.assertEqual((proof.size, proof.root()), (size, content.root))

    def test_every_byte(self) -> None:
        """
        A UEB with any byte changed, added or missing is refused, but for two hashes in it
        that say nothing of the ciphertext's content: those of all of it, and of the shares.
        """
        data = Content(200).ciphertext
        ueb, _ = ueb_of(data)
        free = set()
        for key in (b"crypttext_hash:32:", b"share_root_hash:32:"):
            start = ueb.index(key) + len(key)
            free |= set(range(start, start + 32))
        for at in range(len(ueb)):
            changed = bytearray(ueb)
            changed[at] ^= 1
            if at in free:
                self.check(data, bytes(changed))
            else:
                self.assertRaises(ValueError, self.check, data, bytes(changed))
            self.assertRaises(ValueError, self.check, data, ueb[:at])
            self.assertRaises(ValueError, self.check, data, ueb[:at] + ueb[at + 1 :])
            self.assertRaises(ValueError, self.check, data, ueb[:at] + b"0" + ueb[at:])
        for other in (b"", ueb + ueb, ueb + b"x:0:,", b"\0" * 2000, b"9" * 2000):
            self.assertRaises(ValueError, self.check, data, other)

    def test_other_files(self) -> None:
        """That of a file of another size, shape or content is refused."""
        data = Content(200).ciphertext
        for other, encoding in (
            (Content(201).ciphertext, ENCODING),
            (Content(199).ciphertext, ENCODING),
            (data[:199], ENCODING),
            (data + b"\0", ENCODING),
            (Content(200, seed=3).ciphertext, ENCODING),
            (data, Encoding(2, 4, 64)),
            (data, Encoding(1, 3, 64)),
            (data, Encoding(2, 3, 62)),
            (data, Encoding(2, 3, 200)),
        ):
            self.assertRaises(ValueError, self.check, data, ueb_of(other, encoding)[0])


class PrefixTests(SynchronousTestCase):
    def test_right(self) -> None:
        """A helper that holds the start of the file is believed, wherever it ends."""
        data = Content(300).ciphertext
        for prefix in range(0, 301, 7):
            digest = hashlib.sha256(data[:prefix]).digest() if prefix else b""
            proof = proof_of(data, 64, prefix, digest)
            self.assertEqual(proof.root(), Content(300).root)

    def test_wrong(self) -> None:
        """One that holds something else is found out before a byte behind it is let go."""
        data = Content(300).ciphertext
        for prefix in range(1, 301, 7):
            proof = CiphertextProof(64, prefix, bytes(32))
            for start in range(0, 300, 64):
                end = min(start + 64, 300)
                if end < prefix:
                    proof.absorb(data[start:end])
                else:
                    self.assertRaises(ValueError, proof.absorb, data[start:end])
                    break

    def test_expect(self) -> None:
        """
        Another prefix may take its place as long as its end was not reached; it is compared
        then, at once if it ends where we are.
        """
        data = Content(320).ciphertext
        for seed in range(200):
            chance = random.Random(seed)
            first, second = chance.randint(65, 320), chance.randint(1, 400)
            wrong = chance.random() < 0.5
            proof = CiphertextProof(64, first, bytes(32))
            reached = chance.randrange(64, first, 64)
            for start in range(0, reached, 64):
                proof.absorb(data[start : start + 64])
            digest = bytes(32) if wrong else hashlib.sha256(data[:second]).digest()
            if second < reached:
                proof.expect(second, digest)
                self.assertEqual(proof.prefix, first)
                continue
            try:
                proof.expect(second, digest)
                for start in range(reached, 320, 64):
                    proof.absorb(data[start : start + 64])
            except ValueError:
                self.assertTrue(wrong)
                self.assertGreaterEqual(proof.size, second)
            else:
                self.assertTrue(not wrong or second > 320)

    def test_expect_late(self) -> None:
        """What was compared once stays so."""
        data = Content(200).ciphertext
        proof = proof_of(data, 64, 100, hashlib.sha256(data[:100]).digest())
        proof.expect(150, bytes(32))
        self.assertEqual(proof.prefix, 100)
        proof = CiphertextProof(64)
        proof.expect(150, bytes(32))
        self.assertEqual(proof.prefix, 0)
