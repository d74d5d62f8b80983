"""Finding servers for a new file, however they behave."""

from __future__ import annotations

import random

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import (
    LEASE_SECRET,
    Grid,
    failing,
    hanging,
    pause,
    put_share,
)
from truckee.codec.secrets import lease_secrets
from truckee.grid import asking
from truckee.grid.permute import permuted
from truckee.grid.selection import Holders, NotEnoughServers, Placement
from truckee.grid.share_request import Keep
from truckee.storage.direct_client import DirectWriter
from truckee.storage.direct_shares import DirectShares
from truckee.storage.interfaces import MAX_DIRECT_SHARE, NoSpace

INDEX = b"i" * 16


class FarDirect(DirectShares):
    """That of a server somewhere else."""

    far = True


async def believe(claims: Holders) -> Holders:
    """Take what servers say for a proof."""
    return claims


async def place(
    grid: Grid, index: bytes, total: int, size: int, open_ended: bool = False
) -> Placement:
    """Place a file of one share that is needed."""
    request = grid.selector.request(index, size, open_ended)
    return await grid.selector.place(request, total, needed=1, prove=believe)


class SelectionTests(TestCase):
    timeout = 120

    async def place(self, grid: Grid, total: int = 4, size: int = 100) -> Placement:
        return await place(grid, INDEX, total, size)

    async def give_up(self, placement: Placement, grid: Grid) -> None:
        """Abort all that was placed; nothing is left then."""
        for writer in placement.writers.values():
            await writer.abort()
        self.assert_nothing(grid)

    def assert_nothing(self, grid: Grid) -> None:
        """Nothing is written and nothing promised."""
        self.assertEqual(grid.files, [])
        for server in grid.servers:
            self.assertEqual(server._writers, {})

    async def test_place(self) -> None:
        """Each share has a writer on one server; the first servers are used first."""
        grid = Grid.new(self, servers=6, happy=4)
        placement = await self.place(grid)
        self.assertEqual(set(placement.writers), set(range(4)))
        self.assertEqual(set(placement.servers), set(range(4)))
        first = permuted(grid.servers, INDEX)[:4]
        self.assertEqual(set(placement.servers.values()), set(first))
        self.assertEqual(placement.happiness(), 4)
        self.assertEqual(placement.happiness(frozenset({0, 1})), 2)
        await self.give_up(placement, grid)

    async def test_few_servers(self) -> None:
        """With fewer servers than shares they share the load."""
        grid = Grid.new(self, servers=3, happy=3)
        placement = await self.place(grid, total=10)
        self.assertEqual(set(placement.writers), set(range(10)))
        servers = list(placement.servers.values())
        self.assertEqual(sorted(map(servers.count, grid.servers)), [3, 3, 4])
        await self.give_up(placement, grid)

    async def test_failing_servers(self) -> None:
        """Servers that fail are gone round, at whatever they fail."""
        for operation in ("buckets", "allocate"):
            grid = Grid.new(self, servers=6, happy=4)
            for server in permuted(grid.servers, INDEX)[:2]:
                server.mood = failing(operation)  # type: ignore[attr-defined]
            placement = await self.place(grid)
            self.assertEqual(placement.happiness(), 4)
            self.assertEqual(set(placement.writers), set(range(4)))
            await self.give_up(placement, grid)
        self.flushLoggedErrors(OSError)

    async def test_refusing_servers(self) -> None:
        """Shares that a server refuses go to others, and are not asked of it again."""
        grid = Grid.new(self, servers=6, happy=4)
        for server in permuted(grid.servers, INDEX)[:2]:
            server.refuses = set(range(4))  # type: ignore[attr-defined]
        placement = await self.place(grid)
        self.assertEqual(placement.happiness(), 4)
        await self.give_up(placement, grid)

    async def test_too_few(self) -> None:
        """Below the happiness it is an error, and all that was placed is given up."""
        for operation in ("buckets", "allocate"):
            grid = Grid.new(self, servers=4, happy=4)
            grid.servers[0].mood = failing(operation)
            error = await self.assertFailure(
                Deferred.fromCoroutine(self.place(grid)), NotEnoughServers
            )
            assert isinstance(error, NotEnoughServers)
            self.assertEqual((error.found, error.needed), (3, 4))
            self.assert_nothing(grid)
        self.flushLoggedErrors(OSError)

    async def test_slow_servers(self) -> None:
        """Slow servers are waited for when there is not enough happiness without them."""
        self.patch(asking, "GRACE", 0.01)
        for operation in ("buckets", "allocate"):
            grid = Grid.new(self, servers=4, happy=4)
            awake: Deferred[None] = Deferred()
            reached: Deferred[None] = Deferred()

            async def mood(
                which: str,
                share: int,
                operation: str = operation,
                awake: Deferred[None] = awake,
                reached: Deferred[None] = reached,
            ) -> None:
                if which == operation:
                    reached.callback(None)
                    await awake

            grid.servers[0].mood = mood
            placing = Deferred.fromCoroutine(self.place(grid))
            await reached
            await pause(0.3)
            self.assertNoResult(placing)
            awake.callback(None)
            placement = await placing
            self.assertEqual(placement.happiness(), 4)
            await self.give_up(placement, grid)

    async def test_slow_servers_in_excess(self) -> None:
        """Without need they are not waited for: others have their shares."""
        self.patch(asking, "GRACE", 0.01)
        for operation in ("buckets", "allocate"):
            grid = Grid.new(self, servers=6, happy=4)
            permuted(grid.servers, INDEX)[0].mood = hanging(operation)  # type: ignore[attr-defined]
            placement = await self.place(grid)
            self.assertEqual(placement.happiness(), 4)
            await self.give_up(placement, grid)

    async def test_short_shares(self) -> None:
        """Short shares of a new file are sent when they are closed, to servers that can."""
        grid = Grid.new(self, servers=4, happy=4)
        for server in grid.servers[1:]:
            server.direct = FarDirect(server, server._disk, lambda: 0.0)
        request = grid.selector.request(INDEX, 8)
        placement = await grid.selector.place(
            request, 4, needed=1, prove=believe, fresh=True
        )
        for share, writer in placement.writers.items():
            await writer.write(0, [b"12345678"])
            late = placement.servers[share] is not grid.servers[0]
            self.assertEqual(isinstance(writer, DirectWriter), late)
            await writer.close(8)
        self.assertEqual(len(grid.files), 4)
        self.assertEqual({server.reads for server in grid.servers}, {0})

    async def test_no_short_shares(self) -> None:
        """Room is asked for long ones, and for those that somebody may go on with."""
        grid = Grid.new(self, servers=4, happy=4)
        for server in grid.servers:
            server.direct = FarDirect(server, server._disk, lambda: 0.0)
        long = MAX_DIRECT_SHARE + 1
        for size, fresh, keep, open_ended in (
            (long, True, Keep.NOT, False),
            (8, False, Keep.NOT, False),
            (8, True, Keep.BRIEFLY, False),
            (8, True, Keep.NOT, True),
        ):
            request = grid.selector.request(INDEX, size, open_ended, keep)
            placement = await grid.selector.place(
                request, 4, needed=1, prove=believe, fresh=fresh
            )
            for writer in placement.writers.values():
                self.assertNotIsInstance(writer, DirectWriter)
            await self.give_up(placement, grid)

    async def test_full(self) -> None:
        """When servers are full the error names them."""
        grid = Grid.new(self, servers=4, happy=4)
        grid.servers[2].reserved_space = 1 << 60
        error = await self.assertFailure(Deferred.fromCoroutine(self.place(grid)), NoSpace)
        self.assertIn("server 2", str(error))
        self.assertNotIn("server 1", str(error))
        self.assert_nothing(grid)

    async def test_no_servers(self) -> None:
        """Without servers nothing can be placed, and nothing is found."""
        grid = Grid.new(self, servers=0, happy=0)
        with self.assertRaises(NotEnoughServers):
            await self.place(grid)
        self.assertEqual(await grid.selector.find(INDEX, 1), {})

    async def test_existing_shares_count(self) -> None:
        """Shares that are there count and are not stored again."""
        grid = Grid.new(self, servers=4, happy=4)
        put_share(grid.servers[0], INDEX, 0, b"share")
        put_share(grid.servers[1], INDEX, 1, b"share")
        placement = await self.place(grid)
        self.assertEqual(set(placement.writers), {2, 3})
        self.assertEqual(
            {n: list(s) for n, s in placement.existing.items()},
            {0: [grid.servers[0]], 1: [grid.servers[1]]},
        )
        self.assertEqual(placement.happiness(), 4)
        for writer in placement.writers.values():
            await writer.abort()

    async def test_leases_of_existing_shares(self) -> None:
        """The leases of shares that were there are renewed, where none are added too."""
        grid = Grid.new(self, servers=4, happy=4)
        for number, server in enumerate(grid.servers):
            put_share(server, INDEX, number, b"share")
        before = {path: path.stat().st_size for path in grid.files}
        placement = await self.place(grid)
        self.assertEqual(placement.writers, {})
        await grid.selector.renew(INDEX, placement)
        after = {path: path.stat().st_size for path in grid.files}
        # Each was put there with the lease of somebody else.
        self.assertEqual(after, {path: size + 72 for path, size in before.items()})

    async def test_open_ends(self) -> None:
        """Shares of unknown size go to servers that take them, the first in the order."""
        grid = Grid.new(self, servers=14, sized=7, happy=3)
        placement = await place(grid, INDEX, 3, 100, open_ended=True)
        able = [each for each in permuted(grid.servers, INDEX) if each.takes_open_ends]
        self.assertEqual(set(placement.servers.values()), set(able[:3]))
        await self.give_up(placement, grid)

    async def test_open_ends_far_away(self) -> None:
        """They are found however many servers that take none stand before them."""
        grid = Grid.new(self, servers=20, sized=18, happy=2)
        for number in range(20):
            index = bytes([number]) * 16
            placement = await place(grid, index, 2, 100, open_ended=True)
            self.assertEqual(set(placement.servers.values()), set(grid.servers[18:]))
            await self.give_up(placement, grid)

    async def test_open_ends_and_existing_shares(self) -> None:
        """Shares that are there count, also where no open end is taken."""
        grid = Grid.new(self, servers=4, sized=2, happy=4)
        for number in (0, 1):
            put_share(grid.servers[number], INDEX, number, b"share")
        placement = await place(grid, INDEX, 4, 100, open_ended=True)
        self.assertEqual(set(placement.writers), {2, 3})
        self.assertEqual(placement.happiness(), 4)
        for writer in placement.writers.values():
            await writer.abort()

    async def test_too_few_take_open_ends(self) -> None:
        """When too few servers take them, it is an error, and nothing is left."""
        grid = Grid.new(self, servers=5, sized=3, happy=3)
        with self.assertRaises(NotEnoughServers) as caught:
            await place(grid, INDEX, 3, 100, open_ended=True)
        self.assertEqual((caught.exception.found, caught.exception.needed), (2, 3))
        self.assert_nothing(grid)
        await self.give_up(await self.place(grid, 3), grid)

    async def test_needs_known_size(self) -> None:
        """A size is needed where there are servers enough, but too few take open ends."""
        for servers, sized, happy, needed in (
            (3, 0, 3, False),
            (4, 1, 3, False),
            (4, 2, 3, True),
            (4, 4, 3, True),
            (4, 4, 5, False),  # knowing it would not help
            (0, 0, 1, False),
        ):
            grid = Grid.new(self, servers=servers, sized=sized, happy=happy)
            self.assertIs(grid.selector.needs_known_size, needed, (servers, sized))

    async def test_find(self) -> None:
        """All finished shares are found, with their servers in the file's order."""
        grid = Grid.new(self, servers=4)
        for server in grid.servers:
            put_share(server, INDEX, 0, b"share")
        put_share(grid.servers[1], INDEX, 3, b"share")
        grid.servers[2].mood = failing("buckets")
        found = await grid.selector.find(INDEX, 2)
        order = [s for s in permuted(grid.servers, INDEX) if s is not grid.servers[2]]
        self.assertEqual(list(found[0]), order)
        self.assertEqual(list(found[3]), [grid.servers[1]])
        self.flushLoggedErrors(OSError)

    async def test_secrets(self) -> None:
        """Each server gets the secrets that are made for it."""
        grid = Grid.new(self)
        server = grid.servers[1]
        expected = lease_secrets(LEASE_SECRET, INDEX, server.lease_seed)
        self.assertEqual(grid.selector.secrets(INDEX, server), expected)
        self.assertNotIn(repr(LEASE_SECRET), repr(grid.selector))

    async def test_cancel(self) -> None:
        """Cancelled while servers hang, nothing is left on those that answered."""
        for operation in ("buckets", "allocate"):
            grid = Grid.new(self, servers=4, happy=4)
            for server in grid.servers[:2]:
                server.mood = hanging(operation)
            placing = Deferred.fromCoroutine(self.place(grid))
            await pause(0.05)
            self.assertNoResult(placing)
            placing.cancel()
            await self.assertFailure(placing, CancelledError)
            self.assert_nothing(grid)

    async def test_random_moods(self) -> None:
        """
        However servers fail and refuse: the shares have one writer each, the happiness is
        what is demanded or it is an error, and no writer is forgotten.
        """
        placed = 0
        for seed in range(120):
            rng = random.Random(seed)
            total = rng.randint(1, 6)
            happy = rng.randint(1, total)
            grid = Grid.new(self, servers=rng.randint(1, 7), happy=happy)
            shown = []
            for server in grid.servers:
                if rng.random() < 0.2:
                    server.mood = failing(rng.choice(["buckets", "allocate"]))
                server.refuses = {
                    n for n in range(total) if rng.random() < rng.choice([0, 0.5])
                }
                for number in range(total + 1):
                    if rng.random() < 0.15:
                        shown.append(put_share(server, INDEX, number, b"share"))
            try:
                placement = await self.place(grid, total)
            except NotEnoughServers as error:
                self.assertEqual(error.needed, happy)
            else:
                placed += 1
                self.assertGreaterEqual(placement.happiness(), happy)
                self.assertLessEqual(set(placement.writers), set(range(total)))
                for share, writer in placement.writers.items():
                    self.assertNotIn(share, placement.servers[share].refuses)  # type: ignore[attr-defined]
                    await writer.abort()
            self.assertEqual(grid.files, sorted(shown), seed)
            for server in grid.servers:
                self.assertEqual(server._writers, {}, seed)
        self.assertGreater(placed, 40)
        self.flushLoggedErrors(OSError)
