"""Shares of mutable files, verified as they are read."""

from __future__ import annotations

import contextlib
from itertools import cycle

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import SHARE_0, signing_key, write_cap
from tests.codec.mutable_reader import blocks_of, read_part, verify
from tests.codec.stock_mutable import pattern
from truckee.codec.merkle import CHAIN_ENTRY, PagedTree, tree_size
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry, SegmentTooLarge, TooManySegments
from truckee.codec.mutable_layout import HEADER_SIZE, MutableLayout, Part, ShareHeader
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import fingerprint_of
from truckee.codec.mutable_segment import encode_segment
from truckee.codec.mutable_share import ShareParser, VerifiedShare
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion, VersionEncoder
from truckee.codec.rsa_keys import BadPublicKey, SigningKey
from truckee.errors import Corrupt

CAP = write_cap().read_cap()
FINGERPRINT = CAP.fingerprint


def small_mdmf(size: int = 50, segment: int = 12) -> tuple[SignedVersion, dict[int, bytes]]:
    """Return a version in tiny segments, 3-of-5, and its shares."""
    cut = MutableGeometry(size, 3, 5, segment, True)
    encoder, encoded = VersionEncoder(5), []
    for number in range(cut.segments):
        start = number * segment
        plaintext = pattern(cut.segment_length(number), start)
        encoded.append(encode_segment(plaintext, CAP.read_key, b"%016d" % number, cut))
        encoder.absorb(encoded[-1])
    signed = encoder.finish(cut, 1).sign(signing_key(), write_cap().write_key)
    return signed, {number: signed.share(number, encoded) for number in range(5)}


MDMF_VERSION, MDMF_SHARES = small_mdmf()


