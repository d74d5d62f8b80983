"""Tests of truckee.mutable.versions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import signing_key, write_cap
from truckee.codec import sdmf
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_share import ShareParser, VerifiedShare
from truckee.mutable.versions import Place, Versions, numbers_of


@define(eq=False)
class NamedServer:
    """A server of which only the name counts."""

    name: str


SERVERS = [NamedServer(f"s{number}") for number in range(10)]


@cache
def shares_of(sequence: int, text: bytes = b"text") -> list[VerifiedShare]:
    """Return the ten shares, 3 of which are needed, of a version."""
    cap = write_cap()
    read_key = cap.read_cap().read_key
    encoded = sdmf.encode(text, read_key, os.urandom(16), 3, 10, sequence)
    signed = encoded.version.sign(signing_key(), cap.write_key)
    found = []
    for number in range(10):
        parser = ShareParser(number, cap.fingerprint)
        parser.feed(0, encoded.share(number, signed), last=True)
        assert parser.share is not None
        found.append(parser.share)
    return found


def versions(*sets: tuple[list[VerifiedShare], Iterable[int]]) -> Versions:
    """Return what is known when servers hold these shares, share n on server n."""
    known = Versions()
    for shares, numbers in sets:
        for number in numbers:
            known.shares[Place(SERVERS[number], number)] = shares[number]  # type: ignore[arg-type]
    return known


def prefix_of(shares: list[VerifiedShare]) -> Prefix:
    """Return the version that *shares* are of."""
    return shares[0].header.prefix


class BestTests(SynchronousTestCase):
    """Which version is read, and which number the next one gets."""

    def test_nothing(self) -> None:
        known = Versions()
        self.assertIsNone(known.best)
        self.assertEqual(known.next_sequence, 1)
        self.assertFalse(known.is_healthy or known.is_forked or known.hidden)

    def test_one(self) -> None:
        one = shares_of(7)
        known = versions((one, range(10)))
        self.assertEqual(known.best, prefix_of(one))
        self.assertEqual(known.next_sequence, 8)
        self.assertTrue(known.is_healthy)

    def test_newer_unrecoverable(self) -> None:
        # Eight shares of 7 and two of 9: reads return 7, a write makes 10.
        old, new = shares_of(7), shares_of(9)
        known = versions((old, range(8)), (new, range(8, 10)))
        self.assertEqual(known.best, prefix_of(old))
        self.assertEqual(known.hidden, [prefix_of(new)])
        self.assertEqual(known.unrecoverable, [prefix_of(new)])
        self.assertEqual(known.next_sequence, 10)
        self.assertFalse(known.is_healthy)

    def test_older_unrecoverable(self) -> None:
        old, new = shares_of(7), shares_of(9)
        known = versions((old, range(2)), (new, range(2, 10)))
        self.assertEqual(known.best, prefix_of(new))
        self.assertEqual(known.hidden, [])
        self.assertFalse(known.is_healthy)

    def test_fork(self) -> None:
        # Five shares each of two versions 7: the larger root hash counts.
        forks = sorted(
            (shares_of(7, b"a"), shares_of(7, b"b")), key=lambda it: prefix_of(it).root
        )
        known = versions((forks[0], range(5)), (forks[1], range(5, 10)))
        self.assertEqual(known.best, prefix_of(forks[1]))
        self.assertTrue(known.is_forked)
        self.assertEqual(known.next_sequence, 8)

    def test_older_recoverable(self) -> None:
        old, new = shares_of(7), shares_of(8)
        known = versions((old, range(5)), (new, range(5, 10)))
        self.assertEqual(known.recoverable, [prefix_of(new), prefix_of(old)])
        self.assertFalse(known.is_forked or known.is_healthy)

    def test_distinct_shares_count(self) -> None:
        # Three places with two numbers are too few for three.
        one, known = shares_of(7), Versions()
        for server, number in ((0, 0), (1, 0), (2, 1)):
            known.shares[Place(SERVERS[server], number)] = one[number]  # type: ignore[arg-type]
        self.assertIsNone(known.best)
        self.assertEqual(known.hidden, [prefix_of(one)])
        self.assertEqual(numbers_of(known.of(prefix_of(one))), {0, 1})

    def test_unknown_version(self) -> None:
        self.assertEqual(versions((shares_of(7), [0])).of(prefix_of(shares_of(9))), {})
