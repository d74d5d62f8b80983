"""The extension in C, beside the libraries that do the same."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.speed_cases import wrong_of
from tests.codec.test_erasure import times
from truckee.codec import encoder, hashes, speed

TOP = Path(__file__).parents[2]
# What runs once more without the extension: the codecs, and files through a whole grid.
PURE = [
    "tests/codec/test_encoder.py",
    "tests/codec/test_decoder.py::RoundTripTests",
    "tests/codec/test_hashes.py",
    "tests/codec/test_merkle.py",
    "tests/immutable/upload/test_uploader.py::SizeTests::test_shapes",
]
FRONT = b"2:ab,"
# Around the ends of the blocks of SHA-256 and of the widest registers.
LENGTHS = tuple(at + by for at in (1, 16, 32, 50, 55, 59, 64, 128) for by in (-1, 0, 1))


def twice(data: bytes) -> bytes:
    """SHA-256 of SHA-256."""
    return sha256(sha256(data).digest()).digest()


class SegmentTests(SynchronousTestCase):
    def test_random_segments(self) -> None:
        """Blocks and hashes are those of zfec and hashlib; see ``tests.soak.segments``."""
        random = Random(1)
        self.assertEqual([wrong for _ in range(50) for wrong in wrong_of(random)], [])

    def test_without(self) -> None:
        """With ``TRUCKEE_PURE`` the extension is not used, and all works as with it."""
        used = "from truckee.codec import speed; print(speed.hashes or speed.products)"
        self.assertEqual(self.run_pure("-c", used).strip(), "False")
        self.run_pure("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *PURE)

    def run_pure(self, *arguments: str) -> str:
        """Return what Python prints in a process of its own that does without."""
        environment = {**os.environ, "TRUCKEE_PURE": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=TOP,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout


class ExtensionCase(SynchronousTestCase):
    """Skipped where there is no extension, or no such processor."""

    def setUp(self) -> None:
        """Import what only the extension has."""
        if not speed.hashes:
            self.skipTest("not built here, or not for this processor")
        self.c = import_module("truckee.codec._speed")


class HashTests(ExtensionCase):
    def test_lengths(self) -> None:
        """Any two lengths side by side, with and without a prefix, alone and among more."""
        data = Random(2).randbytes(200)
        for front in (b"", FRONT, data[:63]):
            for one in LENGTHS:
                for other in LENGTHS:
                    pieces = [data[:one], data[7 : 7 + other], data[1 : 1 + one]]
                    expected = [twice(front + piece) for piece in pieces]
                    for count in (0, 1, 2, 3):
                        found = speed.hashes_of([front] * count, pieces[:count])
                        self.assertEqual(found, expected[:count], (front, one, other))

    @given(st.lists(st.tuples(st.binary(max_size=63), st.binary(max_size=400))))
    def test_prefixes(self, given: list[tuple[bytes, bytes]]) -> None:
        """Each piece has its own prefix, and its hash stands in its place."""
        found = speed.hashes_of(
            [front for front, _ in given], [piece for _, piece in given]
        )
        self.assertEqual(found, [twice(front + piece) for front, piece in given])

    @given(st.binary(max_size=63), st.lists(st.binary(max_size=200), max_size=8))
    def test_flat(self, front: bytes, pieces: list[bytes]) -> None:
        """The hash of all pieces goes on over any lengths, and each has its own hash."""
        flat, whole = speed.FlatHash(front, FRONT), b""
        for piece in pieces:
            self.assertEqual(flat.absorb(bytearray(piece)), twice(FRONT + piece))
            whole += piece
            self.assertEqual(flat.digest(), twice(front + whole))
        self.assertEqual(flat.digest(), twice(front + whole))

    def test_long(self) -> None:
        """Bytes are counted beyond 32 bits of bits."""
        piece, flat, whole = bytes(1 << 20), speed.FlatHash(b"", b""), sha256()
        for _ in range(515):
            flat.absorb(piece)
            whole.update(piece)
        self.assertEqual(flat.digest(), sha256(whole.digest()).digest())

    def test_rows(self) -> None:
        """Pairs are hashed in what stands around them."""
        row = Random(3).randbytes(64 * 9)
        for count in (0, 1, 2, 9):
            pairs = [row[at : at + 64] for at in range(0, 64 * count, 64)]
            expected = [
                twice(b"a" + pair[:32] + b"bb" + pair[32:] + b"c") for pair in pairs
            ]
            found = speed.row_above(b"a", b"bb", b"c", memoryview(row)[: 64 * count])
            self.assertEqual(found, b"".join(expected))

    def test_refused(self) -> None:
        """What does not fit is a ValueError."""
        flat = self.c.flat(b"")
        for call in (
            lambda: self.c.hashes([b""], []),
            lambda: self.c.hashes([bytes(64)], [b""]),
            lambda: self.c.hashes([b"", bytes(1000)], [b"", b""]),
            lambda: self.c.row_above(b"", b"", b"", bytes(63)),
            lambda: self.c.row_above(b"", b"", b"", bytes(96)),
            lambda: self.c.row_above(bytes(64), b"", b"", b""),
            lambda: self.c.flat(bytes(64)),
            lambda: self.c.absorb(flat[:-1], b"", b""),
            lambda: self.c.absorb(flat + b"x", b"", b""),
            lambda: self.c.absorb(flat, b"", bytes(64)),
            lambda: self.c.end(b""),
        ):
            self.assertRaises(ValueError, call)
        for call in (
            lambda: self.c.hashes([b""], ["text"]),
            lambda: self.c.hashes(1, []),
            lambda: self.c.end(None),
        ):
            self.assertRaises(TypeError, call)
        strided = memoryview(bytes(8))[::2]
        self.assertRaises(BufferError, self.c.hashes, [b""], [strided])


class ProductTests(ExtensionCase):
    @settings(max_examples=40)
    @given(st.integers(1, 9), st.integers(0, 9), st.sampled_from(LENGTHS), st.randoms())
    def test_levels(self, k: int, rows: int, size: int, random: Random) -> None:
        """Whatever instructions are used, each byte is the sum of products over GF(256)."""
        factors = [[random.randrange(256) for _ in range(k)] for _ in range(rows)]
        blocks = [bytes(random.randrange(256) for _ in range(size)) for _ in range(k)]
        expected = bytearray()
        for row in factors:
            for at in range(size):
                total = 0
                for factor, block in zip(row, blocks, strict=True):
                    total ^= times(factor, block[at])
                expected.append(total)
        tables = self.c.tables(b"".join(map(bytes, factors)))
        for level in range(self.c.LEVEL + 1):
            self.assertEqual(self.c.product(tables, blocks, level), expected, level)

    def test_every_product(self) -> None:
        """All 65,536 products of two bytes are right, with each kind of instructions."""
        every = bytes(range(256))
        for factor in range(256):
            expected = bytes(times(factor, value) for value in every)
            tables = self.c.tables(bytes([factor]))
            for level in range(self.c.LEVEL + 1):
                self.assertEqual(self.c.product(tables, [every], level), expected)

    def test_encode(self) -> None:
        """Blocks of no bytes, and no check blocks, are coded and hashed too."""
        for size, k, n in ((0, 3, 10), (0, 1, 1), (5, 1, 1), (6, 3, 3), (6, 3, 4)):
            segment = bytes(range(size))
            coded = encoder.encode_segment(segment, k, n)
            self.assertEqual(len(coded.blocks), n)
            self.assertEqual(b"".join(coded.blocks[:k]), segment)
            own = [hashes.block_hash(block) for block in coded.blocks]
            self.assertEqual(coded.block_hashes, own)

    def test_refused(self) -> None:
        """What does not fit is a ValueError."""
        tables, most = self.c.tables(bytes(6)), self.c.LEVEL + 1
        for call in (
            lambda: self.c.tables(bytes(65537)),
            lambda: self.c.product(tables, []),
            lambda: self.c.product(tables, [b""] * 4),
            lambda: self.c.product(tables[:-1], [b""] * 3),
            lambda: self.c.product(tables, [b"ab", b"ab", b"a"]),
            lambda: self.c.product(tables, [b"a", b"ab", b"ab"]),
            lambda: self.c.product(self.c.tables(bytes(257)), [b"a"]),
            lambda: self.c.product(b"", [b"a"] * 257),
            lambda: self.c.product(tables, [b"a"] * 3, most),
            lambda: self.c.product(tables, [b"a"] * 3, -1),
            lambda: self.c.encode(b"abcd", 3, tables, FRONT),
            lambda: self.c.encode(b"abc", 0, tables, FRONT),
            lambda: self.c.encode(b"abc", -1, tables, FRONT),
            lambda: self.c.encode(b"abc", 3, tables, bytes(64)),
            lambda: self.c.encode(b"abcd", 4, tables, FRONT),
            lambda: self.c.encode(bytes(257), 257, b"", FRONT),
        ):
            self.assertRaises(ValueError, call)
