"""From shares to ciphertext: all that is true is read, all that is not is refused."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.test_encoder import CIPHERTEXT, INDEX, Encoded, encode
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof, join_segment, prove_segment
from truckee.codec.encoder import EncodedSegment, FileEncoder, encode_segment
from truckee.codec.geometry import MAX_SEGMENT_SIZE, Encoding, Geometry
from truckee.codec.hashes import (
    HASH_SIZE,
    block_hash,
    padding_leaf_hash,
    segment_hash,
    ueb_hash,
)
from truckee.codec.merkle import (
    CHAIN_ENTRY,
    PagedTree,
    build_tree,
    pack_chain,
)
from truckee.codec.netstring import netstring
from truckee.codec.share import HEADER_SIZE, ShareLayout, ShareOffsets
from truckee.codec.ueb import pack_ueb


def data_of(size: int) -> bytes:
    """Return *size* bytes without a pattern."""
    return Random(size).randbytes(size)


def fill(tree: PagedTree, leaf: int, share: bytes, start: int) -> None:
    """Read what *leaf* needs from the packed tree at *start*."""
    ranges = tree.missing(leaf)
    tree.add(leaf, [share[start + at : start + at + size] for at, size in ranges])


def open_share(
    cap: ChkVerifyCap, number: int, share: bytes
) -> tuple[FileProof, ShareProof]:
    """Return what a share proves about the file and itself."""
    offsets = ShareOffsets.parse(share[:HEADER_SIZE], cap.total)
    at, size = offsets.proof
    chain, ueb = offsets.split_proof(share[at : at + size])
    file = FileProof.check(cap, ueb)
    return file, ShareProof.check(file, number, offsets, chain)


def read_segment(
    file: FileProof, segment: int, shares: Mapping[int, tuple[ShareProof, bytes]]
) -> bytes:
    """Return one segment from k opened shares."""
    blocks = {}
    for proof, share in shares.values():
        fill(file.crypttext, segment, share, proof.offsets.crypttext_tree)
        fill(proof.blocks, segment, share, proof.offsets.block_tree)
        at, size = proof.block_range(file.geometry, range(segment, segment + 1))
        block = share[at : at + size]
        blocks[proof] = block
    bad, found = prove_segment(file, segment, blocks)
    if bad != {proof for proof in blocks if not proof.is_good(segment, blocks[proof])}:
        raise AssertionError("what is bad is not what is not good")
    if bad:
        raise ValueError("a bad block")
    if found != join_segment(file, segment, {p.number: blocks[p] for p in blocks}):
        raise AssertionError("good blocks were joined in two ways")
    return found


def read_file(cap: ChkVerifyCap, shares: Mapping[int, bytes]) -> bytes:
    """Return the ciphertext from k shares, ValueError if any part of one is wrong."""
    opened = {}
    for number, share in shares.items():
        file, proof = open_share(cap, number, share)
        opened[number] = proof, share
    segments = range(file.geometry.segments)
    return b"".join(read_segment(file, segment, opened) for segment in segments)


def shares_of(encoded: Encoded, layout: ShareLayout) -> dict[int, bytes]:
    """Return all shares."""
    total = encoded.file.geometry.total
    return {number: encoded.share(number, layout) for number in range(total)}


def put_together(version: int, pieces: list[tuple[str, bytes]], junk: int = 0) -> bytes:
    """
    Return a share made by hand: named sections and nameless gaps, in any order.

    *junk* stands in the fields that nobody reads.
    """
    width = 4 if version == 1 else 8
    at = 4 + 8 * width
    offsets = {}
    body = b""
    for name, data in pieces:
        offsets[name] = at + len(body)
        body += data
    order = ["data", "crypttext", "blocks", "chain", "ueb"]
    start, crypttext, blocks, chain, ueb = (offsets[name] for name in order)
    fields = (junk, junk, start, junk, crypttext, blocks, chain, ueb)
    packed = b"".join(field.to_bytes(width, "big") for field in fields)
    return version.to_bytes(4, "big") + packed + body


def sections(encoded: Encoded, number: int, version: int = 2) -> dict[str, bytes]:
    """Return the sections of a share by name."""
    layout = ShareLayout(version, encoded.file.geometry, 0)
    share = encoded.share(number, layout)
    return {
        "data": share[layout.data : layout.crypttext_tree],
        "crypttext": share[layout.crypttext_tree : layout.block_tree],
        "blocks": share[layout.block_tree : layout.chain],
        "chain": share[layout.chain : layout.ueb],
        "ueb": share[layout.ueb :],
    }


class RoundTripTests(SynchronousTestCase):
    @settings(max_examples=60)
    @given(st.binary(min_size=1, max_size=2000), st.integers(1, 40), st.data())
    def test_any_k_shares(self, ciphertext: bytes, total: int, data: st.DataObject) -> None:
        """Any k shares of either layout, mixed too, give the ciphertext back."""
        needed = data.draw(st.integers(1, total))
        largest = data.draw(st.integers(1, 1500))
        encoding = Encoding(needed, total, max(largest, len(ciphertext) // 150 + 1))
        geometry = encoding.geometry(len(ciphertext))
        if data.draw(st.booleans()):
            geometry = Geometry(
                len(ciphertext), needed, total, encoding.streaming_segment_size
            )
        encoded = encode(ciphertext, needed, total, geometry.segment_size)
        layouts = ShareLayout.stock(geometry), ShareLayout.streamed(geometry)
        numbers = data.draw(st.permutations(range(total)))[:needed]
        shares = {n: encoded.share(n, data.draw(st.sampled_from(layouts))) for n in numbers}
        self.assertEqual(read_file(encoded.file.verify_cap, shares), ciphertext)

    def test_every_choice(self) -> None:
        """All 120 choices of 3 of 10 shares give the example's ciphertext back."""
        encoded = encode(CIPHERTEXT, 3, 10, 57)
        shares = shares_of(encoded, ShareLayout.stock(encoded.file.geometry))
        for numbers in combinations(range(10), 3):
            chosen = {number: shares[number] for number in numbers}
            self.assertEqual(read_file(encoded.file.verify_cap, chosen), CIPHERTEXT)

    def test_many_segments(self) -> None:
        """Files whose trees have several pages are read, the last segment first."""
        ciphertext = data_of(3 * 4999 + 1)
        encoded = encode(ciphertext, 1, 3, 3)
        share = encoded.share(2, ShareLayout.streamed(encoded.file.geometry))
        file, proof = open_share(encoded.file.verify_cap, 2, share)
        self.assertEqual(file.geometry.segments, 5000)
        for segment in (4999, 0, 2500, 63, 64):
            read = read_segment(file, segment, {2: (proof, share)})
            self.assertEqual(read, ciphertext[3 * segment : 3 * segment + 3])

    def test_large_segment(self) -> None:
        """Segments of ordinary size and a tail go through."""
        geometry = Encoding(2, 3, 1 << 17).geometry(300_001)
        ciphertext = data_of(300_001)
        encoded = encode(ciphertext, 2, 3, geometry.segment_size, chunk=70_001)
        shares = shares_of(encoded, ShareLayout.stock(geometry))
        chosen = {1: shares[1], 2: shares[2]}
        self.assertEqual(read_file(encoded.file.verify_cap, chosen), ciphertext)