class ParserTests(SynchronousTestCase):
    def test_what_is_wanted(self) -> None:
        """First the header is wanted, then key, signature, chain and root, then nothing."""
        for share in (SHARE_0, MDMF_SHARES[0]):
            parser = ShareParser(0, FINGERPRINT)
            self.assertEqual(parser.wanted(), [Part(0, HEADER_SIZE)])
            parser.feed(0, share[:HEADER_SIZE])
            header = ShareHeader.parse(share)
            self.assertEqual(parser.header, header)
            rest = parser.wanted()
            at = header.layout
            root = Part(at.block_tree.offset, 32)
            fresh = at.public_key
            if fresh.offset < HEADER_SIZE:  # the header's read has its beginning
                fresh = Part(HEADER_SIZE, fresh.end - HEADER_SIZE)
            self.assertEqual(rest, [fresh, at.signature, at.chain, root])
            self.assertIsNone(parser.share)
            for part in rest:
                parser.feed(part.offset, read_part(share, part))
            self.assertEqual(parser.wanted(), [])
            assert parser.share is not None
            self.assertEqual(parser.share.header, header)
            self.assertEqual(parser.share.public_key, signing_key().verifying_key.der)

    def test_whole_and_byte_by_byte(self) -> None:
        """A share is read as a whole, in bytes, and with what a longer one left behind."""
        for share in (SHARE_0, MDMF_SHARES[4]):
            number = 0 if share is SHARE_0 else 4
            whole = verify(FINGERPRINT, number, share, len(share))
            slow = ShareParser(number, FINGERPRINT)
            for at in range(len(share)):
                slow.feed(at, share[at : at + 1], last=at == len(share) - 1)
            more = verify(FINGERPRINT, number, share + b"left", 4000)
            for verified in (slow.share, more):
                assert verified is not None
                self.assertEqual(verified.header, whole.header)
                self.assertEqual(verified.signature, whole.signature)
                self.assertEqual(verified.blocks.root, whole.blocks.root)

    @settings(max_examples=40)
    @given(
        st.booleans(),
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(1, 700)),
            min_size=1,
            max_size=20,
        ),
    )
    def test_any_pieces(self, salted: bool, steps: list[tuple[int, int, int]]) -> None:
        """In whatever pieces a share comes, less is wanted each time, then nothing."""
        share = MDMF_SHARES[0] if salted else SHARE_0
        parser = ShareParser(0, FINGERPRINT)
        left = HEADER_SIZE + 294 + 256 + 102 + 33  # each step brings a byte at least
        for choice, back, length in cycle(steps):
            wanted = parser.wanted()
            if not wanted:
                break
            part = wanted[choice % len(wanted)]
            start = max(part.offset - back, 0)
            parser.feed(start, share[start : part.offset + length])
            left -= 1
            self.assertGreater(left, 0)
        self.assertIsNotNone(parser.share)
        parser.feed(0, b"what comes later is passed over")

    def test_short(self) -> None:
        """A share that ends too early is a bad share, wherever it ends."""
        for share in (SHARE_0, MDMF_SHARES[0]):
            at = ShareHeader.parse(share).layout
            for end, name in (
                (0, "header"),
                (HEADER_SIZE - 1, "header"),
                (HEADER_SIZE, "public key|signature|chain|block tree"),
                (at.block_tree.offset + 31, "block tree"),
            ):
                with self.assertRaisesRegex(BadShare, f"it ends in its ({name})"):
                    verify(FINGERPRINT, 0, share[:end])
                with self.assertRaisesRegex(BadShare, f"it ends in its ({name})"):
                    verify(FINGERPRINT, 0, share[:end], 4000)

    @settings(max_examples=70)
    @given(
        st.booleans(),
        st.lists(
            st.tuples(st.integers(0, 2300), st.binary(min_size=1, max_size=20)), max_size=4
        ),
        st.integers(0, 2400),
    )
    def test_hostile(
        self, salted: bool, changes: list[tuple[int, bytes]], length: int
    ) -> None:
        """Whatever a server sends, it is verified or refused, and nothing else happens."""
        share = bytearray(MDMF_SHARES[0] if salted else SHARE_0)
        for at, data in changes:
            share[at : at + len(data)] = data
        for sent in (bytes(share), bytes(share[:length])):
            with contextlib.suppress(Corrupt):
                verified = verify(FINGERPRINT, 0, sent)
                whole = verify(FINGERPRINT, 0, MDMF_SHARES[0] if salted else SHARE_0)
                self.assertEqual(verified.header.prefix, whole.header.prefix)
                self.assertEqual(verified.blocks.root, whole.blocks.root)

    def test_bounded(self) -> None:
        """However much it is fed, a parser keeps what it needs only."""
        parser = ShareParser(0, FINGERPRINT)
        parser.feed(0, MDMF_SHARES[0][:HEADER_SIZE])
        for _ in range(100):
            parser.feed(3000, bytes(100_000))
        held = sum(len(data) for data in parser._read.values())
        self.assertLess(held, 2048)

    def test_number(self) -> None:
        """A share is good under its own number only."""
        for number in (1, 2):
            with self.assertRaisesRegex(BadShare, "chain"):
                verify(FINGERPRINT, number, SHARE_0)
        for number in (-1, 3, 255):
            with self.assertRaisesRegex(BadShare, f"has no share {number}"):
                verify(FINGERPRINT, number, SHARE_0)

    def test_other_file(self) -> None:
        """A share of another file is refused by its public key."""
        with self.assertRaisesRegex(BadShare, "public key is not the one"):
            verify(bytes(32), 0, SHARE_0)

    def test_other_signer(self) -> None:
        """A signature by another key is none."""
        prefix = MDMF_VERSION.version.prefix
        signature = SigningKey.generate().sign(prefix.pack())
        at = MDMF_VERSION.header.layout.signature
        share = MDMF_SHARES[0]
        forged = share[: at.offset] + signature + share[at.end :]
        with self.assertRaisesRegex(BadShare, "signature is not that of its owner"):
            verify(FINGERPRINT, 0, forged)

    def test_unusable_key(self) -> None:
        """A cap may name a public key that is none; this is said, and nothing crashes."""
        header = ShareHeader.parse(SHARE_0)
        at = header.layout.public_key
        share = SHARE_0[: at.offset] + bytes(at.length) + SHARE_0[at.end :]
        with self.assertRaises(BadPublicKey):
            verify(fingerprint_of(bytes(at.length)), 0, share)


