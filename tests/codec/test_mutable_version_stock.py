"""Versions of mutable files, byte for byte as stock has them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import PRIVATE_KEY, signing_key, write_cap
from tests.codec.mutable_reader import contents, read_part, verify
from tests.codec.stock_mutable import Change, Make, Read, pattern, salts, work
from tests.codec.test_mdmf import changed, encode, spliced, version_of
from truckee.codec import sdmf
from truckee.codec.mdmf import Update, is_updatable
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import ShareHeader
from truckee.codec.mutable_secrets import encrypt_private_key
from truckee.codec.mutable_segment import EncodedSegment
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion

READ = write_cap().read_cap()
SEGMENT = 131073  # of MDMF with k = 3
# A file of three segments, and what is written into it: offset and length.
THREE = Make("MDMF", 3, 5, 300_000)
CHANGES = [
    (0, 1),
    (SEGMENT - 1, 2),
    (SEGMENT, SEGMENT),
    (10, 290_000),
    (299_999, 1),
    (300_000, 5),
    (2 * SEGMENT + 5, SEGMENT),
    (300_000, 3 * SEGMENT),
]
Encoded = tuple[UnsignedVersion, list[EncodedSegment]]


def sdmf_cases() -> list[Make]:
    """Return files around every boundary."""
    shapes = [(1, 1), (1, 3), (2, 3), (3, 10), (5, 5), (2, 16), (2, 17)]
    cases = [
        Make("SSK", k, n, size)
        for k, n in shapes
        for size in sorted({0, 1, k - 1, k, k + 1, 56})
    ]
    cases += [Make("SSK", 71, 255, size) for size in (0, 72)]
    # As long as a segment of MDMF, and longer.
    return cases + [Make("SSK", 3, 5, SEGMENT + more) for more in (-1, 0, 1, 200_000)]


def mdmf_cases() -> list[Make]:
    """Return files around every boundary."""
    shapes = [(1, 1), (2, 3), (3, 10)]
    cases = [
        Make("MDMF", k, n, size) for k, n in shapes for size in sorted({0, 1, k, k + 1})
    ]
    around = [SEGMENT + more for more in (-1, 0, 1, 3)]
    around += [2 * SEGMENT - 1, 2 * SEGMENT, 2 * SEGMENT + 1, 4 * SEGMENT + 1]
    cases += [Make("MDMF", 3, 4, size) for size in around]
    return [*cases, THREE, Make("MDMF", 71, 255, 5000)]


@cache
def stock_files() -> list[tuple[Make, dict[int, bytes]]]:
    """Return all cases and the shares that stock made of them."""
    cases = sdmf_cases() + mdmf_cases()
    made = work(PRIVATE_KEY, cases)
    for case, (cap, shares) in zip(cases, made, strict=True):
        assert cap == str(write_cap(case.format))
        assert sorted(shares) == list(range(case.total))
    return [(case, shares) for case, (_cap, shares) in zip(cases, made, strict=True)]


def encoded(case: Make) -> Encoded:
    """Return our version of a case."""
    plaintext, iv = pattern(case.size), next(salts(0))
    if case.format == "MDMF":
        cut = MutableGeometry.mdmf(case.size, case.needed, case.total)
        segments = encode(plaintext, cut)
        return version_of(segments, cut, 1), list(segments.values())
    made = sdmf.encode(plaintext, READ.read_key, iv, case.needed, case.total, 1)
    return made.version, made.segments


def signed_as(version: UnsignedVersion, share: bytes) -> SignedVersion:
    """Return a version with the signature that is in *share*, which fits."""
    verified = verify(READ.fingerprint, 0, share)
    assert verified.header.prefix == version.prefix
    private = encrypt_private_key(write_cap().write_key, signing_key())
    return SignedVersion(version, verified.signature, verified.public_key, private)


class StockTests(SynchronousTestCase):
    def test_same_bytes(self) -> None:
        """Given key, salts and signature, our shares are stock's, at every boundary."""
        for case, shares in stock_files():
            version, segments = encoded(case)
            signed = signed_as(version, shares[0])
            for number, share in shares.items():
                self.assertEqual(signed.share(number, segments), share, (case, number))
                header = ShareHeader.parse(share)
                self.assertEqual(is_updatable(header), case.format == "MDMF")

    def test_we_read_stock(self) -> None:
        """The first and the last k shares of stock's files give their contents."""
        for case, shares in stock_files():
            for first in {0, case.total - case.needed}:
                some = {n: shares[n] for n in range(first, first + case.needed)}
                self.assertEqual(contents(READ, some), pattern(case.size), case)

    def test_stock_reads_us(self) -> None:
        """Stock finds each of our files healthy and reads it, with read and write cap."""
        jobs: list[Any] = []
        cases = [case for case, _shares in stock_files()]
        for number, case in enumerate(cases):
            version, segments = encoded(case)
            signed = version.sign(signing_key(), write_cap().write_key)
            shares = {n: signed.share(n, segments) for n in range(case.total)}
            cap = write_cap(case.format)
            jobs.append(Read(str(cap if number % 2 else cap.read_cap()), shares))
        for case, (healthy, read) in zip(cases, work(PRIVATE_KEY, jobs), strict=True):
            self.assertTrue(healthy, case)
            self.assertEqual(read, pattern(case.size), case)


