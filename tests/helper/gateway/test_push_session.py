"""What a gateway pushes next."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.helper.gateway.push_session import (
    LARGEST,
    SMALLEST,
    HelperForgot,
    Message,
    PushSession,
)
from truckee.helper.wire import LARGEST_WINDOW


class Pipe:
    """A line of a fixed rate and delay, and a helper at its end, in made-up time."""

    def __init__(self, session: PushSession, rate: float, delay: float) -> None:
        self.session = session
        self.rate = rate  # bytes per second
        self.delay = delay  # seconds, of a round trip
        self.now = 0.0
        self.held = bytearray()
        self.sent = 0  # bytes over the line
        self.deepest = 0  # bytes in flight
        self._free = 0.0  # when the line has sent all that was given to it
        self._answers: list[tuple[float, Message]] = []

    def pump(self) -> None:
        """Send what may be sent."""
        while (message := self.session.next(self.now)) is not None:
            self._free = max(self._free, self.now) + message.size / self.rate
            self.sent += message.size
            self.deepest = max(self.deepest, self.session.in_flight)
            self._answers.append((self._free + self.delay, message))

    def step(self) -> None:
        """Let the next message arrive and be answered."""
        self.now, message = self._answers.pop(0)
        if message.offset <= len(self.held):
            self.held[message.offset : message.offset + message.size] = message.data
        self.session.acknowledged(message, len(self.held), self.now)

    def cut(self) -> None:
        """Lose what is on the line."""
        self._answers.clear()
        self._free = self.now
        self.session.lost()

    def run(self) -> None:
        """Send all there is."""
        self.pump()
        while not self.session.done:
            self.step()
            self.pump()


def carry(rate: float, delay: float, size: int) -> tuple[Pipe, float]:
    """Push *size* bytes; return the pipe and the share of the line that was used."""
    session = PushSession()
    pipe = Pipe(session, rate, delay)
    data = random.Random(1).randbytes(1 << 20)
    while session.fed < size:
        session.feed(data)
        while session.waiting > 1 << 20:
            pipe.pump()
            pipe.step()
    pipe.run()
    return pipe, session.fed / rate / pipe.now


class WindowTests(SynchronousTestCase):
    def test_fills_the_line(self) -> None:
        """Lines of any rate and delay are used, with little waiting in them."""
        for mbit, milliseconds in (
            (1, 30),
            (8, 50),
            (20, 60),
            (100, 20),
            (100, 100),
            (1000, 1),
        ):
            rate, delay = mbit * 125_000, milliseconds / 1000
            pipe, used = carry(rate, delay, int(rate * 10))
            self.assertGreater(used, 0.9, (mbit, milliseconds))
            enough = 2.5 * rate * delay + 4 * max(SMALLEST, min(LARGEST, rate / 20))
            self.assertLess(pipe.deepest, min(enough, LARGEST_WINDOW), (mbit, milliseconds))

    def test_bounded(self) -> None:
        """However good the line is, what is in flight has a bound."""
        pipe, _ = carry(1e9, 0.2, 100 << 20)
        self.assertLessEqual(pipe.deepest, LARGEST_WINDOW)

    def test_message_sizes(self) -> None:
        """Messages are small on a thin line and large on a good one, never too large."""
        thin, good = PushSession(), PushSession()
        for session, rate in ((thin, 125_000), (good, 1e8)):
            session.feed(bytes(8 << 20))
            Pipe(session, rate, 0.05).run()
        self.assertEqual(thin.line.message, SMALLEST)
        self.assertEqual(good.line.message, LARGEST)


class ResumeTests(SynchronousTestCase):
    def test_held_already(self) -> None:
        """What the helper held from the start is never sent."""
        data = random.Random(2).randbytes(300_000)
        session = PushSession(held=100_001)
        pipe = Pipe(session, 1e6, 0.01)
        pipe.held += data[:100_001]
        for start in range(0, len(data), 7000):
            session.feed(data[start : start + 7000])
        pipe.run()
        self.assertEqual(bytes(pipe.held), data)
        self.assertEqual(pipe.sent, len(data) - 100_001)

    @settings(max_examples=60)
    @given(st.integers(0, 2**32))
    def test_cuts(self, seed: int) -> None:
        """After any cuts the helper has every byte, and only what was lost went twice."""
        chance = random.Random(seed)
        data = random.Random(3).randbytes(2_000_000)
        session = PushSession()
        pipe = Pipe(session, 1e6, 0.05)
        lost = 0
        while not (session.done and session.fed == len(data)):
            if session.waiting < 100_000:
                session.feed(data[session.fed : session.fed + 150_000])
            pipe.pump()
            if chance.randrange(10) == 0:
                lost += session.in_flight
                pipe.cut()
                # Some of what was in flight may have arrived, its answer not.
                arrived = chance.randint(0, min(50_000, session.waiting))
                start = len(pipe.held)
                pipe.held += data[start : start + arrived]
                session.resume(len(pipe.held))
            elif session.in_flight:
                pipe.step()
        self.assertEqual(bytes(pipe.held), data)
        self.assertLessEqual(session.resent, lost)

    def test_helper_that_forgot(self) -> None:
        """A helper that lost what it held, when it is gone here too, ends the upload."""
        session = PushSession()
        session.feed(bytes(100_000))
        session.feed(bytes(100_000))
        Pipe(session, 1e6, 0.01).run()
        session.lost()
        session.resume(200_000)
        self.assertRaises(HelperForgot, session.resume, 199_999)

    def test_helper_that_forgot_little(self) -> None:
        """Bytes that are still here can be sent again."""
        session = PushSession()
        session.feed(bytes(100_000))
        pipe = Pipe(session, 1e6, 0.01)
        pipe.pump()
        pipe.step()
        session.lost()
        session.resume(0)
        self.assertEqual(session.waiting, 100_000)

    def test_others_push_too(self) -> None:
        """What another gateway pushed meanwhile is not sent."""
        session = PushSession()
        session.feed(bytes(100_000))
        message = session.next(0.0)
        assert message is not None
        session.acknowledged(message, 90_000, 0.1)
        second = session.next(0.1)
        assert second is not None
        self.assertGreaterEqual(second.offset, 90_000 - SMALLEST)
        session.acknowledged(second, 500_000, 0.2)
        session.feed(bytes(300_000))
        self.assertIsNone(session.next(0.2))
        self.assertTrue(session.done)
        session.feed(bytes(200_000))
        last = session.next(0.3)
        assert last is not None
        self.assertEqual(last.offset, 500_000)
