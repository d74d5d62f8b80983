"""Asking many, and not waiting for the last few."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.grid.asking import GRACE, Round, most
from truckee.storage.limited import TooSlow


@define(eq=False)
class Asked:
    """Servers that answer when the test says so."""

    clock: Clock = field(factory=Clock)
    pending: dict[str, Deferred[int]] = field(factory=dict)
    cancelled: list[str] = field(factory=list)
    silent: set[str] = field(factory=set)
    harm: bool = True

    async def question(self, server: str) -> int:
        self.pending[server] = Deferred()
        try:
            return await self.pending[server]
        except CancelledError:
            self.cancelled.append(server)
            raise

    def ask(self, servers: str, enough: Any = None, grace: bool = True) -> Deferred[Any]:
        names = list(servers)
        asking = Round(
            names, self.clock, enough or most(names), self.silent, self.harm, grace
        )
        return Deferred.fromCoroutine(asking.ask(self.question))

    def answer(self, servers: str) -> None:
        for server in servers:
            self.pending[server].callback(1)


class RoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked = Asked()

    def test_all(self) -> None:
        """When all have answered it is over at once, and no timer is left."""
        round = self.asked.ask("abc")
        self.asked.answer("cab")
        self.assertEqual(self.successResultOf(round), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.asked.clock.getDelayedCalls(), [])

    def test_none(self) -> None:
        """With nobody to ask there is no answer, at once."""
        self.assertEqual(self.successResultOf(self.asked.ask("")), {})

    def test_grace(self) -> None:
        """When two thirds have answered the last have a grace, and are then cancelled."""
        round = self.asked.ask("abcdef")
        self.asked.answer("abc")
        self.asked.clock.advance(100)
        self.assertNoResult(round)
        self.asked.answer("d")
        self.asked.clock.advance(99)
        self.assertNoResult(round)  # as long again as the others took
        self.asked.answer("e")
        self.asked.clock.advance(1.1)
        self.assertEqual(sorted(self.successResultOf(round)), list("abcde"))
        self.assertEqual(self.asked.cancelled, ["f"])

    def test_least_grace(self) -> None:
        """However fast the others were, the last have half a second."""
        round = self.asked.ask("abc")
        self.asked.answer("ab")
        self.asked.clock.advance(GRACE - 0.01)
        self.assertNoResult(round)
        self.asked.clock.advance(0.02)
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b"])

    def test_failures(self) -> None:
        """A server that fails has no answer and is not waited for."""
        round = self.asked.ask("abc")
        self.asked.pending["b"].errback(KeyError("b"))
        self.asked.answer("ac")
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "c"])

    def test_enough(self) -> None:
        """What is enough is the caller's word."""
        round = self.asked.ask("abc", lambda answers: "b" in answers)
        self.asked.answer("ac")
        self.asked.clock.advance(1000)
        self.assertNoResult(round)
        self.asked.answer("b")
        self.assertEqual(len(self.successResultOf(round)), 3)

    def test_cancel(self) -> None:
        """Cancelled, it cancels all who have not answered."""
        round = self.asked.ask("abcdef")
        self.asked.answer("abcd")
        round.cancel()
        self.failureResultOf(round, CancelledError)
        self.assertEqual(sorted(self.asked.cancelled), ["e", "f"])
        self.assertEqual(self.asked.clock.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """Who was silent the last time is asked again, and not waited for alone."""
        round = self.asked.ask("abc")
        self.asked.answer("ab")
        self.asked.clock.advance(1)
        self.successResultOf(round)
        round = self.asked.ask("abc")
        self.asked.answer("ab")
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b"])
        round = self.asked.ask("abc")
        self.asked.answer("cab")
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b", "c"])
        self.assertEqual(self.asked.silent, set())

    def test_late_answer(self) -> None:
        """A harmless question goes on, and its late answer ends the silence."""
        self.asked.harm = False
        round = self.asked.ask("abc")
        self.asked.answer("ab")
        self.asked.clock.advance(1)
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b"])
        self.assertEqual(self.asked.silent, {"c"})
        self.asked.answer("c")
        self.assertEqual(self.asked.silent, set())

    def test_no_grace(self) -> None:
        """Without a grace all are waited for, however long that takes."""
        self.asked.harm = False
        round = self.asked.ask("abc", lambda _: True, grace=False)
        self.asked.answer("ab")
        self.asked.clock.advance(1000)
        self.assertNoResult(round)
        self.asked.pending["c"].errback(TooSlow("c", 15.0))
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b"])
        # And then those that were silent up to their timeout are not.
        self.assertEqual(self.asked.silent, {"c"})
        round = self.asked.ask("abc", lambda _: True, grace=False)
        self.asked.answer("ab")
        self.assertEqual(sorted(self.successResultOf(round)), ["a", "b"])
        self.asked.answer("c")
        self.assertEqual(self.asked.silent, set())
