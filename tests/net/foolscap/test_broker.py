"""Tests of truckee.net.foolscap.broker."""

from __future__ import annotations

from typing import Any

from foolscap.api import Referenceable
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.contracts.test_slot_server import new_tub
from tests.grids import until
from tests.ports import free_ports
from truckee.net.foolscap.broker import BoundedBroker

PIECE = 300_000  # bytes; more than a connection may have unsent before it does more


class Counter(Referenceable):  # type: ignore[misc]
    """What is pushed to, and asked."""

    def __init__(self) -> None:
        self.taken = 0
        self.waiting: list[Deferred[bytes]] = []

    def remote_push(self, data: bytes) -> int:
        self.taken += len(data)
        return self.taken

    def remote_push_told(self, data: bytes, observer: Any) -> int:
        observer.callRemoteOnly("progress", len(data))
        return self.remote_push(data)

    def remote_ask(self) -> Deferred[bytes]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class Observer(Referenceable):  # type: ignore[misc]
    """What is called beside the answers."""

    def __init__(self) -> None:
        self.progress = 0

    def remote_progress(self, size: int) -> None:
        self.progress += size


class PushTests(TestCase):
    """Who sends much reads the answers, however much of it has not left yet."""

    timeout = 60

    async def reach(self, counter: Counter) -> tuple[Any, Any]:
        """Return the tub that serves *counter*, and a reference to it."""
        server, client = new_tub(self, "server"), new_tub(self, "client")
        port = free_ports(1)[0]
        server.listenOn(f"tcp:{port}:interface=127.0.0.1")
        server.setLocation(f"tcp:127.0.0.1:{port}")
        furl = server.registerReference(counter)
        return server, await client.getReference(furl)

    async def test_answers_are_read_at_once(self) -> None:
        counter = Counter()
        _, remote = await self.reach(counter)
        pauses = self.pauses_of(remote)
        for _ in range(5):
            pushes = [remote.callRemote("push", bytes(PIECE)) for _ in range(4)]
            await gatherResults(pushes)
        self.assertEqual(counter.taken, 20 * PIECE)
        self.assertEqual(pauses, [])

    async def test_answers_are_read_beside_calls(self) -> None:
        """A peer that also calls, now and then, is read as well."""
        counter, observer = Counter(), Observer()
        _, remote = await self.reach(counter)
        pauses = self.pauses_of(remote)
        for _ in range(5):
            pushes = [
                remote.callRemote("push_told", bytes(PIECE), observer) for _ in range(4)
            ]
            await gatherResults(pushes)
        await until(lambda: observer.progress == 20 * PIECE)
        self.assertEqual(pauses, [])

    def pauses_of(self, remote: Any) -> list[BoundedBroker]:
        """Return what grows whenever the connection of *remote* is not read any more."""
        pauses: list[BoundedBroker] = []
        broker = remote.tracker.broker
        pause = broker._pause

        def counted() -> None:
            pauses.append(broker)
            pause()

        self.patch(broker, "_pause", counted)
        return pauses

    async def test_no_more_is_begun_for_one_who_takes_nothing(self) -> None:
        """A peer that asks and does not read is not read either."""
        counter = Counter()
        server, remote = await self.reach(counter)
        asked = [remote.callRemote("ask") for _ in range(8)]
        await until(lambda: len(counter.waiting) == 8)
        transport = remote.tracker.broker.transport
        transport.pauseProducing()
        served = next(iter(server.bounds.loads)).connection
        for waiting in counter.waiting:
            waiting.callback(bytes(8 << 20))
        more = [remote.callRemote("ask") for _ in range(8)]
        await until(lambda: served._paused)
        self.assertEqual(len(counter.waiting), 8)
        transport.resumeProducing()
        await gatherResults(asked)
        await until(lambda: len(counter.waiting) == 16)
        for waiting in counter.waiting[8:]:
            waiting.callback(b"")
        await gatherResults(more)
