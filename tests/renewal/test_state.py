"""Tests of truckee.renewal.state and truckee.renewal.state_file."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.renewal.state import (
    MOST_LISTED,
    MOST_TEXT,
    Counts,
    Pass,
    RenewalState,
    Unhealthy,
)
from truckee.renewal.state_file import load_state, save_state


class StateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_directory(self) / "renewal" / "t.json"

    def example(self) -> RenewalState:
        """Return one with something of everything."""
        state = RenewalState()
        state.begin(1000.0)
        assert state.now is not None
        state.now.counts = Counts(5, 4, 2, 1, 1, 1, 1)
        state.now.add(Unhealthy(("a", "é/b"), "3 of 10"))
        state.finish(1500.5)
        state.begin(2000.0)
        state.cursor, state.doubt = "abc", 1990.0
        return state

    def test_round_trip(self) -> None:
        """What is written is read, and for nobody but the owner."""
        state = self.example()
        save_state(self.path, state)
        self.assertEqual(load_state(self.path), state)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.path.parent.stat().st_mode & 0o077, 0)

    def test_missing(self) -> None:
        self.assertRaises(FileNotFoundError, load_state, self.path)

    def test_damaged(self) -> None:
        """A file that is anything else is refused, whichever part of it is damaged."""
        save_state(self.path, self.example())
        good = self.path.read_text()
        for cut in range(0, len(good) - 2, 7):
            self.path.write_text(good[:cut])
            self.assertRaises(ValueError, load_state, self.path)

        def change(*keys: str, to: object) -> None:
            document: Any = json.loads(good)
            place = document
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = to
            self.path.write_text(json.dumps(document))
            self.assertRaises(ValueError, load_state, self.path)

        change("version", to=2)
        change("more", to=1)
        change("cursor", to=5)
        change("started", to="now")
        change("started", to=float("nan"))
        change("doubt", to=True)
        change("last", to=[])
        change("last", "counts", to=5)
        change("last", "counts", "objects", to=-1)
        change("last", "counts", "objects", to="1")
        change("last", "listed", to="1")
        change("last", "unhealthy", to={"a": 1})
        change("last", "unhealthy", to=[{"path": [1], "reason": ""}])
        change("last", "unhealthy", to=[{"path": ["a"]}])
        change("now", "ended", to="later")

    def test_bounded(self) -> None:
        """However much is unhealthy, what is listed has a bound; what is counted, none."""
        many = Pass(0.0)
        for number in range(MOST_LISTED + 10):
            many.add(Unhealthy((str(number),), "lost"))
        self.assertEqual(len(many.unhealthy), MOST_LISTED)
        long = Pass(0.0)
        for _ in range(1000):
            long.add(Unhealthy(("n" * 5000,), "lost"))
        self.assertLessEqual(len(long.unhealthy), MOST_TEXT // 5000)

    def test_life(self) -> None:
        """A pass that ended is the last one; one that is given up leaves nothing."""
        state = self.example()
        assert state.last is not None
        self.assertEqual((state.last.started, state.last.ended), (1000.0, 1500.5))
        before = asdict(state.last)
        state.give_up()
        self.assertEqual((state.now, state.cursor, state.started), (None, "", 2000.0))
        self.assertEqual(asdict(state.last), before)
