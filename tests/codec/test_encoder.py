"""From ciphertext to shares, byte for byte."""

from __future__ import annotations

from hashlib import sha256

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.encoder import EncodedFile, EncodedSegment, FileEncoder, encode_segment
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import block_hash, segment_hash, tagged_hash, ueb_hash
from truckee.codec.merkle import build_tree
from truckee.codec.segments import Segmenter
from truckee.codec.share import ShareLayout

CIPHERTEXT = bytes.fromhex(
    "69a274f9768a1a437fd51b13cb402d0b0b1bbdd69414c91e9cc8f33de0b1117243a0d341"
    "b5a3f045bb524b5bf6b200329a8a5eaac154f3c7"
)
KEY = bytes.fromhex("380ff65ec57c08c67d0219f67b481d28")
INDEX = base32.decode("5mwuz5yxisqrnhtrsljs7wkyb4")
ROOT = "12af5b54aeaede9c953c3906275f6fdfc9f4635904a2c748cd7cb531f2a4990d"


@frozen(eq=False)
class Encoded:
    """A file and the blocks of its shares."""

    file: EncodedFile
    blocks: list[list[bytes]]  # by segment, then by share

    def share(self, number: int, layout: ShareLayout) -> bytes:
        """Return the bytes of a share as a writer without a gap puts them."""
        return b"".join(
            [
                layout.pack_header(),
                *(blocks[number] for blocks in self.blocks),
                bytes(layout.plaintext_tree_size),
                *self.file.trailer(number, layout),
            ]
        )


def encode(
    ciphertext: bytes, needed: int, total: int, segment_size: int, chunk: int = 0
) -> Encoded:
    """Encode a whole file, fed in chunks of *chunk* bytes or at once."""
    encoder = FileEncoder(INDEX, needed, total)
    segmenter = Segmenter(segment_size)
    blocks = []

    def take(segment: bytes | bytearray) -> None:
        coded = encode_segment(segment, needed, total)
        encoder.absorb(segment, coded)
        blocks.append([bytes(block) for block in coded.blocks])

    step = chunk or len(ciphertext)
    for at in range(0, len(ciphertext), step):
        for segment in segmenter.feed(ciphertext[at : at + step]):
            take(segment)
    if segmenter.held:
        take(segmenter.finish())
    return Encoded(encoder.finish(segment_size), blocks)


class SegmentTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The blocks of the example segment are known, the padding byte among them."""
        coded = encode_segment(CIPHERTEXT, 3, 10)
        blocks = [bytes(block).hex() for block in coded.blocks]
        self.assertEqual(len(blocks), 10)
        self.assertEqual(blocks[0], "69a274f9768a1a437fd51b13cb402d0b0b1bbd")
        self.assertEqual(blocks[2], "f045bb524b5bf6b200329a8a5eaac154f3c700")
        self.assertEqual(blocks[3], "8967cbb99fe696b64a080372331e635a4bf0e4")
        self.assertEqual(blocks[9], "0d60e4d0e489e4da8761add0e1eb359f11e5e3")
        absorbed = FileEncoder(INDEX, 3, 10).absorb(CIPHERTEXT, coded)
        self.assertEqual(absorbed.hex(), ROOT)
        self.assertEqual(
            coded.block_hashes[0].hex(),
            "7b59609340be4d0a425121db8517790f592d7db693e567a29557edbbdc0bdbd4",
        )

    @given(st.binary(min_size=1, max_size=300), st.integers(1, 30), st.data())
    def test_laws(self, segment: bytes, total: int, data: st.DataObject) -> None:
        """Blocks hold the padded segment; their hashes cover padding, the segment's not."""
        needed = data.draw(st.integers(1, total))
        source = bytearray(segment)
        coded = encode_segment(source, needed, total)
        self.assertEqual(source, segment)
        self.assertEqual(
            {len(block) for block in coded.blocks}, {-(-len(segment) // needed)}
        )
        joined = b"".join(coded.blocks[:needed])
        self.assertEqual(joined, segment + bytes(-len(segment) % needed))
        self.assertEqual(coded.block_hashes, [block_hash(block) for block in coded.blocks])
        absorbed = FileEncoder(INDEX, needed, total).absorb(segment, coded)
        self.assertEqual(absorbed, segment_hash(segment))

    def test_repr_is_short(self) -> None:
        """An encoded segment does not print itself."""
        self.assertEqual(repr(encode_segment(CIPHERTEXT, 3, 10)), "EncodedSegment()")


class FileTests(SynchronousTestCase):
    def test_example(self) -> None:
        """UEB, cap and shares of the example file are known to the byte."""
        encoded = encode(CIPHERTEXT, 3, 10, 57)
        file = encoded.file
        self.assertEqual(file.crypttext_tree.hex(), ROOT)
        self.assertEqual(len(file.ueb), 308)
        for part in (
            b"crypttext_hash:32:"
            + bytes.fromhex(
                "80ed8bd9cc0ccab9fa8cd2c823c0ad806cbff4c6a44045c38f64a3e3cb5275fd"
            ),
            b"crypttext_root_hash:32:" + bytes.fromhex(ROOT),
            b"share_root_hash:32:"
            + bytes.fromhex(
                "5c6817fbce7633f83eb533324ee64b0d4936a5fe0873dc1cf2a24cf68c21da74"
            ),
        ):
            self.assertIn(part, file.ueb)
        self.assertEqual(
            str(file.verify_cap.read_cap(KEY)),
            "URI:CHK:hah7mxwfpqemm7icdh3hwsa5fa:"
            "6epvxt2uxh42obpnfn4wkrplqml7voh7aqpnqnapu7ffcyn2hk3q:3:10:56",
        )
        for layout, size, digest in (
            (
                ShareLayout.stock(file.geometry),
                633,
                "9992a67031831945dd97738963b46dcd763702f2da066503edb54478f8edb461",
            ),
            (
                ShareLayout(2, file.geometry, 32),
                669,
                "e7d6d7f25dd7ca56af5b96794442e5a5e5e91e68eca7a00515de5e2429c63b62",
            ),
        ):
            share = encoded.share(0, layout)
            self.assertEqual(len(share), size)
            self.assertEqual(sha256(share).hexdigest(), digest)

    @settings(max_examples=40)
    @given(st.binary(min_size=1, max_size=500), st.integers(1, 20), st.data())
    def test_laws(self, ciphertext: bytes, total: int, data: st.DataObject) -> None:
        """The UEB's roots are those of trees over all segments, blocks and shares."""
        needed = data.draw(st.integers(1, total))
        encoding = Encoding(needed, total, data.draw(st.integers(20, 200)))
        geometry = encoding.geometry(len(ciphertext))
        encoded = encode(ciphertext, needed, total, geometry.segment_size)
        file = encoded.file
        self.assertEqual(file.geometry, geometry)
        size = geometry.segment_size
        step = range(0, len(ciphertext), size)
        leaves = [segment_hash(ciphertext[at : at + size]) for at in step]
        self.assertEqual(file.crypttext_tree, build_tree(leaves))
        trees = [
            build_tree([block_hash(blocks[share]) for blocks in encoded.blocks])
            for share in range(total)
        ]
        share_tree = build_tree([tree[:32] for tree in trees])
        for root in (file.crypttext_tree[:32], share_tree[:32]):
            self.assertIn(b"_hash:32:" + root + b",", file.ueb)
        flat = tagged_hash(b"allmydata_crypttext_v1", ciphertext)
        self.assertIn(b"crypttext_hash:32:" + flat + b",", file.ueb)
        self.assertEqual(
            file.verify_cap,
            ChkVerifyCap(INDEX, ueb_hash(file.ueb), needed, total, len(ciphertext)),
        )
        for layout in (ShareLayout.stock(geometry), ShareLayout.streamed(geometry)):
            for number in {0, total // 2, total - 1}:
                share = encoded.share(number, layout)
                self.assertEqual(len(share), layout.size)
                self.assertTrue(
                    share.endswith(layout.pack_ueb_length(len(file.ueb)) + file.ueb)
                )
                tree = share[layout.block_tree : layout.chain]
                self.assertEqual(tree, trees[number])
                tree = share[layout.crypttext_tree : layout.block_tree]
                self.assertEqual(tree, file.crypttext_tree)

    @settings(max_examples=30)
    @given(st.binary(min_size=1, max_size=300), st.integers(1, 60))
    def test_chunks_do_not_matter(self, ciphertext: bytes, chunk: int) -> None:
        """Fed whole, byte by byte and in odd chunks, a file has the same shares."""
        geometry = Encoding(3, 10, 50).geometry(len(ciphertext))
        layout = ShareLayout.streamed(geometry)
        whole = encode(ciphertext, 3, 10, geometry.segment_size)
        for size in (1, chunk):
            other = encode(ciphertext, 3, 10, geometry.segment_size, size)
            self.assertEqual(other.file.verify_cap, whole.file.verify_cap)
            for number in (0, 9):
                self.assertEqual(other.share(number, layout), whole.share(number, layout))

    def test_size_so_far(self) -> None:
        """The encoder counts ciphertext without its padding."""
        encoder = FileEncoder(INDEX, 3, 10)
        for size, total in ((6, 6), (6, 12), (1, 13)):
            encoder.absorb(bytes(size), encode_segment(bytes(size), 3, 10))
            self.assertEqual(encoder.size, total)
        self.assertEqual(encoder.finish(6).geometry.segments, 3)

    def test_shorter_than_a_segment(self) -> None:
        """A stream that ends in its first segment keeps the segment size it began with."""
        encoded = encode(CIPHERTEXT, 3, 10, Encoding().streaming_segment_size)
        self.assertEqual(encoded.file.geometry.segment_size, 1048578)
        self.assertIn(b"segment_size:7:1048578,", encoded.file.ueb)
        self.assertEqual(encoded.file.geometry.share_data_size, 19)

    def test_nothing(self) -> None:
        """A file of no bytes has no shares."""
        self.assertRaises(ValueError, FileEncoder(INDEX, 3, 10).finish, 57)

    def test_wrong_number_of_shares(self) -> None:
        """A segment coded for another N is not taken."""
        coded = encode_segment(b"abc", 3, 4)
        encoder = FileEncoder(INDEX, 3, 10)
        self.assertRaises(ValueError, encoder.absorb, b"abc", coded)
        self.assertIsInstance(coded, EncodedSegment)
