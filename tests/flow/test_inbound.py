"""Bytes from outside as an asynchronous iterator."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.inbound import Inbound


@define(eq=False)
class Tap:
    """A source that tells what it was told."""

    said: list[str] = field(factory=list)
    on_resume: Callable[[], None] | None = None

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")
        if self.on_resume is not None:
            self.on_resume()


def step(inbound: Inbound) -> Deferred[bytes]:
    """Ask for the next chunk."""
    return Deferred.fromCoroutine(inbound.__anext__())


class Oops(Exception):
    """What a source fails with."""


class InboundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tap = Tap()
        self.inbound = Inbound(self.tap, high_water=10)

    def test_first_step_opens_the_source(self) -> None:
        """Nothing is asked of the source before the first chunk is asked for."""
        self.assertEqual(self.tap.said, [])
        self.assertNoResult(step(self.inbound))
        self.assertEqual(self.tap.said, ["resume"])

    def test_chunk_wakes_the_consumer(self) -> None:
        """A waiting consumer gets each chunk as it comes; the source hears nothing."""
        for chunk in (b"one", b"two"):
            waiting = step(self.inbound)
            self.assertNoResult(waiting)
            self.inbound.received(chunk)
            self.assertEqual(self.successResultOf(waiting), chunk)
        self.assertEqual(self.tap.said, ["resume"])

    def test_what_came_is_given_at_once(self) -> None:
        """A consumer that was busy gets all that came meanwhile as one chunk."""
        self.inbound.received(b"one")
        self.inbound.received(b"two")
        self.assertEqual(self.inbound.held, 6)
        self.assertEqual(self.successResultOf(step(self.inbound)), b"onetwo")
        self.assertEqual(self.inbound.held, 0)

    def test_full_pauses(self) -> None:
        """At the high water the source is paused once, and resumed when it was emptied."""
        self.inbound.received(b"a")
        self.successResultOf(step(self.inbound))
        self.assertEqual(self.tap.said, ["resume"])
        self.inbound.received(b"b" * 9)
        self.assertEqual(self.tap.said, ["resume"])
        self.inbound.received(b"b")
        self.inbound.received(b"b" * 100)
        self.assertEqual(self.tap.said, ["resume", "pause"])
        self.assertEqual(self.successResultOf(step(self.inbound)), b"b" * 110)
        self.assertEqual(self.tap.said, ["resume", "pause", "resume"])

    def test_source_that_answers_at_once(self) -> None:
        """A source may send, or end, within its resumption."""
        self.tap.on_resume = lambda: self.inbound.received(b"now")
        self.assertEqual(self.successResultOf(step(self.inbound)), b"now")
        other = Inbound(self.tap)
        self.tap.on_resume = other.finished
        self.failureResultOf(step(other), StopAsyncIteration)

    def test_end(self) -> None:
        """What is held is given before the end, and the source is left alone after it."""
        self.inbound.received(b"last" * 10)
        self.inbound.finished()
        self.inbound.received(b"late")
        self.assertEqual(self.successResultOf(step(self.inbound)), b"last" * 10)
        self.failureResultOf(step(self.inbound), StopAsyncIteration)
        self.failureResultOf(step(self.inbound), StopAsyncIteration)
        self.assertEqual(self.tap.said, [])

    def test_end_wakes_the_consumer(self) -> None:
        """A waiting consumer learns of the end at once."""
        waiting = step(self.inbound)
        self.inbound.finished()
        self.failureResultOf(waiting, StopAsyncIteration)

    def test_failure(self) -> None:
        """A failure comes before what is held, at once, and again at each step."""
        waiting = step(self.inbound)
        self.inbound.failed(Oops())
        self.failureResultOf(waiting, Oops)
        other = Inbound(self.tap)
        other.received(b"held")
        other.failed(Oops())
        self.failureResultOf(step(other), Oops)
        other.finished()
        self.failureResultOf(step(other), Oops)

    def test_failure_after_the_end(self) -> None:
        """A source that ended well cannot fail any more."""
        self.inbound.received(b"all")
        self.inbound.finished()
        self.inbound.failed(Oops())
        self.assertEqual(self.successResultOf(step(self.inbound)), b"all")
        self.failureResultOf(step(self.inbound), StopAsyncIteration)

    def test_cancelled_step(self) -> None:
        """A cancelled step loses nothing: the next one gets what comes."""
        waiting = step(self.inbound)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.inbound.received(b"next")
        self.assertEqual(self.successResultOf(step(self.inbound)), b"next")

    @given(st.lists(st.tuples(st.binary(max_size=30), st.booleans())), st.integers(1, 40))
    def test_all_bytes_in_order(self, steps: list[tuple[bytes, bool]], high: int) -> None:
        """Whatever the pace, the consumer gets exactly the bytes that came, none empty."""
        inbound = Inbound(Tap(), high_water=high)
        got: list[bytes] = []

        async def consume() -> None:
            async for chunk in inbound:
                got.append(chunk)
                gate: Deferred[None] = Deferred()
                gates.append(gate)
                await gate

        gates: list[Deferred[None]] = []
        done = Deferred.fromCoroutine(consume())
        for chunk, ready in steps:
            inbound.received(chunk)
            if gates and ready:
                gates.pop().callback(None)
        inbound.finished()
        while gates:
            gates.pop().callback(None)
        self.successResultOf(done)
        self.assertEqual(b"".join(got), b"".join(chunk for chunk, _ in steps))
        self.assertNotIn(b"", got)
