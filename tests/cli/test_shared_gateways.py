"""Gateways that share requests, of which some go away."""

from __future__ import annotations

import json

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.shared_gateways import Member, SharedGateways


@define(eq=False)
class Fake(Gateway):
    """A gateway that is answered for by the test."""

    servers: int = 10  # that it is connected to
    probes: bool = True  # whether it says so
    waiting: list[Deferred[tuple[int, bytes]]] = field(factory=list)

    async def exchange(
        self,
        method: str,
        place: str,
        body: bytes | None,
        most: int,
        timeout: float | None = None,
    ) -> tuple[int, bytes]:
        if place != "?t=json":
            self.waiting.append(Deferred())
            return await self.waiting[-1]
        if not self.probes:
            raise Unreachable("nothing listens there", self.url)
        servers = [{"connection_status": "Connected to x"}] * self.servers
        lost = [{"connection_status": "Not connected"}]
        return 200, json.dumps({"servers": servers + lost}).encode()

    @property
    def asked(self) -> int:
        """How many requests it has not answered."""
        return sum(not each.called for each in self.waiting)

    def answer(self, text: bytes = b"") -> None:
        """Answer the first request that waits."""
        next(d for d in self.waiting if not d.called).callback((200, text))

    def die(self, probes: bool = False) -> None:
        """Break all off."""
        self.probes = probes
        for each in self.waiting:
            if not each.called:
                each.errback(Unreachable("the connection was cut", self.url))


class SharedGatewaysTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Have two of them, each of which is asked two things at once."""
        self.clock = Clock()
        self.told: list[str] = []
        self.one, self.two = self.fakes = [
            Fake(f"http://{name}/", self.clock) for name in ("one", "two")
        ]

    def start(self, *fakes: Fake) -> SharedGateways:
        """Let these begin."""
        members = [Member(fake) for fake in fakes]
        shared = SharedGateways(members, 2, self.clock, self.told.append)
        self.successResultOf(Deferred.fromCoroutine(shared.start()))
        self.addCleanup(lambda: Deferred.fromCoroutine(shared.stop()))
        return shared

    def ask(self, shared: SharedGateways, count: int) -> list[Deferred[tuple[int, bytes]]]:
        """Make requests."""
        return [
            Deferred.fromCoroutine(shared.exchange("POST", f"uri/{n}", None, 100))
            for n in range(count)
        ]

    def test_shared(self) -> None:
        """Each gets its part, no more than it may have at once, and then the next one."""
        asking = self.ask(self.start(*self.fakes), 5)
        self.assertEqual([fake.asked for fake in self.fakes], [2, 2])
        self.two.answer(b"done")
        self.assertEqual(self.successResultOf(asking[1]), (200, b"done"))
        self.assertEqual([fake.asked for fake in self.fakes], [2, 2])
        self.assertEqual(len(self.two.waiting), 3)

    def test_one_dies(self) -> None:
        """Its part is done by the other one, and it is told once; then it comes back."""
        asking = self.ask(self.start(*self.fakes), 4)
        self.one.die()
        self.assertEqual(
            self.told,
            [
                "The gateway at http://one/ does not answer (the connection was cut); the "
                "others do its part"
            ],
        )
        for _ in range(4):
            self.assertEqual(self.two.asked and self.one.asked, 0)
            self.two.answer()
        for each in asking:
            self.successResultOf(each)
        self.clock.advance(1)
        self.one.probes = True
        self.clock.advance(2)
        self.assertEqual(self.told[1:], ["The gateway at http://one/ answers again"])

    def test_all_die(self) -> None:
        """What is asked waits until one comes back; after some minutes it fails."""
        shared = self.start(self.one)
        asking = self.ask(shared, 3)
        self.one.die()
        self.assertIn("trying it again", self.told[0])
        self.clock.advance(1)
        self.one.probes = True
        self.clock.advance(2)
        for _ in range(3):
            self.one.answer()
        for each in asking:
            self.successResultOf(each)
        asking = self.ask(shared, 3)
        self.one.die()
        self.clock.pump([30.0] * 9)
        self.assertNoResult(asking[0])
        self.clock.advance(30)
        for each in asking:
            self.failureResultOf(each, Unreachable)

    def test_servers_first(self) -> None:
        """After a restart it is used when it has its servers again, or after a while."""
        asking = self.ask(self.start(self.one), 1)
        self.one.die(probes=True)
        self.one.servers = 9
        self.clock.advance(1)
        self.assertEqual(self.one.asked, 0)
        self.one.servers = 10
        self.clock.advance(2)
        self.assertEqual(self.one.asked, 1)
        self.one.die(probes=True)
        self.one.servers = 9
        self.clock.pump([1, 2, 4, 8, 16])
        self.assertEqual(self.one.asked, 0)
        self.clock.advance(30)
        self.one.answer()
        self.successResultOf(asking[0])

    def test_silent(self) -> None:
        """One that is busy has all the time; one that says nothing at all is left out."""
        asking = self.ask(self.start(*self.fakes), 2)
        self.clock.pump([5.0] * 100)
        self.assertEqual([fake.asked for fake in self.fakes], [1, 1])
        self.one.probes = False
        self.clock.pump([5.0] * 4)
        self.assertEqual([fake.asked for fake in self.fakes], [0, 2])
        self.two.answer()
        self.two.answer()
        for each in asking:
            self.successResultOf(each)

    def test_not_there_at_first(self) -> None:
        """One that is not there is left out; without any it ends at once."""
        self.one.probes = False
        shared = self.start(*self.fakes)
        self.ask(shared, 1)
        self.assertEqual([fake.asked for fake in self.fakes], [0, 1])
        other = SharedGateways([Member(self.one)], 2, self.clock, self.told.append)
        self.failureResultOf(Deferred.fromCoroutine(other.start()), Unreachable)

    def test_deadly(self) -> None:
        """What ends each gateway that gets it is given up in the end."""
        asking = self.ask(self.start(self.one), 1)
        for _ in range(9):
            self.one.die(probes=True)
            self.assertNoResult(asking[0])
            self.clock.advance(1)
        self.one.die(probes=True)
        self.failureResultOf(asking[0], Unreachable)

    def test_other_failures(self) -> None:
        """What is no news of a gateway is for whoever asked."""
        asking = self.ask(self.start(self.one), 1)
        self.one.waiting[0].errback(Problem("no HTTP"))
        self.failureResultOf(asking[0], Problem)
        self.assertEqual(self.told, [])

    def test_cancelled(self) -> None:
        """A request that is cancelled is not made again."""
        asking = self.ask(self.start(self.one), 3)
        for each in reversed(asking):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual((self.one.asked, len(self.one.waiting)), (0, 2))
        self.assertEqual(self.told, [])