class ChainTests(SynchronousTestCase):
    def test_one_share(self) -> None:
        """With N = 1 the chain is empty, and the root of the blocks is the root of all."""
        cut = MutableGeometry(5, 1, 1, 5, True)
        encoded = encode_segment(b"12345", CAP.read_key, bytes(16), cut)
        encoder = VersionEncoder(1)
        encoder.absorb(encoded)
        signed = encoder.finish(cut, 7).sign(signing_key(), write_cap().write_key)
        share = signed.share(0, [encoded])
        verified = verify(FINGERPRINT, 0, share)
        self.assertEqual(verified.header.layout.chain.length, 0)
        self.assertEqual(verified.blocks.root, verified.header.prefix.root)
        wrong = bytearray(share)
        wrong[signed.header.layout.block_tree.offset] ^= 1
        with self.assertRaisesRegex(BadShare, "does not lead to the root"):
            verify(FINGERPRINT, 0, bytes(wrong))

    def test_leaf_of_its_own(self) -> None:
        """A chain that names another hash for the share's own leaf is refused."""
        number, other = 4 + 3, b"x" * 32
        for value, good in (
            (other, False),
            (MDMF_VERSION.version.block_trees[0][:32], True),
        ):
            share = bytearray(MDMF_SHARES[0])
            at = MDMF_VERSION.header.layout
            extra = CHAIN_ENTRY.pack(number, value)
            chain = MDMF_VERSION.version.chain(0) + extra
            # The parts behind the chain move, and nothing signs where they are.
            moved = evolve(
                at,
                chain=Part(at.chain.offset, len(chain)),
                signature=Part(at.signature.offset + 34, 256),
                public_key=Part(at.public_key.offset + 34, 294),
            )
            head = MDMF_VERSION.header.prefix.pack() + moved.pack(True)
            share[: len(head)] = head
            share[at.chain.offset : moved.public_key.end] = (
                chain + MDMF_VERSION.signature + MDMF_VERSION.public_key
            )
            if good:
                verify(FINGERPRINT, 0, bytes(share))
            else:
                with self.assertRaisesRegex(BadShare, "contradicts itself"):
                    verify(FINGERPRINT, 0, bytes(share))


class BlockTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        """Blocks are found and checked with the rows of the tree that they need."""
        share = MDMF_SHARES[1]
        verified = verify(FINGERPRINT, 1, share)
        self.assertEqual(len(verified.tree_parts(3)), 1)
        with self.assertRaises(KeyError):
            verified.check_block(3, b"x" * verified.block_part(range(3, 4)).length)
        blocks = blocks_of(verified, share)
        self.assertEqual([each.salt for each in blocks], [b"%016d" % n for n in range(5)])
        self.assertEqual([len(each.block) for each in blocks], [4, 4, 4, 4, 1])
        self.assertEqual(verified.block_part(range(1, 5)), Part(2167 + 20, 60 + 17))
        verified.check_tree(read_part(share, verified.whole_tree()))

    def test_damage(self) -> None:
        """A flipped byte in any section is an error, or not in what was read."""
        for number, share in ((0, SHARE_0), (2, MDMF_SHARES[2])):
            header = ShareHeader.parse(share)
            good = [
                bytes(b.block) for b in blocks_of(verify(FINGERPRINT, number, share), share)
            ]
            at = header.layout
            unread = {*range(at.private_key.offset, at.private_key.end)}
            if header.prefix.geometry.salted:
                unread |= {*range(at.public_key.end, at.data.offset)}
            places = {*range(len(header.pack()))} | {
                part.offset + step
                for part in (at.public_key, at.signature, at.chain, at.block_tree, at.data)
                for step in {*range(0, part.length, 37), part.length - 1}
            }
            places |= {at.private_key.offset, at.private_key.end - 1}
            for place in sorted(places):
                for bit in (1, 0x80):
                    wrong = bytearray(share)
                    wrong[place] ^= bit
                    try:
                        verified = verify(FINGERPRINT, number, bytes(wrong))
                        blocks = blocks_of(verified, bytes(wrong))
                        tree = verified.header.layout.block_tree
                        verified.check_tree(read_part(bytes(wrong), tree))
                    except BadShare:
                        self.assertNotIn(place, unread)
                        continue
                    # Offsets are not signed: one may be wrong of what was not read.
                    self.assertEqual([bytes(each.block) for each in blocks], good)
                    is_offset = header.prefix.size <= place < len(header.pack())
                    self.assertTrue(place in unread or is_offset, place)

    def test_every_node(self) -> None:
        """A whole tree is checked in each of its nodes, and in its length."""
        verified = verify(FINGERPRINT, 0, MDMF_SHARES[0])
        tree = read_part(MDMF_SHARES[0], verified.header.layout.block_tree)
        for at in range(0, len(tree), 32):
            wrong = bytearray(tree)
            wrong[at + 5] ^= 4
            with self.assertRaisesRegex(BadShare, "hash tree"):
                verified.check_tree(wrong)
        with self.assertRaisesRegex(BadShare, "it ends in its block tree"):
            verified.check_tree(tree[:-1])

    def test_too_large(self) -> None:
        """Blocks of segments that would not fit in memory are not asked for."""
        cut = MutableGeometry(1 << 40, 1, 5, 1 << 30, True)
        version = UnsignedVersion.of_trees(cut, 1, [bytes(tree_size(cut.leaves))] * 5)
        signed = version.sign(signing_key(), write_cap().write_key)
        parser = ShareParser(0, FINGERPRINT)
        for offset, data in signed.writes(0):
            parser.feed(offset, data)
        assert parser.share is not None  # its version is known, and can be replaced
        with self.assertRaisesRegex(SegmentTooLarge, "1073741824 bytes"):
            parser.share.block_part(range(1))

    def test_too_many_segments(self) -> None:
        """A tree that does not fit in memory is not read as a whole, only in pages."""
        cut = MutableGeometry(1 << 40, 1, 1, 1, True)
        layout = MutableLayout.planned(cut, 294, 1218)
        header = ShareHeader(Prefix(1, bytes(32), cut), layout)
        tree = PagedTree(bytes(32), cut.leaves)
        share = VerifiedShare(0, header, b"", b"", tree)
        with self.assertRaisesRegex(TooManySegments, f"has {1 << 40} segments"):
            share.whole_tree()
        parts = share.tree_parts(cut.segments - 1)
        self.assertLessEqual(sum(part.length for part in parts), 7 * 2048)
        self.assertLessEqual(parts[-1].end, layout.block_tree.end)

    def test_short_rows(self) -> None:
        """Rows that are cut off, and blocks that are, make a bad share."""
        share = MDMF_SHARES[0]
        verified = verify(FINGERPRINT, 0, share)
        (part,) = verified.tree_parts(0)
        for rows in ([], [b""], [read_part(share, part)[:-32]]):
            with self.assertRaisesRegex(BadShare, "too short"):
                verified.add_tree_parts(0, rows)
        verified.add_tree_parts(0, [read_part(share, part)])
        block = read_part(share, verified.block_part(range(1)))
        for wrong in (b"", block[:-1], block + b"\0"):
            with self.assertRaisesRegex(BadShare, "ends in its block of segment 0"):
                verified.check_block(0, wrong)

    def test_not_in_repr(self) -> None:
        """Neither shares nor blocks print what is in them."""
        verified = verify(FINGERPRINT, 0, SHARE_0)
        (block,) = blocks_of(verified, SHARE_0)
        self.assertNotIn("block=", repr(block))
        self.assertNotIn("public_key=b", repr(verified))
        self.assertNotIn("private_key=b", repr(MDMF_VERSION))
        self.assertIsInstance(MDMF_VERSION.version, UnsignedVersion)
