"""Which storage directories a grid had, and which were replaced."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.node import directory_record
from truckee.node.directory_record import (
    RECORD,
    DirectoryRecord,
    RecordBusy,
    Remembered,
    Replaced,
)

A, B, C = (bytes([number]) * 20 for number in (1, 2, 3))
P, Q = Path("/p"), Path("/q")


class RememberedTests(SynchronousTestCase):
    def test_other(self) -> None:
        """Only what is unknown, where something else was, is another disk."""
        known = Remembered().seen(A, P).seen(B, Q)
        self.assertTrue(known.is_other(P, C))
        self.assertFalse(known.is_other(P, B), "they changed places")
        self.assertFalse(known.is_other(Path("/new"), C))
        self.assertEqual(known.seen(A, Q).seen(B, P).at(Q), A)

    def test_replaced(self) -> None:
        """One is replaced once the new one is used, be it at the same path."""
        for place in (P, Q):
            known = Remembered().seen(A, P).seen(C, place)
            known = known.with_replaced(Replaced(A, P, C, 1.0))
            self.assertEqual(known.replacement(A, [place]), known.replaced[0])
            self.assertIsNone(known.replacement(C, [place]))
            self.assertEqual(known.at(place), C)
        self.assertIsNone(known.replacement(A, [P]), "it was broken off")


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = new_directory(self)
        (self.node / "private").mkdir()
        self.record = DirectoryRecord(self.node)

    def test_kept(self) -> None:
        """It is read as it was written, with names that are no UTF-8, for its owner."""
        odd = Path(os.fsdecode(b"/caf\xe9 \xc3\xbc"))
        known = Remembered().seen(A, odd).seen(B, Q)
        known = known.with_replaced(Replaced(C, P, B, 1.5))
        self.record.change(lambda _: known)
        self.assertEqual(self.record.read(), known)
        self.assertEqual((self.node / RECORD).stat().st_mode & 0o777, 0o600)

    def test_damaged(self) -> None:
        """One that is damaged knows nothing, and is written anew."""
        self.record.see(A, P)
        good = (self.node / RECORD).read_bytes()
        for bad in (
            b"",
            good[:-9],
            b"[]",
            b"[" * 100_000,
            b"\xff",
            b'{"directories": [], "replaced": []}',
            b'{"directories": {"a": "/p"}, "replaced": []}',
            b'{"directories": {}, "replaced": [{}]}',
            good.replace(b'"/p"', b"5"),
            bytes(3 << 20),
        ):
            (self.node / RECORD).write_bytes(bad)
            self.assertEqual(self.record.read(), Remembered(), bad[:40])
            self.assertEqual(self.record.see(A, P).at(P), A)
            self.assertEqual((self.node / RECORD).read_bytes(), good)

    def test_bound(self) -> None:
        """It does not grow without end."""
        known = Remembered()
        for number in range(1100):
            identity = number.to_bytes(20, "big")
            known = known.seen(identity, P)
            known = known.with_replaced(Replaced(identity, P, A, 0.0))
        self.assertEqual((len(known.places), len(known.replaced)), (1024, 1024))
        self.record.change(lambda _: known)
        self.assertEqual(self.record.read(), known)

    def test_busy(self) -> None:
        """Who changes it waits for another one, and not for ever."""
        other = os.open(self.node / "private", os.O_RDONLY)
        self.addCleanup(os.close, other)
        fcntl.flock(other, fcntl.LOCK_EX)
        with patch.object(directory_record, "_PATIENCE", 0.1):
            self.assertRaises(RecordBusy, self.record.see, A, P)
        fcntl.flock(other, fcntl.LOCK_UN)
        self.assertEqual(self.record.see(A, P).at(P), A)