def apply_to(
    share: bytes, number: int, signed: SignedVersion, segments: Mapping[int, EncodedSegment]
) -> bytes:
    """Return a share with what a changed version writes into it."""
    changed_share = bytearray(share)
    blocks = [signed.block_write(number, n, each) for n, each in segments.items()]
    for offset, data in signed.writes(number) + blocks:
        changed_share += bytes(max(offset - len(changed_share), 0))
        changed_share[offset : offset + len(data)] = data
    return bytes(changed_share)


class ChangeTests(SynchronousTestCase):
    def our_change(
        self, offset: int, length: int
    ) -> tuple[UnsignedVersion, dict[int, EncodedSegment]]:
        """Return a new version of the file of three segments, and what changed."""
        shares = dict(stock_files())[THREE]
        old = ShareHeader.parse(shares[0]).prefix
        update = Update(old.geometry, offset, length)
        segments = changed(update, pattern(THREE.size), pattern(length, 7), 5)
        trees = []
        for number in range(THREE.total):
            verified = verify(READ.fingerprint, number, shares[number])
            trees.append(read_part(shares[number], verified.header.layout.block_tree))
            verified.check_tree(trees[-1])
        return update.apply(old.sequence + 1, trees, segments), segments

    def test_stock_reads_us(self) -> None:
        """Stock finds the files healthy that we changed in place, and reads them."""
        shares = dict(stock_files())[THREE]
        jobs = []
        for offset, length in CHANGES:
            version, segments = self.our_change(offset, length)
            signed = version.sign(signing_key(), write_cap().write_key)
            ours = {n: apply_to(shares[n], n, signed, segments) for n in shares}
            jobs.append(Read(str(write_cap("MDMF")), ours))
        for (offset, length), (healthy, read) in zip(
            CHANGES, work(PRIVATE_KEY, jobs), strict=True
        ):
            self.assertTrue(healthy)
            new = spliced(pattern(THREE.size), offset, pattern(length, 7))
            self.assertEqual(read, new)

    def test_same_bytes(self) -> None:
        """Given salts and signature, a change in place gives stock's bytes."""
        shares = dict(stock_files())[THREE]
        jobs = [Change(str(write_cap("MDMF")), shares, *each, 5) for each in CHANGES]
        for job, answer in zip(jobs, work(PRIVATE_KEY, jobs), strict=True):
            new = spliced(pattern(THREE.size), job.offset, pattern(job.length, 7))
            some = {number: answer[number] for number in (1, 3, 4)}
            self.assertEqual(contents(READ, some), new)
            version, segments = self.our_change(job.offset, job.length)
            signed = signed_as(version, answer[0])
            for number, share in shares.items():
                ours = apply_to(share, number, signed, segments)
                end = signed.header.layout.end
                self.assertEqual(ours[:end], answer[number][:end], (job.offset, number))