class ToleranceTests(SynchronousTestCase):
    """What others may write, and what they may not."""

    def setUp(self) -> None:
        self.ciphertext = data_of(200)
        self.encoded = encode(self.ciphertext, 3, 10, 60)
        self.cap = self.encoded.file.verify_cap

    def read(self, make: list[bytes]) -> bytes:
        """Read the file from hand-made shares 0, 4 and 9."""
        return read_file(self.cap, dict(zip((0, 4, 9), make, strict=True)))

    def made(
        self, *order: str, version: int = 2, junk: int = 0, **changed: bytes
    ) -> list[bytes]:
        """Return shares with sections in *order*; a name not a section's is a gap."""
        made = []
        for number in (0, 4, 9):
            parts = {**sections(self.encoded, number, version), **changed}
            pieces = [(name, parts[name]) for name in order]
            made.append(put_together(version, pieces, junk))
        return made

    STOCK = ("data", "crypttext", "blocks", "chain", "ueb")

    def test_unused_fields(self) -> None:
        """Sizes and the plaintext tree's offset may be nonsense."""
        for version, junk in ((1, 0), (1, (1 << 32) - 1), (2, 0), (2, (1 << 64) - 1)):
            made = self.made(*self.STOCK, version=version, junk=junk)
            self.assertEqual(self.read(made), self.ciphertext)

    def test_gaps(self) -> None:
        """Gaps do not matter, but for one between chain and UEB."""
        for order in (
            ("gap", *self.STOCK),
            ("data", "gap", "crypttext", "blocks", "chain", "ueb"),
            ("data", "crypttext", "gap", "blocks", "chain", "ueb"),
            ("data", "crypttext", "blocks", "gap", "chain", "ueb"),
            (*self.STOCK, "gap"),
        ):
            for gap in (bytes(5), bytes(32), b"\xff" * 5000):
                made = self.made(*order, gap=gap)
                self.assertEqual(self.read(made), self.ciphertext)
        made = self.made("data", "crypttext", "blocks", "chain", "gap", "ueb", gap=bytes(5))
        self.assertRaises(ValueError, self.read, made)

    def test_order(self) -> None:
        """Sections may stand in any order with the chain before the UEB."""
        for order in (
            ("crypttext", "blocks", "chain", "ueb", "data"),
            ("blocks", "chain", "ueb", "data", "crypttext"),
            ("chain", "ueb", "blocks", "crypttext", "data"),
        ):
            self.assertEqual(self.read(self.made(*order)), self.ciphertext)

    def test_chains(self) -> None:
        """Chains may be in any order and hold more, but not lack the share's own leaf."""
        for number in (0, 4, 9):
            parts = sections(self.encoded, number)
            entries = list(CHAIN_ENTRY.iter_unpack(parts["chain"]))
            own = 15 + number
            root = parts["ueb"].split(b"share_root_hash:32:")[1][:HASH_SIZE]
            for chain, good in (
                (entries[::-1], True),
                ([(0, root), *entries], True),
                ([(30, bytes(HASH_SIZE)), *entries], True),
                ([entry for entry in entries if entry[0] != own], False),
                (entries[1:], False),
            ):
                parts["chain"] = b"".join(CHAIN_ENTRY.pack(*entry) for entry in chain)
                share = put_together(2, [(name, parts[name]) for name in self.STOCK])
                if good:
                    open_share(self.cap, number, share)
                else:
                    self.assertRaises(ValueError, open_share, self.cap, number, share)

    def test_ueb_length(self) -> None:
        """A UEB length beyond the share's end is refused."""
        ueb = sections(self.encoded, 0)["ueb"]
        long = (len(ueb) - 8 + 1).to_bytes(8, "big") + ueb[8:]
        self.assertRaises(ValueError, self.read, self.made(*self.STOCK, ueb=long))

    def test_version(self) -> None:
        """Shares of an unknown version are refused."""
        made = [b"\0\0\0\3" + share[4:] for share in self.made(*self.STOCK)]
        self.assertRaises(ValueError, self.read, made)

    def test_segment_sizes(self) -> None:
        """Any segment size does, also one much larger than the file."""
        for segment_size in (3, 201, 1048578, 131073, 3_000_000):
            encoded = encode(self.ciphertext, 3, 10, segment_size)
            layout = ShareLayout.streamed(encoded.file.geometry)
            chosen = {n: encoded.share(n, layout) for n in (2, 5, 8)}
            self.assertEqual(read_file(encoded.file.verify_cap, chosen), self.ciphertext)

    def test_short_files(self) -> None:
        """Files short enough for a literal cap are read when somebody stored them."""
        for size in (1, 20):
            encoded = encode(data_of(size), 3, 10, 1048578)
            layout = ShareLayout.streamed(encoded.file.geometry)
            chosen = {n: encoded.share(n, layout) for n in (2, 5, 8)}
            self.assertEqual(read_file(encoded.file.verify_cap, chosen), data_of(size))

    def test_few_and_many_shares(self) -> None:
        """One share, and 256 of them, are read as others are."""
        for needed, total in ((1, 1), (1, 256), (256, 256), (255, 256)):
            geometry = Encoding(needed, total, 512).geometry(1000)
            encoded = encode(data_of(1000), needed, total, geometry.segment_size)
            layout = ShareLayout.stock(encoded.file.geometry)
            last = range(total - needed, total)
            chosen = {n: encoded.share(n, layout) for n in last}
            self.assertEqual(read_file(encoded.file.verify_cap, chosen), data_of(1000))

    def test_other_uebs(self) -> None:
        """Only the segment size and two roots of a UEB count; its k, N and size do not."""
        file = self.encoded.file
        ueb = file.ueb
        for old, new in (
            (b"num_segments:1:4,", b"num_segments:2:99,"),
            (b"codec_name:3:crs,", b"codec_name:3:xyz,"),
            (b"codec_params:7:60-3-10,crypt", b"codec_params:5:1-1-1,crypt"),
            (b"needed_shares:1:3,", b""),
            (b"total_shares:2:10,", b"total_shares:1:4,unknown:0:,"),
            (b"size:3:200,tail", b"size:1:1,tail"),
        ):
            self.assertIn(old, ueb)
            other = ueb.replace(old, new)
            cap = ChkVerifyCap(INDEX, ueb_hash(other), 3, 10, 200)
            proof = FileProof.check(cap, other)
            self.assertEqual(proof.geometry, file.geometry)
            self.assertEqual(proof.crypttext.root, file.crypttext_tree[:HASH_SIZE])

    def test_ueb_must_match(self) -> None:
        """A UEB that the cap does not name is not even parsed."""
        for ueb in (b"", self.encoded.file.ueb + b"x", b"not a UEB"):
            error = self.assertRaises(ValueError, FileProof.check, self.cap, ueb)
            self.assertIn("the cap names", str(error))

    def test_impossible_segments(self) -> None:
        """A true UEB with segments that cannot be is refused, and no memory is taken."""
        for size in (b"0", b"59", b"99999999999999999999", b"%d" % (3 << 30)):
            ueb = self.encoded.file.ueb.replace(
                b"segment_size:" + netstring(b"60"), b"segment_size:" + netstring(size)
            )
            cap = ChkVerifyCap(INDEX, ueb_hash(ueb), 3, 10, 200)
            self.assertRaises(ValueError, FileProof.check, cap, ueb)

    def test_largest_segment(self) -> None:
        """The largest segments that are written are also read."""
        encoding = Encoding(255, 256, MAX_SEGMENT_SIZE)
        geometry = encoding.geometry(1 << 40)
        ueb = pack_ueb(geometry, bytes(32), bytes(32), bytes(32))
        cap = ChkVerifyCap(INDEX, ueb_hash(ueb), 255, 256, 1 << 40)
        self.assertEqual(FileProof.check(cap, ueb).geometry, geometry)

    def test_cap_with_other_numbers(self) -> None:
        """k, N and size of the cap rule: with other ones the shares are not the file's."""
        layout = ShareLayout.stock(self.encoded.file.geometry)
        shares = {n: self.encoded.share(n, layout) for n in (0, 4, 9)}
        for needed, total, size in (
            (2, 10, 200),
            (4, 10, 200),
            (3, 9, 200),
            (3, 17, 200),
            (3, 10, 199),
            (3, 10, 201),
            (3, 10, 1 << 60),
            (3, 2, 200),
            (0, 10, 200),
            (3, 10, 0),
        ):
            cap = ChkVerifyCap(INDEX, self.cap.ueb_hash, needed, total, size)
            chosen = dict(list(shares.items())[: max(1, needed)])
            if (needed, total) == (3, 9):
                # Share 9 is none of nine.
                self.assertRaises(ValueError, open_share, cap, 9, shares[9])
            else:
                self.assertRaises(ValueError, read_file, cap, chosen)


