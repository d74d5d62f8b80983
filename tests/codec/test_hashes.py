"""Tagged hashes and the uses they have."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import hashes
from truckee.codec.hashes import TaggedHasher, tagged_hash, tagged_pair_hash

TAGS = [
    (hashes.STORAGE_INDEX, b"allmydata_immutable_key_to_storage_index_v1", 43),
    (hashes.BLOCK, b"allmydata_encoded_subshare_v1", 29),
    (hashes.UEB, b"allmydata_uri_extension_v1", 26),
    (hashes.CRYPTTEXT, b"allmydata_crypttext_v1", 22),
    (hashes.CRYPTTEXT_SEGMENT, b"allmydata_crypttext_segment_v1", 30),
    (hashes.MERKLE_NODE, b"Merkle tree internal node", 25),
    (hashes.MERKLE_PADDING, b"Merkle tree empty leaf", 22),
]


def double_sha256(data: bytes) -> bytes:
    """SHA-256 of the SHA-256."""
    return sha256(sha256(data).digest()).digest()


class PrimitiveTests(SynchronousTestCase):
    def test_tagged_hash(self) -> None:
        """The tag is a netstring, the value follows as it is."""
        self.assertEqual(
            tagged_hash(b"tag1", b"value").hex(),
            "6bd0dcb02f110ae1e9411f1252070366feaacbc9dadb66a4a9a0c0dd85495dc4",
        )

    def test_tagged_pair_hash(self) -> None:
        """Tag and both values are netstrings."""
        self.assertEqual(
            tagged_pair_hash(b"tag1", b"left", b"right").hex(),
            "42ef5f2b7b00e2e00c0b3d8e86fdea547ede0ad279ae9a2e6f29eab9a88db38f",
        )

    def test_tags(self) -> None:
        """The tags are those of stock clients, to the letter."""
        for tag, text, length in TAGS:
            self.assertEqual(tag, text)
            self.assertEqual(len(tag), length)

    @given(st.binary(max_size=20), st.lists(st.binary(max_size=80), max_size=6))
    def test_in_pieces(self, tag: bytes, pieces: list[bytes]) -> None:
        """A value given in pieces hashes as the whole, and more can follow a digest."""
        hasher = TaggedHasher(tag)
        value = b""
        for piece in pieces:
            hasher.update(piece)
            value += piece
            self.assertEqual(hasher.digest(), tagged_hash(tag, value))
        self.assertEqual(hasher.digest(), tagged_hash(tag, value))

    def test_byte_by_byte(self) -> None:
        """A value fed byte by byte hashes as the whole."""
        value = bytes(range(200))
        hasher = TaggedHasher(b"tag")
        for byte in value:
            hasher.update(bytes([byte]))
        self.assertEqual(hasher.digest(), tagged_hash(b"tag", value))


class UseTests(SynchronousTestCase):
    def test_block(self) -> None:
        """The block hash of nothing is known."""
        self.assertEqual(
            hashes.block_hash(b"").hex(),
            "64931e84fc25687f941bcdbf475517286ab6ca71e87dd64491b15b54dd06d26b",
        )

    @given(st.binary(max_size=100))
    def test_each_use_has_its_tag(self, data: bytes) -> None:
        """Prepared hashes are the tagged hashes of their tags, for any kind of buffer."""
        for buffer in (data, bytearray(data), memoryview(data)):
            block = tagged_hash(b"allmydata_encoded_subshare_v1", data)
            self.assertEqual(hashes.block_hash(buffer), block)
            pieces = [buffer[:1], b"", buffer[1:]]
            self.assertEqual(hashes.block_hash_of(pieces), block)
            segment = tagged_hash(b"allmydata_crypttext_segment_v1", data)
            self.assertEqual(hashes.segment_hash(buffer), segment)
        ueb = double_sha256(b"26:allmydata_uri_extension_v1," + data)
        self.assertEqual(hashes.ueb_hash(data), ueb)

    @given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
    def test_merkle_node(self, left: bytes, right: bytes) -> None:
        """A Merkle node is the pair hash of its children, for any kind of buffer."""
        node = tagged_pair_hash(b"Merkle tree internal node", left, right)
        self.assertEqual(hashes.node_hash(left, right), node)
        self.assertEqual(hashes.node_hash(memoryview(left), bytearray(right)), node)

    def test_padding_leaf(self) -> None:
        """A padding leaf hashes the decimal number of its place among the leaves."""
        for index, value in (
            (3, "9ed59076b6bee6b75864630c3c20cff6934efe03a60a7fd28b69542fb13a68a3"),
            (10, "ad6bdacbc961fbc124653306f5b8e757c4eddb06491b1edb48c68d124466fa15"),
        ):
            self.assertEqual(hashes.padding_leaf_hash(index).hex(), value)

    def test_storage_index(self) -> None:
        """A storage index is the first 16 bytes of the key's hash."""
        self.assertEqual(
            hashes.storage_index_of(bytes(range(16))).hex(),
            "38d12ea01522a9e5b560408581e103fc",
        )
