"""Ciphertext between a client that brings it and a helper that pulls it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.helper.gateway.pull_window import KEPT, PullWindow
from truckee.helper.gateway.push_session import HelperForgot

SIZE = 3 * KEPT
DATA = random.Random(1).randbytes(SIZE)
PIECE = 10_000
MOST = 50_000


def filled(upto: int = SIZE) -> PullWindow:
    """Return a window to which the first *upto* bytes of DATA came, in pieces."""
    window = PullWindow(SIZE)
    for start in range(0, upto, PIECE):
        window.feed(DATA[start : min(upto, start + PIECE)])
    return window


class PullTests(SynchronousTestCase):
    @given(
        st.integers(1, 2000),
        st.lists(st.integers(1, 300), min_size=1),
        st.lists(st.integers(1, 500), min_size=1),
    )
    def test_any_pieces(self, size: int, fed: list[int], asked: list[int]) -> None:
        """Whatever the pieces in which bytes come and are asked for, all of them go."""
        data = random.Random(size).randbytes(size)
        window = PullWindow(size)
        got = bytearray()
        turn = 0
        while len(got) < size:
            answer = window.pull(len(got), asked[turn % len(asked)], 400)
            if answer is None:
                self.assertEqual(window.waiting, 0)
                start, length = window.fed, fed[turn % len(fed)]
                window.feed(data[start : start + length])
            else:
                self.assertTrue(0 < len(answer) <= min(400, asked[turn % len(asked)]))
                got += answer
                self.assertEqual(window.sent, len(got))
            turn += 1
        self.assertEqual(bytes(got), data)

    def test_never_more(self) -> None:
        """Never more than asked, nor than a message holds, nor than there is."""
        window = filled()
        for offset, length, found in (
            (0, 1, 1),
            (0, MOST + 1, MOST),
            (SIZE - 10, 100, 10),
            (SIZE, 100, 0),
            (SIZE, 0, 0),
        ):
            answer = window.pull(offset, length, MOST)
            assert answer is not None
            self.assertEqual(answer, DATA[offset : offset + found])

    def test_no_bytes(self) -> None:
        """Who asks for none gets none, also when none have come."""
        self.assertEqual(filled(0).pull(0, 0, MOST), b"")
        self.assertIsNone(filled(0).pull(0, 1, MOST))

    def test_no_such_bytes(self) -> None:
        """What is not in the file cannot be had, and asking for it changes nothing."""
        window = filled()
        window.pull(PIECE, 1, MOST)
        for offset, length in ((-1, 10), (SIZE + 1, 10), (0, -1), (PIECE, -5)):
            self.assertRaises(ValueError, window.pull, offset, length, MOST)
        self.assertEqual(window.arrived, PIECE)
        self.assertEqual(window.sent, PIECE + 1)

    def test_waiting(self) -> None:
        """What waits are the bytes that came and were not given yet."""
        window = filled(PIECE)
        self.assertEqual(window.waiting, PIECE)
        window.pull(0, 4000, MOST)
        self.assertEqual(window.waiting, PIECE - 4000)
        window.pull(4000, PIECE, MOST)
        self.assertEqual(window.waiting, 0)

    def test_again(self) -> None:
        """The last answer can be had again, and a little of what was before it."""
        window = filled()
        window.pull(KEPT, 1000, MOST)
        for offset in (KEPT, KEPT - 500, 0):
            self.assertEqual(window.pull(offset, 1000, MOST), DATA[offset : offset + 1000])
            self.assertEqual(window.arrived, offset)

    def test_bounded(self) -> None:
        """What the helper has is kept for a little longer only."""
        window = PullWindow(SIZE)
        for start in range(0, SIZE, PIECE):
            window.feed(DATA[start : start + PIECE])
            window.pull(window.fed, 1, MOST)
            self.assertLessEqual(window.fed - window.first, KEPT + PIECE)
        self.assertGreaterEqual(window.fed - window.first, KEPT)

    def test_gone(self) -> None:
        """What is gone is not given, and the error says what there is."""
        window = filled()
        window.pull(2 * KEPT, 1, MOST)
        first = window.first
        self.assertGreater(first, 0)
        self.assertEqual(window.pull(first, 10, MOST), DATA[first : first + 10])
        with self.assertRaises(HelperForgot) as caught:
            window.pull(first - 1, 10, MOST)
        self.assertEqual(caught.exception.held, first - 1)
        self.assertEqual(caught.exception.first, first)


class HeldTests(SynchronousTestCase):
    def test_resumed(self) -> None:
        """What the helper has already is let go as it comes, and nobody waits for it."""
        window = PullWindow(SIZE)
        start = SIZE - 100
        self.assertIsNone(window.pull(start, 1000, MOST))
        for offset in range(0, SIZE - PIECE, PIECE):
            window.feed(DATA[offset : offset + PIECE])
            self.assertEqual(window.waiting, 0)
            self.assertLessEqual(window.fed - window.first, KEPT + PIECE)
        window.feed(DATA[window.fed :])
        self.assertEqual(window.waiting, 100)
        self.assertEqual(window.pull(start, 1000, MOST), DATA[start:])

    def test_all(self) -> None:
        """A helper that has all of it is given nothing."""
        window = filled(KEPT)
        window.skip()
        self.assertEqual(window.waiting, 0)
        window.feed(DATA[KEPT:])
        self.assertEqual(window.waiting, 0)
        self.assertEqual(window.sent, SIZE)
