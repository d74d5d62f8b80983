"""Segments of mutable files."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import mutable_segment
from truckee.codec.cipher import crypt
from truckee.codec.hashes import BLOCK, block_hash, tagged_hash
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_secrets import data_key
from truckee.codec.mutable_segment import (
    LONG,
    StoredBlock,
    decode_segment,
    encode_segment,
)

KEY, SALT = b"r" * 16, b"s" * 16


class SegmentTests(SynchronousTestCase):
    def test_salt_in_the_leaf(self) -> None:
        """A leaf is over salt and block in MDMF, over the block alone in SDMF."""
        for cut, front in (
            (MutableGeometry.sdmf(5, 2, 3), b""),
            (MutableGeometry.mdmf(5, 2, 3), SALT),
        ):
            encoded = encode_segment(b"12345", KEY, SALT, cut)
            for block, leaf in zip(encoded.blocks, encoded.block_hashes, strict=True):
                self.assertEqual(leaf, tagged_hash(BLOCK, front + bytes(block)))
                self.assertEqual(leaf, block_hash(block, front))

    def test_padding_is_not_encrypted(self) -> None:
        """The zeros behind a segment are added to its ciphertext."""
        cut = MutableGeometry.sdmf(4, 3, 5)
        encoded = encode_segment(b"1234", KEY, SALT, cut)
        ciphertext = crypt(data_key(KEY, SALT), 0, b"1234")
        self.assertEqual(
            b"".join(bytes(encoded.blocks[n]) for n in range(3)), ciphertext + bytes(2)
        )

    @given(st.binary(min_size=1, max_size=300), st.booleans(), st.data())
    def test_round_trip(self, plaintext: bytes, salted: bool, data: st.DataObject) -> None:
        """Any k blocks give the plaintext back, and the source is left as it was."""
        total = data.draw(st.integers(1, 30))
        needed = data.draw(st.integers(1, total))
        make = MutableGeometry.mdmf if salted else MutableGeometry.sdmf
        cut = make(len(plaintext), needed, total)
        source = bytearray(plaintext)
        encoded = encode_segment(memoryview(source), KEY, SALT, cut)
        self.assertEqual(source, plaintext)
        numbers = data.draw(st.permutations(range(total)))[:needed]
        blocks = {n: StoredBlock(SALT, encoded.blocks[n]) for n in numbers}
        self.assertEqual(decode_segment(blocks, KEY, 0, cut), plaintext)

    @given(st.binary(min_size=1, max_size=300), st.booleans(), st.data())
    def test_blocks_made_later(
        self, plaintext: bytes, salted: bool, data: st.DataObject
    ) -> None:
        """The blocks of a long segment are those that are made at once of a short one."""
        total = data.draw(st.integers(1, 30))
        needed = data.draw(st.integers(1, total))
        make = MutableGeometry.mdmf if salted else MutableGeometry.sdmf
        cut = make(len(plaintext), needed, total)
        expected = encode_segment(plaintext, KEY, SALT, cut)
        self.patch(mutable_segment, "LONG", 1)
        self.patch(mutable_segment, "_COLUMN", data.draw(st.integers(1, 100)))
        found = encode_segment(plaintext, KEY, SALT, cut)
        self.patch(mutable_segment, "LONG", LONG)
        self.assertEqual(found.block_hashes, expected.block_hashes)
        self.assertEqual(len(found.blocks), total)
        self.assertEqual(list(map(bytes, found.blocks)), list(map(bytes, expected.blocks)))
        for number in (-1, total):
            with self.assertRaises(IndexError):
                found.blocks[number]

    def test_memory(self) -> None:
        """A long segment takes one block beside it, and its plaintext beside its blocks."""
        size = 3 * LONG
        plaintext, cut = bytes(size), MutableGeometry.sdmf(size, 3, 10)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        encoded = encode_segment(plaintext, KEY, SALT, cut)
        self.assertLess(tracemalloc.get_traced_memory()[1], size // 3 + (6 << 20))
        blocks = {n: StoredBlock(SALT, encoded.blocks[n]) for n in range(3)}
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        self.assertTrue(decode_segment(blocks, KEY, 0, cut) == plaintext)
        taken = tracemalloc.get_traced_memory()[1] - before
        self.assertLess(taken, size + (1 << 20))

    def test_salts_disagree(self) -> None:
        """Blocks with different salts do not belong together, and are not decrypted."""
        cut = MutableGeometry.mdmf(5, 2, 3)
        encoded = encode_segment(b"12345", KEY, SALT, cut)
        blocks = {
            0: StoredBlock(SALT, encoded.blocks[0]),
            1: StoredBlock(b"t" * 16, encoded.blocks[1]),
        }
        with self.assertRaisesRegex(BadShare, "disagree about the salt of segment 0"):
            decode_segment(blocks, KEY, 0, cut)

    def test_wrong_blocks(self) -> None:
        """Too few, too many, strange and short blocks are refused."""
        cut = MutableGeometry.mdmf(5, 2, 3)
        encoded = encode_segment(b"12345", KEY, SALT, cut)
        blocks = {n: StoredBlock(SALT, block) for n, block in enumerate(encoded.blocks)}
        for wrong in (blocks, {0: blocks[0]}, {0: blocks[0], 3: blocks[1]}, {}):
            with self.assertRaises(ValueError):
                decode_segment(wrong, KEY, 0, cut)
        for salt in (b"", bytes(15), bytes(17)):
            with self.assertRaisesRegex(ValueError, "16 bytes"):
                encode_segment(b"12345", KEY, salt, cut)
        short = StoredBlock(SALT, bytes(2))
        with self.assertRaisesRegex(BadShare, "wrong length"):
            decode_segment({0: short, 1: short}, KEY, 0, cut)
