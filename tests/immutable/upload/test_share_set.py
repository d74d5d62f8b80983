"""Shares that are lost on their way: placed elsewhere, or told of."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from twisted.trial.unittest import TestCase

from tests.grids import Grid, Mood, calm, failing, hanging, in_chunks, pause
from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.grid.selection import NotEnoughServers
from truckee.immutable.upload import share_stream
from truckee.immutable.upload.sinks import NewFile
from truckee.immutable.upload.status import UploadStatus

KEY = b"0123456789abcdef"
INDEX = storage_index_of(KEY)
DATA = random.Random(1).randbytes(64 * 20)
CIPHERTEXT = crypt(KEY, 0, DATA)


def failing_after(count: int) -> Mood:
    """Fail in all writes after the first *count*."""
    done = 0

    async def mood(operation: str, share: int) -> None:
        nonlocal done
        done += operation == "write"
        if done > count:
            raise OSError(5, "the cable was pulled")

    return mood


class _Case(TestCase):
    timeout = 120

    async def upload(
        self,
        grid: Grid,
        status: UploadStatus,
        size: int | None = None,
        chunks: AsyncIterator[bytes] | None = None,
    ) -> dict[int, list[str]]:
        """
        Store the file and read it back.

        Return the names of the servers that hold each share, which are those that *status*
        tells.
        """
        sink = await grid.sinks.open(NewFile(INDEX, size, 1 << 20, status=status))
        try:
            async for chunk in chunks or in_chunks(CIPHERTEXT, 100):
                await sink.write(chunk)
            cap: ChkReadCap = (await sink.close()).read_cap(KEY)
        except Exception:
            await sink.abort()
            raise
        for server in grid.servers:
            server.mood = calm
        self.assertEqual(await grid.read(cap), DATA)
        holders = {
            share: [grid.servers[place].name for place in places]
            for share, places in sorted(grid.shares(INDEX).items())
        }
        self.assertEqual(status.shares, holders)
        return holders


class ReplacedTests(_Case):
    async def test_healthy(self) -> None:
        """The status names the server of every share."""
        for size in (len(DATA), None):
            grid, status = Grid.new(self, Encoding(2, 4, 64), servers=5), UploadStatus()
            self.assertEqual(list(await self.upload(grid, status, size)), [0, 1, 2, 3])
            self.assertEqual(status.route, "servers")
            self.assertEqual(status.happiness, 4)
            self.assertEqual(status.lost, [])

    async def test_dead_from_the_start(self) -> None:
        """A share whose server fails at once is placed on the server that is left."""
        for size in (len(DATA), None):
            lost = []
            for bad in range(5):
                grid = Grid.new(self, Encoding(2, 4, 64), servers=5, happy=4)
                grid.servers[bad].mood = failing("write")
                status = UploadStatus()
                holders = await self.upload(grid, status, size)
                self.assertEqual(list(holders), [0, 1, 2, 3])
                self.assertEqual(status.happiness, 4)
                self.assertNotIn([f"server {bad}"], holders.values())
                lost += [(each.server, f"server {bad}") for each in status.lost]
            self.assertEqual(len(lost), 4)  # one of the five was not used
            for told, really in lost:
                self.assertEqual(told, really)

    async def test_frozen_from_the_start(self) -> None:
        """A share whose server hangs is placed elsewhere while the file is at its start."""
        for size in (len(DATA), None):
            grid = Grid.new(self, Encoding(2, 4, 64), servers=5, happy=4)
            status = UploadStatus()

            async def hangs(
                operation: str, share: int, status: UploadStatus = status
            ) -> None:
                if share == 0 and not status.lost:
                    await hanging("write")(operation, share)

            for server in grid.servers:
                server.mood = hangs
            holders = await self.upload(grid, status, size)
            self.assertEqual(list(holders), [0, 1, 2, 3])
            self.assertEqual(status.happiness, 4)
            (lost,) = status.lost
            self.assertNotEqual(holders[0], [lost.server])

    async def test_on_top_of_others(self) -> None:
        """Where all servers have a share already, one of them gets the lost one too."""
        grid = Grid.new(self, Encoding(2, 4, 64), servers=4, happy=3)
        grid.servers[2].mood = failing("write")
        status = UploadStatus()
        holders = await self.upload(grid, status)
        self.assertEqual(list(holders), [0, 1, 2, 3])
        self.assertEqual(status.happiness, 3)
        self.assertEqual([lost.server for lost in status.lost], ["server 2"])

    async def test_spare_fails_too(self) -> None:
        """A share that is lost again is tried on yet another server."""
        grid = Grid.new(self, Encoding(2, 3, 64), servers=5, happy=3)
        for server in grid.servers[:2]:
            server.mood = failing("write")
        status = UploadStatus()
        self.assertEqual(list(await self.upload(grid, status)), [0, 1, 2])
        self.assertEqual(status.happiness, 3)

    async def test_nobody_is_left(self) -> None:
        """When the spare servers refuse too, the upload fails and leaves nothing."""
        grid = Grid.new(self, Encoding(2, 4, 64), servers=6, happy=4)
        asked = 0

        async def refuses_later(operation: str, share: int) -> None:
            nonlocal asked
            asked += operation == "allocate"
            if operation == "allocate" and asked > 4:
                raise OSError(5, "no more")
            if operation == "write" and share == 1:
                raise OSError(5, "the cable was pulled")

        for server in grid.servers:
            server.mood = refuses_later
        with self.assertRaises(NotEnoughServers):
            await self.upload(grid, UploadStatus())
        self.assertGreater(asked, 5)
        self.assertEqual(grid.files, [])
        self.assertEqual(grid.budget.used, 0)


class LostTests(_Case):
    async def test_lost_later(self) -> None:
        """A share that is lost after the first segment is missing, and told of."""
        grid = Grid.new(self, Encoding(2, 4, 64), servers=4, happy=3)
        grid.servers[1].mood = failing_after(5)
        status = UploadStatus()
        holders = await self.upload(grid, status)
        self.assertEqual(len(holders), 3)
        (lost,) = status.lost
        self.assertEqual(lost.server, "server 1")
        self.assertNotIn(lost.share, holders)
        self.assertIn("cable", lost.reason)


class KeepAliveTests(_Case):
    async def test_kept_alive(self) -> None:
        """While the client is silent for long, every share is written to now and then."""
        self.patch(share_stream, "KEEP_ALIVE", 0.1)
        for first, size in ((10, len(DATA)), (640, len(DATA)), (640, None)):
            grid = Grid.new(self, Encoding(2, 4, 64), servers=4)
            writes = [0] * 4

            async def count(operation: str, share: int, writes: list[int] = writes) -> None:
                if operation == "write":
                    writes[share] += 1

            async def slow(
                first: int = first, writes: list[int] = writes
            ) -> AsyncIterator[bytes]:
                yield CIPHERTEXT[:first]
                await pause(0.4)
                before = list(writes)
                await pause(0.4)
                for share in range(4):
                    self.assertGreater(writes[share], before[share])
                yield CIPHERTEXT[first:]

            for server in grid.servers:
                server.mood = count
            status = UploadStatus()
            self.assertEqual(len(await self.upload(grid, status, size, slow())), 4)
