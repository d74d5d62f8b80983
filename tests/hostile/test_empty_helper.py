"""
A helper that stores nothing, or too little, and says that it did.

The gateway gives out a cap only for what it finds on the servers itself.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, files_below, hanging, in_chunks, make_file, put_share
from tests.helper.helped import ENCODING, INDEX, KEY, Content, Gateway, Helped, begin
from tests.helper.stock_ends import (
    PulledGateway,
    PullingHelper,
    PullingUpload,
    StockPull,
    results_for,
)
from tests.hostile.test_lying_helper import SHORT, Story
from tests.storage.liars import Lair
from truckee.codec.share import ShareOffsets
from truckee.helper import wire
from truckee.helper.errors import HelperLied
from truckee.helper.gateway.proved_sink import CannotProve, NotProved, ProvedSinks
from truckee.helper.gateway.route import Routes
from truckee.immutable.upload.keys import ConvergentKey, GivenKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.presence import PresenceProver
from truckee.immutable.upload.sinks import ICiphertextSinks, NewFile
from truckee.immutable.upload.uploader import Uploader, UploadLimits

SIZE = 300


def proved(grid: Grid, sinks: ICiphertextSinks, happy: int = 2) -> ProvedSinks:
    """Return *sinks* whose word counts as far as *grid* confirms it."""
    prover = PresenceProver(grid.selector, grid.cpu, REACTOR, os.urandom, retries=0.6)
    return ProvedSinks(sinks, grid.encoding, happy, prover, REACTOR)


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        self.grid = Grid.new(self, ENCODING, happy=2)
        self.lair = Lair.new(self)

    async def store(self, sinks: Any, size: int | None = SIZE) -> Any:
        """Store the file; return its cap."""
        sink = await sinks.open(NewFile(INDEX, size, 1 << 20))
        try:
            for at in range(0, SIZE, 64):
                await sink.write(self.content.ciphertext[at : at + 64])
            return (await sink.close()).read_cap(KEY)
        except Exception:
            await sink.abort()
            raise

    def put(self, *numbers: int, broken: bool = False) -> None:
        """Have these shares on the servers, each on one of its own."""
        shares = make_file(self.content.plaintext, KEY, ENCODING).shares
        for number in numbers:
            share = bytearray(shares[number])
            if broken:
                offsets = ShareOffsets.parse(bytes(share), ENCODING.total)
                share[offsets.data : offsets.crypttext_tree] = bytes(
                    offsets.crypttext_tree - offsets.data
                )
            put_share(self.grid.servers[number], INDEX, number, bytes(share))

    def remove(self) -> None:
        """Remove all shares."""
        for server in self.grid.servers:
            for path in files_below(server.directory.home(INDEX)):
                path.unlink()


class PushedTests(_Case):
    async def setUp(self) -> None:  # type: ignore[override]
        await _Case.setUp(self)
        self.story = Story(self.content, True)
        self.gateway = await Gateway.new(
            self,
            self.grid,
            self.lair.furl(self.story.helper_liar()),
            number=3,
            patience=SHORT,
        )
        self.sinks = proved(self.grid, self.gateway.sinks)
        self.routes = Routes(
            self.grid.sinks,
            self.sinks,
            self.sinks,
            self.gateway.connection,
            self.grid.selector,
            self.grid.encoding.needed,
        )

    def again(self) -> None:
        """Begin anew: what the gateway remembers is forgotten."""
        self.story.held = b""
        self.remove()
        self.sinks._avoided.clear()

    async def test_nothing(self) -> None:
        """Nothing stored, the right UEB in the answer: no cap, and the reason."""
        for size in (SIZE, None):
            self.again()
            with self.assertRaises(NotProved) as caught:
                await self.store(self.sinks, size)
            self.assertIn("found 0 of its shares (none)", str(caught.exception))
            self.assertIn("helper=no", str(caught.exception))

    async def test_too_little(self) -> None:
        """Fewer shares than max(k, happy), or all of them on one server."""
        self.put(1)
        with self.assertRaises(NotProved) as caught:
            await self.store(self.sinks)
        self.assertIn("found 1 of its shares (1)", str(caught.exception))
        self.again()
        shares = make_file(self.content.plaintext, KEY, ENCODING).shares
        for number in range(3):
            put_share(self.grid.servers[0], INDEX, number, shares[number])
        with self.assertRaises(NotProved) as caught:
            await self.store(self.sinks)
        self.assertIn("happiness of 1", str(caught.exception))

    async def test_not_approved(self) -> None:
        """Shares on servers that no grid manager approves of do not count."""
        self.put(1, 2)
        self.grid.takers = self.grid.servers[:2]
        with self.assertRaises(NotProved) as caught:
            await self.store(self.sinks)
        self.assertIn("found 1 of its shares (1)", str(caught.exception))

    async def test_another_file(self) -> None:
        """Shares of another file under the same storage index are none."""
        other = make_file(Content(SIZE, seed=5).plaintext, KEY, ENCODING).shares
        for number in range(3):
            put_share(self.grid.servers[number], INDEX, number, other[number])
        with self.assertRaises(NotProved):
            await self.store(self.sinks)

    async def test_no_blocks(self) -> None:
        """Hash trees and a UEB without the blocks that they are of are no shares."""
        self.put(0, 1, 2, broken=True)
        with self.assertRaises(NotProved):
            await self.store(self.sinks)

    async def test_few_blocks(self) -> None:
        """A helper that leaves out half of the blocks is found out within a few files."""
        shares = make_file(self.content.plaintext, KEY, ENCODING).shares
        half = ENCODING.geometry(SIZE).share_data_size // 2
        refused = 0
        for _ in range(40):
            self.again()
            for number, share in enumerate(shares):
                offsets = ShareOffsets.parse(share, ENCODING.total)
                middle = offsets.data + half
                kept = share[:middle] + bytes(half) + share[middle + half :]
                put_share(self.grid.servers[number], INDEX, number, kept)
            try:
                await self.store(self.sinks)
            except NotProved:
                refused += 1
                if refused == 2:
                    return
        self.fail(f"{refused} of 40 files were refused")

    async def test_truth(self) -> None:
        """What is there counts, though one share is broken, or a server is silent."""
        for size in (SIZE, None):
            self.again()
            self.put(0, 1, 2)
            self.assertEqual(await self.store(self.sinks, size), self.content.cap)
        self.again()
        self.put(0, 1)
        self.put(2, broken=True)
        self.assertEqual(await self.store(self.sinks), self.content.cap)
        self.again()
        self.put(0, 1, 2)
        self.grid.servers[2].mood = hanging("buckets", "read")
        self.assertEqual(await self.store(self.sinks), self.content.cap)

    async def test_visible_later(self) -> None:
        """Shares that become visible a moment later count."""
        storing = begin(self.store(self.sinks))
        asked = self.grid.servers[0]
        inner = asked.mood

        async def mood(operation: str, share: int) -> None:
            await inner(operation, share)
            REACTOR.callLater(0, self.put, 0, 1, 2)

        asked.mood = mood
        self.assertEqual(await storing, self.content.cap)

    async def test_claim(self) -> None:
        """Of a file that is said to be there, and is not, nothing is waited for."""
        self.story.helper["open_push"] = lambda *_: (
            wire.PRESENT,
            b"",
            0,
            b"",
            None,
            self.story.ueb,
        )
        with self.assertRaises(NotProved):
            await self.store(self.sinks)
        self.again()
        cap = await self.store(self.routes)
        self.assertEqual(await self.grid.read(cap), self.content.plaintext)
        # It is there now, so the same words are true.
        opened = self.story.opened
        self.sinks._avoided.clear()
        self.assertEqual(await self.store(self.routes), cap)
        self.assertEqual((self.story.opened, self.story.held), (opened, b""))

    async def test_claim_of_another_file(self) -> None:
        """One that is there, and is another one, is found out in the end at the latest."""
        other = Content(SIZE, seed=5)
        for number, share in enumerate(make_file(other.plaintext, KEY, ENCODING).shares):
            put_share(self.grid.servers[number], INDEX, number, share)
        self.story.helper["open_push"] = lambda *_: (
            wire.PRESENT,
            b"",
            0,
            b"",
            None,
            Story(other, True).ueb,
        )
        with self.assertRaises(HelperLied):
            await self.store(self.sinks)
        smaller = Story(Content(200), True)
        self.sinks._avoided.clear()
        self.story.helper["open_push"] = lambda *_: (
            wire.PRESENT,
            b"",
            0,
            b"",
            None,
            smaller.ueb,
        )
        with self.assertRaises(HelperLied):
            await self.sinks.open(NewFile(INDEX, SIZE, 1 << 20))

    async def test_by_itself(self) -> None:
        """A file that is kept here meanwhile goes to the servers by itself."""
        data = self.content.plaintext * 5
        uploader = Uploader(
            self.grid.encoding,
            self.routes,
            b"convergence",
            self.grid.cpu,
            self.grid.disk,
            str(self.grid.root / "spool"),
            self.grid.budget,
            os.urandom,
            REACTOR,
            UploadLimits(),
        )
        cap: Any = await uploader.upload(
            in_chunks(data, 100), UploadOptions(ConvergentKey(), len(data))
        )
        self.assertEqual(await self.grid.read(cap), data)
        # One that streams is refused once, and goes there when it is sent again.
        self.story.held = b""
        with self.assertRaises(HelperLied):
            await uploader.upload(
                in_chunks(data, 100), UploadOptions(GivenKey(KEY), len(data))
            )
        cap = await uploader.upload(
            in_chunks(data, 100), UploadOptions(GivenKey(KEY), len(data))
        )
        self.assertEqual(await self.grid.read(cap), data)
        self.assertEqual(self.grid.budget.used, 0)

    async def test_too_few_servers(self) -> None:
        """A gateway that reaches too few servers says so before it takes a byte."""
        self.put(0, 1, 2)
        self.grid.servers[1:] = []
        with self.assertRaises(CannotProve) as caught:
            await self.store(self.routes)
        self.assertIn("helper.verify = false", str(caught.exception))
        self.assertEqual(self.story.opened, 0)


class PulledTests(_Case):
    async def start(self, upload: Any, answer: Any) -> ProvedSinks:
        furl = self.lair.furl(PullingHelper(answer or (lambda: (None, upload))))
        gateway = await PulledGateway.new(self, self.grid, furl)
        return proved(self.grid, gateway.sinks)

    async def test_nothing(self) -> None:
        """A stock helper that pulls all and stores nothing."""
        sinks = await self.start(PullingUpload(StockPull(self.content)), None)
        with self.assertRaises(NotProved):
            await self.store(sinks)
        self.put(0, 1, 2)
        sinks._avoided.clear()
        self.assertEqual(await self.store(sinks), self.content.cap)

    async def test_claim(self) -> None:
        """One that says that the file is there."""
        sinks = await self.start(None, lambda: (results_for(self.content), None))
        with self.assertRaises(NotProved):
            await sinks.open(NewFile(INDEX, SIZE, SIZE))
        self.put(0, 1, 2)
        sinks._avoided.clear()
        self.assertEqual(await self.store(sinks), self.content.cap)


class RealTests(TestCase):
    timeout = 120

    async def test_helper(self) -> None:
        """Of what a helper stores every file counts, and the proof reads little."""
        for known in (True, False):
            helped = Helped.new(self, servers=6, happy=2)
            helped.listen()
            gateway = await Gateway.of(helped, happy=2)
            gateway.sinks = proved(helped.grid, gateway.sinks)  # type: ignore[assignment]
            content = Content(5000)
            before = sum(server.reads for server in helped.grid.servers)
            self.assertEqual(
                (await gateway.push(content, known=known)).key, content.cap.key
            )
            reads = sum(server.reads for server in helped.grid.servers) - before
            self.assertLess(reads, 40)
            # Again: it is there.
            await gateway.push(content, known=known)
            await helped.stop()
