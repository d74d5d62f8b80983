"""Waiting at a gate that opens and shuts."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.gate import Gate


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = 0
        self.gate = Gate(lambda: self.room > 0)
        self.through: list[str] = []

    def come(self, name: str, then: str = "") -> Deferred[None]:
        async def go() -> None:
            await self.gate.go_through()
            self.room -= 1
            self.through.append(name)
            if then:
                self.come(then)

        return Deferred.fromCoroutine(go())

    def open(self, room: int) -> None:
        self.room = room
        self.gate.look()

    def test_open(self) -> None:
        """Nobody waits at an open gate."""
        self.room = 1
        self.successResultOf(self.come("a"))

    def test_as_many_as_there_is_room_for(self) -> None:
        """Those who wait go through in their order, until it is shut behind one."""
        for name in "abc":
            self.come(name)
        self.assertEqual(self.through, [])
        self.open(2)
        self.assertEqual(self.through, ["a", "b"])
        self.open(2)
        self.assertEqual(self.through, ["a", "b", "c"])

    def test_nobody_overtakes(self) -> None:
        """Who comes while others go through is the last."""
        self.come("a", then="d")
        self.come("b")
        self.come("c")
        self.open(9)
        self.assertEqual(self.through, ["a", "b", "c", "d"])

    def test_cancelled(self) -> None:
        """One who waits no more does not keep others from going on."""
        gone, stays = self.come("a"), self.come("b")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.open(1)
        self.successResultOf(stays)
