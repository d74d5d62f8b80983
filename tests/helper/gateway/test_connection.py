"""A gateway's connection to its helper, over a real one on loopback."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import NOW, pause, until
from tests.helper.helped import begin, cut, new_tub
from tests.ports import free_port
from truckee.helper import wire
from truckee.helper.gateway.connection import HelperConnection, NoHelper
from truckee.helper.protocol import RIHelper
from truckee.storage.foolscap_schema import serves

VERSION = {wire.PUSH: {}, b"application-version": b"truckee/1"}


@serves(RIHelper)
@define(eq=False)
class _Far(Referenceable):  # type: ignore[misc]
    """What answers as a helper."""

    version: Any = field(factory=lambda: dict(VERSION))

    def remote_get_version(self) -> Any:
        return self.version


class ConnectionTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.far = _Far()
        self.port = free_port()
        self.clock = Clock()
        self.time = NOW

    def listen(self) -> None:
        self.tub = new_tub(self, 0)
        self.tub.listenOn(f"tcp:{self.port}:interface=127.0.0.1")
        self.tub.setLocation(f"tcp:127.0.0.1:{self.port}")
        self.furl = self.tub.registerReference(self.far, name="helper")

    def new(self) -> HelperConnection:
        connection = HelperConnection(
            new_tub(self, 1), self.furl, self.clock, lambda: self.time
        )
        connection.start()
        self.addCleanup(connection.stop)
        connection._reconnector.initialDelay = 0.02
        return connection

    async def test_connects(self) -> None:
        """It connects by itself, and says what is there."""
        self.listen()
        connection = self.new()
        self.assertFalse(connection.connected)
        await until(lambda: connection.connected)
        self.assertTrue(connection.pushes)
        self.assertEqual(connection.version, "truckee/1")
        self.assertEqual(connection.last_received, NOW)
        self.assertIs(await connection.get(0.0), connection.remote)

    async def test_stock(self) -> None:
        """A helper that says nothing of pushing is not pushed to."""
        self.far.version = {wire.HELPER: {}, b"application-version": b"tahoe/1"}
        self.listen()
        connection = self.new()
        await until(lambda: connection.connected)
        self.assertFalse(connection.pushes)

    async def test_lost(self) -> None:
        """When the connection is lost it knows at once, and connects again."""
        self.listen()
        connection = self.new()
        for _ in range(3):
            first = await _connected(connection)
            cut(self.tub)
            await until(lambda: not connection.connected)
            self.assertIsNot(await _connected(connection), first)

    async def test_another_kind(self) -> None:
        """A helper may be another program after its restart."""
        self.listen()
        connection = self.new()
        await until(lambda: connection.connected)
        self.far.version = {b"application-version": b"tahoe/1"}
        cut(self.tub)
        await until(lambda: not connection.connected)
        await until(lambda: connection.connected)
        self.assertFalse(connection.pushes)
        self.assertEqual(connection.version, "tahoe/1")

    async def test_wait(self) -> None:
        """All who wait for it get it when it is there."""
        self.listen()
        await self.tub.stopService()
        connection = self.new()
        waiting = [begin(connection.get(60.0)) for _ in range(3)]
        await pause(0.1)
        self.assertFalse(any(each.called for each in waiting))
        connection._reconnector.reset()
        self.listen()
        for each in waiting:
            self.assertIs(await each, connection.remote)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(connection._changes.waited_for)

    async def test_wait_in_vain(self) -> None:
        """Who waited long enough is told so; nothing is left of those who wait no more."""
        self.listen()
        await self.tub.stopService()
        connection = self.new()
        with self.assertRaises(NoHelper):
            await connection.get(0.0)
        with self.assertRaises(NoHelper):
            await connection.get(-5.0)
        self.assertFalse(connection._changes.waited_for)
        waiting, other = begin(connection.get(60.0)), begin(connection.get(60.0))
        other.cancel()
        with self.assertRaises(CancelledError):
            await other
        self.clock.advance(59)
        self.assertFalse(waiting.called)
        self.clock.advance(1)
        with self.assertRaises(NoHelper) as caught:
            await waiting
        self.assertEqual(caught.exception.seconds, 60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(connection._changes.waited_for)

    async def test_nonsense(self) -> None:
        """One that does not say what it is, is not there."""
        versions: tuple[Any, ...] = (
            None,
            5,
            b"bytes",
            [],
            {"text": 1},
            {b"application-version": 5},
            {b"application-version": {b"a": 1}},
            {b"application-version": None},
        )
        self.listen()
        for version in versions:
            self.far.version = version
            connection = self.new()
            await pause(0.1)
            self.assertFalse(connection.connected, version)
            connection.stop()

    async def test_long_version(self) -> None:
        """What it calls itself is kept if it is short."""
        self.far.version = VERSION | {b"application-version": b"\xff\n<" * 100_000}
        self.listen()
        connection = self.new()
        await until(lambda: connection.connected)
        assert connection.version is not None
        self.assertLess(len(connection.version), 1000)
        self.assertTrue(connection.version.isprintable())

    async def test_silent(self) -> None:
        """One that never says what it is, is not there, until it comes again and does."""
        answer: Deferred[Any] = Deferred()
        self.far.version = answer
        self.listen()
        connection = self.new()
        await pause(0.2)
        self.assertFalse(connection.connected)
        self.far.version = VERSION
        cut(self.tub)
        await until(lambda: connection.connected)
        answer.callback(VERSION)

    async def test_stop(self) -> None:
        """Stopped it connects no more."""
        self.listen()
        connection = self.new()
        await until(lambda: connection.connected)
        connection.stop()
        self.assertFalse(connection.connected)
        cut(self.tub)
        await pause(0.2)
        self.assertFalse(connection.connected)


async def _connected(connection: HelperConnection) -> Any:
    await until(lambda: connection.connected)
    return connection.remote