class CorruptionTests(SynchronousTestCase):
    def outcome(self, encoded: Encoded, shares: dict[int, bytes]) -> bytes | None:
        """Return what is read, None when it is refused."""
        try:
            return read_file(encoded.file.verify_cap, shares)
        except ValueError:
            return None

    def test_every_byte(self) -> None:
        """A changed byte anywhere in a share is refused or makes no difference."""
        ciphertext = data_of(70)
        encoded = encode(ciphertext, 2, 3, 30)
        geometry = encoded.file.geometry
        for layout in (ShareLayout.stock(geometry), ShareLayout.streamed(geometry)):
            shares = {n: encoded.share(n, layout) for n in (1, 2)}
            harmless = set()
            for at in range(len(shares[2])):
                for flip in (0x01, 0x80, 0xFF):
                    bad = bytearray(shares[2])
                    bad[at] ^= flip
                    read = self.outcome(encoded, {1: shares[1], 2: bytes(bad)})
                    self.assertIn(read, (None, ciphertext), at)
                    if read is not None:
                        harmless.add(at)
            # Nothing of the data may change, nor of the chain and the UEB.
            self.assertFalse(harmless & set(range(layout.data, layout.data + 35)))
            self.assertFalse(harmless & set(range(layout.chain, layout.size)))

    @settings(max_examples=150)
    @given(st.data())
    def test_several_bytes(self, data: st.DataObject) -> None:
        """Changes in several places of several shares never give other bytes."""
        ciphertext = data_of(500)
        encoded = encode(ciphertext, 3, 6, 99)
        layout = ShareLayout.stock(encoded.file.geometry)
        numbers = data.draw(st.permutations(range(6)))[:3]
        shares = {n: bytearray(encoded.share(n, layout)) for n in numbers}
        for _change in range(data.draw(st.integers(1, 4))):
            share = shares[data.draw(st.sampled_from(numbers))]
            share[data.draw(st.integers(0, len(share) - 1))] ^= data.draw(
                st.integers(1, 255)
            )
        read = self.outcome(encoded, {n: bytes(share) for n, share in shares.items()})
        self.assertIn(read, (None, ciphertext))

    def test_cut_short(self) -> None:
        """A share cut anywhere is refused."""
        encoded = encode(data_of(70), 2, 3, 30)
        geometry = encoded.file.geometry
        for layout in (ShareLayout.stock(geometry), ShareLayout.streamed(geometry)):
            shares = {n: encoded.share(n, layout) for n in (1, 2)}
            for length in range(layout.size):
                cut = {1: shares[1], 2: shares[2][:length]}
                self.assertIsNone(self.outcome(encoded, cut), length)

    def test_header_not_written(self) -> None:
        """A streamed share whose header never came is no share."""
        encoded = encode(data_of(70), 2, 3, 30)
        share = encoded.share(0, ShareLayout.streamed(encoded.file.geometry))
        unfinished = bytes(HEADER_SIZE) + share[HEADER_SIZE:]
        self.assertRaises(ValueError, open_share, encoded.file.verify_cap, 0, unfinished)

    def test_under_another_number(self) -> None:
        """A share stored under another's number is refused, its neighbour's too."""
        encoded = encode(data_of(70), 2, 4, 30)
        layout = ShareLayout.stock(encoded.file.geometry)
        good = encoded.share(1, layout)
        for number in (0, 2, 3):
            moved = {1: good, number: good}
            self.assertIsNone(self.outcome(encoded, moved))

    def test_of_another_file(self) -> None:
        """A share of another file is refused."""
        one, other = encode(data_of(70), 2, 3, 30), encode(data_of(71), 2, 3, 30)
        share = other.share(0, ShareLayout.stock(other.file.geometry))
        self.assertRaises(ValueError, open_share, one.file.verify_cap, 0, share)

    def test_numbers_that_no_share_has(self) -> None:
        """A share number of N or more is refused, though its chain leads to the root."""
        encoded = encode(data_of(70), 2, 10, 30)
        layout = ShareLayout.stock(encoded.file.geometry)
        share = encoded.share(3, layout)
        file, proof = open_share(encoded.file.verify_cap, 3, share)
        trees = [
            build_tree([block_hash(blocks[n]) for blocks in encoded.blocks])
            for n in range(10)
        ]
        tree = build_tree([block_tree[:HASH_SIZE] for block_tree in trees])
        for number in (10, 12, 15):
            chain = pack_chain(tree, number, 16)
            self.assertIn(padding_leaf_hash(number), chain)
            self.assertRaises(
                ValueError, ShareProof.check, file, number, proof.offsets, chain
            )
        # Below the share tree's leaves stand the trees of the shares.
        below = CHAIN_ENTRY.pack(31, trees[0][32:64]) + CHAIN_ENTRY.pack(
            32, trees[0][64:96]
        )
        chain = below + pack_chain(tree, 0, 10)
        self.assertRaises(ValueError, ShareProof.check, file, 16, proof.offsets, chain)
        self.assertRaises(ValueError, ShareProof.check, file, -1, proof.offsets, chain)


