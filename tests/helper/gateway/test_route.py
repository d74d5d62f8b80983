"""Which way the ciphertext of a file leaves."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.grids import calm, hanging, pause, until
from tests.helper.helped import INDEX, KEY, Content, Gateway, Helped, begin, cut
from truckee.helper.gateway.connection import NoHelper
from truckee.helper.gateway.route import Routes
from truckee.helper.server.limits import HelperLimits
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    KeyReused,
    NewFile,
)

SIZE = 300
GIVEN: dict[str, Any] = {"guarded": True, "resumable": True}


@implementer(ICiphertextSinks)
@define(eq=False)
class _Pulled:
    """Stands for a stock helper: it opens as *inner* does, and counts."""

    inner: ICiphertextSinks
    needs_known_size: bool = True
    opened: int = field(default=0, init=False)

    async def open(self, file: NewFile) -> ICiphertextSink:
        self.opened += 1
        sink: ICiphertextSink = await self.inner.open(file)
        return sink

    async def forget(self, file: NewFile) -> None:
        raise AssertionError("a stock helper cannot be told")


class RouteTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        await self.start()

    async def start(self, **options: Any) -> None:
        self.helped = Helped.new(self, **options)
        self.helped.listen()
        self.gateway = await Gateway.of(self.helped)
        grid = self.helped.grid
        self.pulled = _Pulled(grid.sinks)
        self.routes = Routes(
            grid.sinks,
            self.gateway.sinks,
            self.pulled,
            self.gateway.connection,
            grid.selector,
            grid.encoding.needed,
        )

    async def store(
        self, content: Content | None = None, known: bool = True, **options: Any
    ) -> str:
        """Store the file, and remove it again; return its route."""
        content = content or self.content
        file = NewFile(INDEX, content.size if known else None, 1 << 20, **options)
        sink = await self.routes.open(file)
        try:
            await sink.write(content.ciphertext)
            cap = await sink.close()
        except Exception:
            await sink.abort()
            raise
        found = await self.helped.grid.read(cap.read_cap(KEY))
        self.assertEqual(found, content.plaintext)
        return file.status.route

    async def test_connected(self) -> None:
        """To the helper while it is connected, and not if the client wants none."""
        for known in (True, False):
            for direct, route in ((False, "helper"), (True, "servers")):
                self.assertEqual(await self.store(known=known, direct=direct), route)
                self.helped.remove_shares()

    async def test_not_connected(self) -> None:
        """From here while it is not."""
        await self.helped.stop()
        await until(lambda: not self.gateway.connection.connected)
        for known in (True, False):
            self.assertEqual(await self.store(known=known), "servers")
            self.helped.remove_shares()
        self.helped.start()
        self.helped.listen()
        await until(lambda: self.gateway.connection.connected)
        self.assertEqual(await self.store(), "helper")

    async def test_lost_at_the_beginning(self) -> None:
        """From here too, if it is lost before it took the file."""
        for known in (True, False):
            for server in self.helped.grid.servers:
                server.mood = hanging("buckets")
            storing = begin(self.store(known=known))
            await pause(0.05)
            for server in self.helped.grid.servers:
                server.mood = calm
            cut(self.helped.tub)
            self.assertEqual(await storing, "servers")
            self.helped.remove_shares()
            await until(lambda: self.gateway.connection.connected)

    async def test_no_room(self) -> None:
        """From here too, if the helper is busy or full before it took the file."""
        for limits in (HelperLimits(uploads=0), HelperLimits(spool=100)):
            await self.start(limits=limits)
            self.assertEqual(await self.store(), "servers")
            self.helped.remove_shares()

    async def test_lost_and_no_other_way(self) -> None:
        """But not where servers must know the size, and it is not known."""
        await self.start(sized=3)
        self.assertFalse(self.routes.needs_known_size)
        for server in self.helped.grid.servers:
            server.mood = hanging("buckets")
        storing = begin(self.store(known=False))
        await pause(0.05)
        cut(self.helped.tub)
        with self.assertRaises(NoHelper):
            await storing
        await until(lambda: not self.gateway.connection.connected)
        self.assertTrue(self.routes.needs_known_size)

    async def test_given_key(self) -> None:
        """A file with a given key goes from here if anything is stored under that key."""
        self.assertEqual(await self.store(**GIVEN), "helper")
        self.assertEqual(await self.store(**GIVEN), "servers")
        with self.assertRaises(KeyReused):
            await self.store(Content(SIZE, seed=3), **GIVEN)
        self.assertEqual(await self.store(resumable=True), "helper")

    async def test_stock(self) -> None:
        """A helper that pulls gets the files whose size is known."""
        self.gateway.connection.pushes = False
        await self.store()
        self.assertEqual(self.pulled.opened, 1)
        self.helped.remove_shares()
        self.assertEqual(await self.store(known=False), "servers")
        self.assertEqual(self.pulled.opened, 1)
        self.assertFalse(self.routes.needs_known_size)
