"""The erasure code, against an independent one written here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import erasure, isal, speed

# Powers of 2 in GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.
POWERS = [1]
while len(POWERS) < 255:
    doubled = POWERS[-1] << 1
    POWERS.append(doubled ^ 0x11D if doubled > 255 else doubled)
LOGS = {power: exponent for exponent, power in enumerate(POWERS)}


def times(a: int, b: int) -> int:
    """The product of two elements."""
    return POWERS[(LOGS[a] + LOGS[b]) % 255] if a and b else 0


def matrix(needed: int, total: int) -> list[list[int]]:
    """Return the N rows of k factors: Vandermonde, made systematic by elimination."""
    rows = [[1] + [0] * (needed - 1)]
    rows += [[POWERS[r * c % 255] for c in range(needed)] for r in range(total - 1)]
    # Column operations that turn the top into the identity multiply by its inverse.
    for pivot in range(needed):
        other = next(c for c in range(pivot, needed) if rows[pivot][c])
        inverse = POWERS[-LOGS[rows[pivot][other]] % 255]
        for row in rows:
            row[pivot], row[other] = row[other], row[pivot]
            row[pivot] = times(row[pivot], inverse)
        factors = list(rows[pivot])
        for row in rows:
            for c in range(needed):
                if c != pivot:
                    row[c] ^= times(factors[c], row[pivot])
    return rows


def rows_of(needed: int, total: int) -> list[list[int]]:
    """Return the matrix as the code under test uses it: it codes the identity."""
    identity = bytearray(needed * needed)
    for i in range(needed):
        identity[i * needed + i] = 1
    return [list(bytes(block)) for block in erasure.encode(identity, needed, total)]


# What can compute here, by name: whether our own C does, and ISA-L.
WAYS = {
    name: (own, other)
    for name, own, other in (
        ("extension", True, True),
        ("ISA-L", False, True),
        ("zfec", False, False),
    )
    if own <= speed.products and other <= (isal.available or own)
}


@contextmanager
def computed_by(way: str) -> Iterator[None]:
    """Do with one of ``WAYS``, as if there were none before it."""
    was = speed.products, isal.available
    speed.products, isal.available = WAYS[way]
    try:
        yield
    finally:
        speed.products, isal.available = was


class EncodeTests(SynchronousTestCase):
    def test_example(self) -> None:
        """Three pieces give the check blocks of the example."""
        blocks = erasure.encode(bytes.fromhex("010203040506"), 3, 10)
        self.assertEqual(
            [bytes(block).hex() for block in blocks[:5]],
            ["0102", "0304", "0506", "092a", "11d2"],
        )

    def test_example_rows(self) -> None:
        """The factors for k = 3 are those of the example."""
        self.assertEqual(
            [bytes(row).hex() for row in rows_of(3, 10)[3:]],
            ["0f0806", "2d301c", "99e078", "0be7ed", "893bb3", "46f1b6", "bad962"],
        )

    def test_matrix(self) -> None:
        """The factors are the systematic Vandermonde matrix, for any k and N."""
        for needed, total in (
            (1, 1),
            (1, 2),
            (1, 256),
            (2, 3),
            (3, 10),
            (4, 4),
            (7, 20),
            (25, 100),
            (71, 255),
            (101, 256),
        ):
            self.assertEqual(rows_of(needed, total), matrix(needed, total), (needed, total))

    def test_one_block(self) -> None:
        """A block that is made alone, of columns too, is the one that all make."""
        segment = bytes(range(250)) * 6
        for way in WAYS:
            for needed, total in ((1, 1), (1, 4), (3, 10), (5, 5), (25, 100)):
                with self.subTest(way=way, needed=needed), computed_by(way):
                    blocks = erasure.encode(segment, needed, total)
                    primary = [memoryview(each) for each in blocks[:needed]]
                    for number, block in enumerate(blocks):
                        one = erasure.encode_one(primary, number, total)
                        self.assertEqual(bytes(one), bytes(block))
                        column = [each[7:19] for each in primary]
                        one = erasure.encode_one(column, number, total)
                        self.assertEqual(bytes(one), bytes(block)[7:19])

    def test_first_blocks_are_the_data(self) -> None:
        """The first k blocks are the segment in k pieces, not copied."""
        segment = bytearray(range(12))
        blocks = erasure.encode(segment, 3, 5)
        self.assertEqual(
            [bytes(b) for b in blocks[:3]], [b"\0\1\2\3", b"\4\5\6\7", b"\x08\x09\x0a\x0b"]
        )
        segment[0] = 99
        self.assertEqual(bytes(blocks[0])[0], 99)

    def test_total_does_not_matter(self) -> None:
        """A block is the same whatever N is."""
        segment = bytes(range(30))
        many = [bytes(b) for b in erasure.encode(segment, 3, 50)]
        few = [bytes(b) for b in erasure.encode(segment, 3, 5)]
        self.assertEqual(few, many[:5])

    def test_one_needed(self) -> None:
        """With k = 1 every block is the segment."""
        self.assertEqual([bytes(b) for b in erasure.encode(b"abc", 1, 4)], [b"abc"] * 4)


class DecodeTests(SynchronousTestCase):
    def test_every_choice(self) -> None:
        """All 120 choices of 3 of 10 blocks give the segment back."""
        segment = bytes(range(60))
        blocks = erasure.encode(segment, 3, 10)
        for numbers in combinations(range(10), 3):
            chosen = {number: blocks[number] for number in numbers}
            self.assertEqual(b"".join(erasure.decode(chosen, 3, 10)), segment, numbers)

    def test_wrong_count(self) -> None:
        """Fewer or more than k blocks are refused."""
        blocks = dict(enumerate(erasure.encode(b"abcdef", 3, 10)))
        self.assertRaises(ValueError, erasure.decode, blocks, 3, 10)
        self.assertRaises(ValueError, erasure.decode, {0: blocks[0], 5: blocks[5]}, 3, 10)

    def test_impossible_numbers(self) -> None:
        """A block number that no share has is refused, not looked up."""
        blocks = erasure.encode(b"abcdef", 3, 10)
        for number in (10, 12, 255, 256, 300, -1):
            bad = {0: blocks[0], 1: blocks[1], number: blocks[2]}
            self.assertRaises(ValueError, erasure.decode, bad, 3, 10)

    def test_unequal_lengths(self) -> None:
        """Blocks of different lengths cannot be of one segment."""
        blocks = erasure.encode(b"abcdef", 3, 10)
        for numbers in ((0, 1, 2), (0, 1, 9), (7, 8, 9)):
            bad = {number: blocks[number] for number in numbers}
            bad[numbers[1]] = bytes(blocks[numbers[1]])[:-1]
            self.assertRaises(ValueError, erasure.decode, bad, 3, 10)


class AnyShareTests(SynchronousTestCase):
    @settings(max_examples=60)
    @given(st.integers(1, 256), st.data())
    def test_any_k_of_n(self, total: int, data: st.DataObject) -> None:
        """Any k of N blocks, in any order, give the k pieces back."""
        needed = data.draw(st.integers(1, total))
        size = data.draw(st.integers(1, 5))
        segment = data.draw(st.binary(min_size=needed * size, max_size=needed * size))
        numbers = data.draw(st.permutations(range(total)))[:needed]
        for way in WAYS:
            with computed_by(way):
                blocks = erasure.encode(segment, needed, total)
                self.assertEqual(len(blocks), total)
                pieces = erasure.decode({n: blocks[n] for n in numbers}, needed, total)
            self.assertEqual(len(pieces), needed)
            self.assertEqual(b"".join(pieces), segment)


class PortableEncodeTests(EncodeTests):
    """All that again by zfec."""

    def setUp(self) -> None:
        """Do as if there were nothing else."""
        self.patch(speed, "products", False)
        self.patch(isal, "available", False)


class PortableDecodeTests(DecodeTests):
    """All that again by zfec."""

    setUp = PortableEncodeTests.setUp


class IsalEncodeTests(EncodeTests):
    """All that again by ISA-L."""

    def setUp(self) -> None:
        """Do as if the extension were not built."""
        if not isal.available:
            self.skipTest("ISA-L (libisal2) is not installed")
        self.patch(speed, "products", False)


class IsalDecodeTests(DecodeTests):
    """All that again by ISA-L."""

    setUp = IsalEncodeTests.setUp


class WayTests(SynchronousTestCase):
    """All ways to compute give the same blocks."""

    @settings(max_examples=60)
    @given(st.integers(1, 256), st.data())
    def test_same_blocks(self, total: int, data: st.DataObject) -> None:
        """Every block is the same byte for byte, for lengths that fit no vector, too."""
        needed = data.draw(st.integers(1, total))
        size = data.draw(st.integers(0, 200))
        segment = bytes(i * 7 % 251 for i in range(needed * size))
        found = set()
        for way in WAYS:
            with computed_by(way):
                found.add(tuple(map(bytes, erasure.encode(segment, needed, total))))
        self.assertEqual(len(found), 1)

    def test_any_buffer(self) -> None:
        """Views that cannot be written to and bytearrays are as good as bytes."""
        whole = bytes(range(12))
        for way in WAYS:
            with computed_by(way):
                right = [bytes(block) for block in erasure.encode(whole, 3, 5)]
                for segment in (bytearray(whole), memoryview(b"x" + whole)[1:]):
                    blocks = [bytes(block) for block in erasure.encode(segment, 3, 5)]
                    self.assertEqual(blocks, right)
