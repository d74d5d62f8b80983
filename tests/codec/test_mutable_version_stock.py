"""Versions of mutable files, byte for byte as stock has them."""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import PRIVATE_KEY, signing_key, write_cap
from tests.codec.mutable_reader import contents, prove
from tests.codec.stock_mutable import Make, Read, pattern, salts, work
from truckee.codec import sdmf
from truckee.codec.mutable_secrets import encrypt_private_key
from truckee.codec.mutable_segment import EncodedSegment
from truckee.codec.mutable_version import SignedVersion, UnsignedVersion

READ = write_cap().read_cap()
SEGMENT = 131073  # of MDMF with k = 3
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


@cache
def stock_files() -> list[tuple[Make, dict[int, bytes]]]:
    """Return all cases and the shares that stock made of them."""
    cases = sdmf_cases()
    made = work(PRIVATE_KEY, cases)
    for case, (cap, shares) in zip(cases, made, strict=True):
        assert cap == str(write_cap(case.format))
        assert sorted(shares) == list(range(case.total))
    return [(case, shares) for case, (_cap, shares) in zip(cases, made, strict=True)]


def encoded(case: Make) -> Encoded:
    """Return our version of a case."""
    plaintext, iv = pattern(case.size), next(salts(0))
    made = sdmf.encode(plaintext, READ.read_key, iv, case.needed, case.total, 1)
    return made.version, made.segments


def signed_as(version: UnsignedVersion, share: bytes) -> SignedVersion:
    """Return a version with the signature that is in *share*, which fits."""
    proved = prove(READ.fingerprint, 0, share)
    assert proved.header.prefix == version.prefix
    private = encrypt_private_key(write_cap().write_key, signing_key())
    return SignedVersion(version, proved.signature, proved.public_key, private)


class StockTests(SynchronousTestCase):
    def test_same_bytes(self) -> None:
        """Given key, salts and signature, our shares are stock's, at every boundary."""
        for case, shares in stock_files():
            version, segments = encoded(case)
            signed = signed_as(version, shares[0])
            for number, share in shares.items():
                self.assertEqual(signed.share(number, segments), share, (case, number))

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
