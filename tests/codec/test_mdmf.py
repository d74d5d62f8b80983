"""MDMF, made anew and changed in place."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import SHARE_0, signing_key, write_cap
from tests.codec.mutable_reader import contents
from tests.codec.stock_mutable import pattern, salts
from truckee.codec.mdmf import BeyondEnd, Update, is_updatable
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import MutableLayout, ShareHeader
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import encrypt_private_key
from truckee.codec.mutable_segment import EncodedSegment, encode_segment
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion, VersionEncoder

CAP = write_cap("MDMF")
READ = CAP.read_cap()
Encoded = dict[int, EncodedSegment]


def encode(plaintext: bytes, cut: MutableGeometry, seed: int = 0) -> Encoded:
    """Return all segments of a file."""
    random, size = salts(seed), cut.segment_size
    return {
        n: encode_segment(
            plaintext[n * size : (n + 1) * size], READ.read_key, next(random), cut
        )
        for n in range(cut.segments)
    }


def version_of(encoded: Encoded, cut: MutableGeometry, sequence: int) -> UnsignedVersion:
    """Return the version that these segments make."""
    encoder = VersionEncoder(cut.total)
    for segment in sorted(encoded):
        encoder.absorb(encoded[segment])
    return encoder.finish(cut, sequence)


def changed(update: Update, old: bytes, written: bytes, seed: int) -> Encoded:
    """Return the segments of an update, encoded, from the old contents."""
    random, cut, segments = salts(seed), update.after, {}
    for n in update.segments:
        piece = update.piece(n)
        before = b""
        if n in update.needed:
            start = n * cut.segment_size
            before = old[start : start + cut.segment_size]
        plaintext = update.plaintext(n, written[piece.start : piece.stop], before)
        segments[n] = encode_segment(plaintext, READ.read_key, next(random), cut)
    return segments


def spliced(old: bytes, offset: int, written: bytes) -> bytes:
    """Return contents after a write."""
    return old[:offset] + written + old[offset + len(written) :]


class ExampleTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The shares of the example are known but for the signature."""
        cut = MutableGeometry.mdmf(300_000, 3, 10)
        plaintext, size = pattern(300_000), cut.segment_size
        encoded = {
            n: encode_segment(
                plaintext[n * size : (n + 1) * size],
                READ.read_key,
                bytes([0xA0 + n]) * 16,
                cut,
            )
            for n in range(3)
        }
        version = version_of(encoded, cut, 1)
        self.assertEqual(
            version.prefix.root.hex(),
            "60b396f3dc862b40b107fa277fdd11b0d3163f3c07f7f3a553a81691451a1320",
        )
        key = signing_key()
        signed = SignedVersion(
            version,
            bytes(256),
            key.verifying_key.der,
            encrypt_private_key(CAP.write_key, key),
        )
        for number, digest in (
            (0, "45ecf4f928a262a10e8a32cd5db442a68f5bba77be3514af16d1eb5caa254548"),
            (9, "c229eadef0a21f4d0d15d8aa38838243e7c1b55bd92f94398e15079fa3d0f187"),
        ):
            share = signed.share(number, list(encoded.values()))
            self.assertEqual(len(share), 102_439)
            self.assertEqual(sha256(share).hexdigest(), digest)


class UpdateTests(SynchronousTestCase):
    @settings(max_examples=70)
    @given(st.integers(0, 100), st.integers(1, 7), st.integers(0, 60), st.data())
    def test_as_made_anew(
        self, size: int, pieces: int, length: int, data: st.DataObject
    ) -> None:
        """A changed file is the file made anew from the same salts, block for block."""
        offset = data.draw(st.integers(0, size))
        cut = MutableGeometry(size, 2, 3, 2 * pieces, True)
        old, written = pattern(size), pattern(length, 7)
        encoded = encode(old, cut)
        before = version_of(encoded, cut, 1)
        update = Update(cut, offset, length)
        self.assertLessEqual(len(update.needed), 2)
        segments = changed(update, old, written, 9)
        after = update.apply(2, before.block_trees, segments)
        new = spliced(old, offset, written)
        self.assertEqual(update.after.size, len(new))
        whole = version_of(encoded | segments, update.after, 2)
        self.assertEqual(after.prefix, whole.prefix)
        self.assertEqual(list(after.block_trees), list(whole.block_trees))
        signed = after.sign(signing_key(), CAP.write_key)
        blocks = [each for _n, each in sorted((encoded | segments).items())]
        shares = {n: signed.share(n, blocks) for n in (0, 2)}
        self.assertEqual(contents(READ, shares), new)

    def test_nothing_written(self) -> None:
        """A write of no bytes touches no segment."""
        update = Update(MutableGeometry.mdmf(5, 3, 10), 2, 0)
        self.assertEqual((update.segments, update.needed), (range(0), []))

    def test_what_is_needed(self) -> None:
        """Only segments of which something stays are read before."""
        cut = MutableGeometry(100, 2, 3, 10, True)
        for offset, length, needed in (
            (0, 10, []),
            (0, 100, []),
            (0, 5, [0]),
            (5, 5, [0]),
            (5, 20, [0, 2]),
            (10, 75, [8]),
            (100, 10, []),
            (95, 10, [9]),
            (90, 15, []),
        ):
            self.assertEqual(Update(cut, offset, length).needed, needed)

    def test_beyond_the_end(self) -> None:
        """A write that would leave a hole is refused with a sentence."""
        with self.assertRaisesRegex(BeyondEnd, "has 100 bytes: write .* not at 101"):
            Update(MutableGeometry(100, 2, 3, 10, True), 101, 1)

    def test_missing(self) -> None:
        """Without all trees, or all segments, there is no new version."""
        cut = MutableGeometry(20, 2, 3, 10, True)
        encoded = encode(pattern(20), cut)
        trees = version_of(encoded, cut, 1).block_trees
        update = Update(cut, 0, 20)
        for some_trees, some in ((trees, {0: encoded[0]}), (trees[:2], encoded)):
            with self.assertRaises(ValueError):
                update.apply(2, some_trees, some)

    def test_updatable(self) -> None:
        """Only MDMF shares whose parts stand as writers put them are changed in place."""
        cut = MutableGeometry.mdmf(5, 2, 3)
        signed = version_of(encode(b"12345", cut), cut, 1).sign(
            signing_key(), CAP.write_key
        )
        self.assertTrue(is_updatable(signed.header))
        packed = bytearray(signed.header.pack())
        for at in (107, 115):  # block tree and end a byte later
            value = int.from_bytes(packed[at : at + 8], "big") + 1
            packed[at : at + 8] = value.to_bytes(8, "big")
        moved = ShareHeader.parse(packed)
        self.assertEqual(moved.prefix, signed.header.prefix)
        self.assertFalse(is_updatable(moved))
        self.assertFalse(is_updatable(ShareHeader.parse(SHARE_0)))

    def test_too_many_segments(self) -> None:
        """A file whose trees do not fit in memory is not changed in place."""
        for size, good in ((1 << 34, True), (1 << 36, False), (1 << 60, False)):
            cut = MutableGeometry.mdmf(size, 3, 10)
            layout = MutableLayout.planned(cut, 294, 1218)
            header = ShareHeader(Prefix(1, bytes(32), cut), layout)
            self.assertEqual(is_updatable(header), good)
