"""Tests of truckee.codec.walk_cursor."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import DirectoryCap, LiteralCap, MutableWriteCap
from truckee.codec.walk_cursor import (
    END,
    ROOT,
    BadCursor,
    Cursor,
    CursorKey,
    Place,
    Rank,
    place_of,
)

CAP = DirectoryCap(MutableWriteCap("SSK", b"k" * 16, b"f" * 32))
OTHER = DirectoryCap(MutableWriteCap("SSK", b"o" * 16, b"f" * 32))
PLACES: tuple[Place, ...] = (
    ROOT,
    END,
    place_of(["a"], Rank.UNKNOWN),
    place_of(["a", "b"], Rank.FILE),
    place_of(["\U0001f30d", "", "x/y", "\0", "1:a,"], Rank.DIRECTORY),
    place_of([f"directory {level}" for level in range(1000)], Rank.FILE),
    place_of(["x" * 100_000], Rank.FILE),
)


class CursorTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        key = CursorKey.of(CAP)
        for number, place in enumerate(PLACES):
            word = key.seal(Cursor(place, number))
            self.assertEqual(key.open(word), Cursor(place, number))
            self.assertRegex(word, r"\A[A-Za-z0-9_-]+\Z")
            self.assertNotIn("directory", word)

    def test_example(self) -> None:
        """As the page of the format has it."""
        cursor = Cursor(place_of(["photos", "a.jpg"], Rank.FILE))
        self.assertEqual(
            CursorKey.of(CAP).seal(cursor),
            "4-S0ajYcDcJKkrM41x9W8bgoNIQAHnSpFDyXSF6SD4uWlfzicw",
        )

    def test_readers(self) -> None:
        """Whoever may list the directory may continue a walk of it."""
        cursor = CursorKey.of(CAP).seal(Cursor(PLACES[3]))
        self.assertEqual(CursorKey.of(CAP.read_cap()).open(cursor).place, PLACES[3])

    def test_foreign(self) -> None:
        cursor = CursorKey.of(CAP).seal(Cursor(PLACES[3]))
        for cap in (OTHER, DirectoryCap(LiteralCap(b""))):
            with self.assertRaises(BadCursor):
                CursorKey.of(cap).open(cursor)

    def test_garbled(self) -> None:
        """Whatever is changed of it, it is refused."""
        key = CursorKey.of(CAP)
        cursor = key.seal(Cursor(PLACES[3]))
        bad = ["", "x", "A" * 22, "A" * 23, "\u00e9", "%", cursor[:-4], cursor + "AAAA"]
        for number, character in enumerate(cursor[:-1]):
            other = "A" if character != "A" else "B"
            bad.append(cursor[:number] + other + cursor[number + 1 :])
        for each in bad:
            with self.assertRaises(BadCursor):
                key.open(each)

    def test_order(self) -> None:
        """Places compare as the walk goes."""
        walk = [
            ROOT,
            place_of(["z"], Rank.UNKNOWN),
            place_of(["a"], Rank.FILE),
            place_of(["z"], Rank.FILE),
            place_of(["b"], Rank.DIRECTORY),
            place_of(["b", "z"], Rank.FILE),
            place_of(["b", "a"], Rank.DIRECTORY),
            place_of(["b", "a", "x"], Rank.UNKNOWN),
            place_of(["ba"], Rank.DIRECTORY),
            END,
        ]
        self.assertEqual(sorted(walk), walk)
