"""Published caps of known files, reproduced from the plaintext."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import ChkReadCap, parse_cap
from truckee.codec.cipher import crypt
from truckee.codec.encoder import FileEncoder, encode_segment
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.codec.secrets import KEY_SIZE, convergence_hasher
from truckee.codec.segments import Segmenter


class Vector(TypedDict):
    """One file: how it is made and the cap it has."""

    cap: str
    convergence_b64: str
    k: int
    n: int
    length: int
    seed_b64: str  # repeated and cut to the length
    segment_size: int  # the largest


VECTORS: list[Vector] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "chk.json").read_text("ascii")
)


def plaintext_of(vector: Vector) -> bytes:
    """Return the file."""
    seed = b64decode(vector["seed_b64"])
    return (seed * (vector["length"] // len(seed) + 1))[: vector["length"]]


def cap_of(vector: Vector, chunks: Callable[[bytes], Iterable[bytes]]) -> str:
    """Return the cap of the file when its plaintext comes in *chunks*."""
    plaintext = plaintext_of(vector)
    k, n = vector["k"], vector["n"]
    geometry = Encoding(k, n, vector["segment_size"]).geometry(len(plaintext))
    hasher = convergence_hasher(b64decode(vector["convergence_b64"]), geometry)
    for chunk in chunks(plaintext):
        hasher.update(chunk)
    key = hasher.digest()[:KEY_SIZE]
    encoder = FileEncoder(storage_index_of(key), k, n)
    segmenter = Segmenter(geometry.segment_size)

    def take(segment: bytearray) -> None:
        ciphertext = crypt(key, encoder.size, segment)
        encoder.absorb(ciphertext, encode_segment(ciphertext, k, n))

    for chunk in chunks(plaintext):
        for segment in segmenter.feed(chunk):
            take(segment)
    if segmenter.held:
        take(segmenter.finish())
    return str(encoder.finish(geometry.segment_size).verify_cap.read_cap(key))


def whole(plaintext: bytes) -> list[bytes]:
    """The whole file in one chunk."""
    return [plaintext]


def in_bytes(plaintext: bytes) -> Iterable[bytes]:
    """The file byte by byte."""
    return (plaintext[at : at + 1] for at in range(len(plaintext)))


def in_odd_chunks(plaintext: bytes) -> Iterable[bytes]:
    """The file in chunks of sizes that fit no segment: small, then ever larger."""
    at, size = 0, 1
    while at < len(plaintext):
        yield plaintext[at : at + size]
        at += size
        size = (size * 3 + 1) % 262_139


class VectorTests(SynchronousTestCase):
    def test_set(self) -> None:
        """Sixty files, one byte past a literal to many segments, 1-of-1 to 101-of-256."""
        self.assertEqual(len(VECTORS), 60)
        self.assertEqual(
            {(vector["k"], vector["n"]) for vector in VECTORS},
            {(1, 1), (1, 3), (2, 3), (3, 10), (71, 255), (101, 256)},
        )
        self.assertEqual(
            {vector["length"] for vector in VECTORS}, {56, 4096, 131073, 2097153, 8388607}
        )

    def test_caps(self) -> None:
        """Every cap reads back as the file's numbers."""
        for vector in VECTORS:
            cap = parse_cap(vector["cap"])
            assert isinstance(cap, ChkReadCap)
            self.assertEqual(str(cap), vector["cap"])
            self.assertEqual(
                (cap.needed, cap.total, cap.size),
                (vector["k"], vector["n"], vector["length"]),
            )

    def test_whole(self) -> None:
        """Every file given whole has its published cap."""
        for vector in VECTORS:
            self.assertEqual(cap_of(vector, whole), vector["cap"])

    def test_in_odd_chunks(self) -> None:
        """Every file given in odd chunks has its published cap."""
        for vector in VECTORS:
            self.assertEqual(cap_of(vector, in_odd_chunks), vector["cap"])

    def test_byte_by_byte(self) -> None:
        """Every small file given byte by byte has its published cap."""
        # One byte more than 128 KiB is the size that just fills the segments of most.
        small = [vector for vector in VECTORS if vector["length"] <= 131_073]
        self.assertEqual(len(small), 36)
        for vector in small:
            self.assertEqual(cap_of(vector, in_bytes), vector["cap"])