class LiarTests(SynchronousTestCase):
    """Uploaders who commit to blocks that are not of one segment."""

    def test_blocks_of_another_segment(self) -> None:
        """Blocks that are all as promised but decode to something else are refused."""
        segment = data_of(30)
        coded = encode_segment(segment, 3, 5)
        wrong = encode_segment(bytes(30), 3, 5)
        blocks = [*coded.blocks[:4], wrong.blocks[4]]
        hashes = [block_hash(block) for block in blocks]
        encoder = FileEncoder(INDEX, 3, 5)
        encoder.absorb(segment, EncodedSegment(blocks, hashes))
        encoded = Encoded(encoder.finish(30), [[bytes(block) for block in blocks]])
        shares = shares_of(encoded, ShareLayout.stock(encoded.file.geometry))
        for numbers in combinations(range(5), 3):
            chosen = {number: shares[number] for number in numbers}
            cap = encoded.file.verify_cap
            if 4 in numbers:
                error = self.assertRaises(ValueError, read_file, cap, chosen)
                self.assertIn("the decoded segment", str(error))
            else:
                self.assertEqual(read_file(cap, chosen), segment)

    def test_blocks_of_another_length(self) -> None:
        """A segment shorter than its place in the file is refused, though promised."""
        short = data_of(15)
        ueb = pack_ueb(Geometry(30, 3, 5, 30), bytes(32), segment_hash(short), bytes(32))
        file = FileProof.check(ChkVerifyCap(INDEX, ueb_hash(ueb), 3, 5, 30), ueb)
        blocks = dict(enumerate(encode_segment(short, 3, 5).blocks))
        for numbers in ((0, 1, 2), (0, 3, 4)):
            chosen = {number: blocks[number] for number in numbers}
            self.assertRaises(ValueError, join_segment, file, 0, chosen)

    def test_blocks_of_several_lengths(self) -> None:
        """Blocks of different lengths are refused."""
        ciphertext = data_of(30)
        encoded = encode(ciphertext, 3, 5, 30)
        file = FileProof.check(encoded.file.verify_cap, encoded.file.ueb)
        blocks = encoded.blocks[0]
        bad = {0: blocks[0], 3: blocks[3][:-1], 4: blocks[4]}
        self.assertRaises(ValueError, join_segment, file, 0, bad)

    def test_count(self) -> None:
        """A segment is joined from exactly k blocks."""
        encoded = encode(data_of(30), 3, 5, 30)
        file = FileProof.check(encoded.file.verify_cap, encoded.file.ueb)
        blocks = dict(enumerate(encoded.blocks[0]))
        self.assertRaises(ValueError, join_segment, file, 0, blocks)
        self.assertRaises(ValueError, join_segment, file, 0, {})

    def test_unknown_leaf(self) -> None:
        """Nothing is joined while the segment's hash is not known."""
        ciphertext = data_of(60)
        encoded = encode(ciphertext, 3, 5, 30)
        file = FileProof.check(encoded.file.verify_cap, encoded.file.ueb)
        blocks = dict(enumerate(encoded.blocks[0][:3]))
        self.assertRaises(KeyError, join_segment, file, 0, blocks)
