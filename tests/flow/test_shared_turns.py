"""Turns of those who look or add, side by side, and of those who change, alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.shared_turns import SharedTurns

LOOK, ADD, CHANGE = "look", "add", "change"


class World:
    """Who is in, and the rule that they keep."""

    def __init__(self) -> None:
        self.turns = SharedTurns()
        self.inside: list[str] = []
        self.order: list[int] = []
        self.gates: dict[int, Deferred[None]] = {}

    async def work(self, number: int, kind: str, waits: bool = True) -> None:
        """Have a turn until the gate opens."""
        async with getattr(self.turns, kind)():
            self.order.append(number)
            self.inside.append(kind)
            assert len(set(self.inside)) == 1
            assert kind != CHANGE or len(self.inside) == 1
            try:
                if waits:
                    self.gates[number] = Deferred()
                    await self.gates[number]
            finally:
                self.inside.remove(kind)

    def start(self, number: int, kind: str, waits: bool = True) -> Deferred[None]:
        """Let one work."""
        return Deferred.fromCoroutine(self.work(number, kind, waits))


class SharedTurnsTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Lookers are side by side; one who changes waits for them, and others for him."""
        world = World()
        for number, kind in enumerate((LOOK, LOOK, CHANGE, LOOK, CHANGE)):
            world.start(number, kind)
        self.assertEqual(world.order, [0, 1])
        world.gates[0].callback(None)
        self.assertEqual(world.order, [0, 1])
        world.gates[1].callback(None)
        self.assertEqual(world.order, [0, 1, 2])
        world.gates[2].callback(None)
        self.assertEqual(world.order, [0, 1, 2, 3])
        world.gates[3].callback(None)
        self.assertEqual(world.order, [0, 1, 2, 3, 4])

    def test_adding(self) -> None:
        """Those who add are side by side, and with nobody else."""
        world = World()
        for number, kind in enumerate((ADD, ADD, LOOK, ADD)):
            world.start(number, kind)
        self.assertEqual(world.order, [0, 1])
        world.gates[1].callback(None)
        world.gates[0].callback(None)
        self.assertEqual(world.order, [0, 1, 2])
        world.gates[2].callback(None)
        self.assertEqual(world.order, [0, 1, 2, 3])

    def test_thousands(self) -> None:
        """However many wait and end at once, they do so one after the other."""
        for kind in (LOOK, ADD, CHANGE):
            world = World()
            world.start(0, CHANGE)
            others = [world.start(n, kind, waits=False) for n in range(1, 5000)]
            world.gates[0].callback(None)
            for each in others:
                self.successResultOf(each)
            self.assertEqual(world.order, list(range(5000)))

    def test_failed(self) -> None:
        """A turn ends with an error too."""
        world = World()
        first, second = world.start(0, CHANGE), world.start(1, CHANGE)
        world.gates[0].errback(ZeroDivisionError())
        self.failureResultOf(first, ZeroDivisionError)
        world.gates[1].callback(None)
        self.successResultOf(second)

    @given(
        st.lists(st.sampled_from([LOOK, ADD, CHANGE]), max_size=12),
        st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=24),
    )
    def test_law(self, kinds: list[str], events: list[tuple[int, bool]]) -> None:
        """Whoever ends or is cancelled, turns come in order, and nobody is forgotten."""
        world = World()
        work = [world.start(number, kind) for number, kind in enumerate(kinds)]
        for each in work:
            each.addErrback(lambda failure: failure.trap(CancelledError))
        for number, cancel in events:
            if number >= len(work) or work[number].called:
                continue
            if cancel:
                work[number].cancel()
            elif number in world.gates:
                world.gates[number].callback(None)
        for _ in work:
            for number, gate in list(world.gates.items()):
                if not work[number].called:
                    gate.callback(None)
        self.assertEqual(world.order, sorted(world.order))
        for each in work:
            self.successResultOf(each)
        last = world.start(99, CHANGE, waits=False)
        self.successResultOf(last)
