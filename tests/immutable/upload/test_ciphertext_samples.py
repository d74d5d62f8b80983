"""Pieces of shares that are made from ciphertext are what the shares really hold."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import make_file
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.share import ShareOffsets
from truckee.immutable.samples import Part
from truckee.immutable.upload.ciphertext_samples import CiphertextSamples

KEY = b"k" * 16
ENCODING = Encoding(3, 5, 64)


def pieces_of(
    ciphertext: bytes, encoding: Encoding, known: bool, chance: random.Random
) -> list[Part]:
    """Return pieces of a file that comes in chunks of all sizes."""
    size = encoding.geometry(len(ciphertext)).segment_size
    segment = size if known else encoding.streaming_segment_size
    samples = CiphertextSamples(encoding, segment, chance.randbytes)
    at = 0
    while at < len(ciphertext):
        length = chance.randrange(1, 2 * encoding.max_segment_size)
        samples.feed(ciphertext[at : at + length])
        at += length
    return samples.pieces()


class PieceTests(SynchronousTestCase):
    def test_in_shares(self) -> None:
        """Every piece stands where it is said to, in every share of files of all sizes."""
        chance = random.Random(1)
        encodings = (ENCODING, Encoding(1, 4, 50), Encoding(4, 4, 1000), Encoding(7, 30, 9))
        for encoding in encodings:
            most = encoding.streaming_segment_size
            sizes = {1, 2, 56, most - 1, most, most + 1, 2 * most, 5 * most - 2}
            for size in sorted(sizes):
                plaintext = chance.randbytes(size)
                shares = make_file(plaintext, KEY, encoding).shares
                for known in (True, False):
                    ciphertext = crypt(KEY, 0, plaintext)
                    pieces = pieces_of(ciphertext, encoding, known, chance)
                    self.assertEqual(len(pieces), encoding.total)
                    for share, (offset, piece) in zip(shares, pieces, strict=True):
                        offsets = ShareOffsets.parse(share, encoding.total)
                        start = offsets.data + offset
                        self.assertTrue(piece)
                        self.assertEqual(share[start : start + len(piece)], piece)

    def test_anywhere(self) -> None:
        """No segment is left out, the last one neither, and no place in a large block."""
        chance = random.Random(2)
        block = ENCODING.geometry(300).block_size
        seen: Counter[int] = Counter()
        for _ in range(300):
            pieces = pieces_of(bytes(300), ENCODING, False, chance)
            seen.update(offset // block for offset, _ in pieces)
        self.assertEqual(sorted(seen), list(range(5)))
        self.assertLess(max(seen.values()), 2 * min(seen.values()))
        large = Encoding(3, 5, 30_000)
        starts = {
            offset * 10 // 10_000
            for _ in range(100)
            for offset, _ in pieces_of(bytes(30_000), large, True, chance)
        }
        self.assertEqual(starts, set(range(10)))

    def test_size(self) -> None:
        """Pieces are small, however large blocks are and however many they are."""
        chance = random.Random(3)
        for encoding in (Encoding(1, 2, 1 << 20), Encoding(255, 256, 1 << 20)):
            pieces = pieces_of(bytes(1 << 20), encoding, True, chance)
            self.assertLessEqual(max(len(piece) for _, piece in pieces), 256)
