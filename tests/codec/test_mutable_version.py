"""From segments to the bytes of shares."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import signing_key, write_cap
from tests.codec.mutable_reader import contents
from tests.codec.stock_mutable import pattern
from truckee.codec.hashes import padding_leaf_hash
from truckee.codec.merkle import build_tree
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_segment import encode_segment
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion, VersionEncoder

CAP = write_cap()
READ = CAP.read_cap()


class VersionTests(SynchronousTestCase):
    @settings(max_examples=30)
    @given(st.integers(0, 200), st.integers(1, 12), st.integers(1, 9), st.data())
    def test_round_trip(
        self, size: int, total: int, pieces: int, data: st.DataObject
    ) -> None:
        """Any k of the shares that are written hold the file."""
        needed = data.draw(st.integers(1, total))
        cut = MutableGeometry(size, needed, total, pieces * needed, True)
        encoder, encoded = VersionEncoder(total), []
        for segment in range(cut.segments):
            plaintext = pattern(cut.segment_length(segment), segment * cut.segment_size)
            salt = b"%016d" % segment
            encoded.append(encode_segment(plaintext, READ.read_key, salt, cut))
            encoder.absorb(encoded[-1])
        signed = encoder.finish(cut, 3).sign(signing_key(), CAP.write_key)
        numbers = data.draw(st.permutations(range(total)))[:needed]
        shares = {number: signed.share(number, encoded) for number in numbers}
        self.assertEqual(contents(READ, shares), pattern(size))
        # The writes are the share, but for the gap.
        for number, share in shares.items():
            writes = signed.writes(number)
            writes += [signed.block_write(number, n, e) for n, e in enumerate(encoded)]
            for offset, written in writes:
                self.assertEqual(share[offset : offset + len(written)], written)
            self.assertEqual(
                sum(len(written) for _offset, written in writes),
                len(share) - (2167 - signed.header.layout.public_key.end),
            )

    def test_empty(self) -> None:
        """The trees of an empty file have one node, that of no leaf."""
        version = VersionEncoder(3).finish(MutableGeometry.mdmf(0, 2, 3), 1)
        leaf = padding_leaf_hash(0)
        self.assertEqual(version.block_trees, [leaf] * 3)
        self.assertEqual(version.share_tree, build_tree([leaf] * 3))

    def test_bounds(self) -> None:
        """Neither segments nor trees may be missing, and keys must fit."""
        cut = MutableGeometry.mdmf(1, 2, 3)
        with self.assertRaisesRegex(ValueError, "has 1 segments"):
            VersionEncoder(3).finish(cut, 1)
        with self.assertRaisesRegex(ValueError, "each share"):
            UnsignedVersion.of_trees(cut, 1, [bytes(32)] * 2)
        version = UnsignedVersion.of_trees(cut, 1, [bytes(32)] * 3)
        SignedVersion(version, bytes(256), bytes(294), bytes(1219))
        with self.assertRaisesRegex(ValueError, "too long for MDMF"):
            SignedVersion(version, bytes(256), bytes(294), bytes(1500))
