"""The crawler: what it counts, what it removes, and what it never does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.grids import (
    NOW,
    REACTOR,
    SECRETS,
    MoodyServer,
    container_of,
    new_directory,
    new_server,
    new_workers,
    until,
)
from truckee.codec.container import LEASE_DURATION, ContainerHeader
from truckee.codec.lease_expiry import ExpiryPolicy, ShareKind
from truckee.codec.slot_container import FREE_LEASE, SlotHeader, SlotLease, SlotLeases
from truckee.storage.crawl_state import NAME, CrawlState, load_state, save_state
from truckee.storage.lease_crawler import CrawlPace, LeaseCrawler

DAY = 86400
PACE = CrawlPace(slice=0.001, pause=0.001, first=0.0, cycle=0.0)
ONCE = CrawlPace(slice=0.001, pause=0.001, first=0.0, cycle=3600.0)


Hold = Callable[[bytes, Callable[[Path], None]], Awaitable[None]]


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.server: MoodyServer = new_server(new_directory(self), new_workers(self))
        self.now = NOW

    def put(self, number: int, *days_ago: float, share: int = 0) -> Path:
        """Have a share whose leases were renewed so many days ago."""
        home = self.server.directory.home(bytes([number]) * 16)
        home.mkdir(parents=True, exist_ok=True)
        data = bytearray(container_of(b"share"))
        for days in days_ago:
            at = NOW - days * DAY
            data += ContainerHeader(2, 0).lease(0, SECRETS, at).pack()
        data[8:12] = len(days_ago).to_bytes(4, "big")
        path = home / str(share)
        path.write_bytes(data)
        return path

    def new(
        self,
        policy: ExpiryPolicy | None = None,
        pace: CrawlPace = PACE,
        now: Callable[[], float] | None = None,
        hold: Hold | None = None,
    ) -> LeaseCrawler:
        """Return a crawler that is at work."""
        crawler = LeaseCrawler(
            self.server.directory.root,
            hold or self.server.remove_expired,
            policy,
            self.server._disk,
            REACTOR,
            now or (lambda: self.now),
            pace,
        )
        crawler.start()
        self.addCleanup(crawler.stop)
        return crawler

    async def cycles(self, crawler: LeaseCrawler, count: int) -> None:
        """Return when so many were finished."""
        await until(lambda: crawler.state.cycles >= count)


class ExpiryTests(_Case):
    async def test_removes(self) -> None:
        """Shares go whose leases are all over, in the second look at the earliest."""
        gone, gone_too = self.put(1, 40), self.put(1, 50, 32, share=3)
        stays = [self.put(1, 40, 1, share=5), self.put(2, 30), self.put(3)]
        crawler = self.new(ExpiryPolicy(), ONCE)
        await self.cycles(crawler, 1)
        await crawler.stop()
        last = crawler.state.last
        self.assertEqual((last.shares, last.expired_shares, last.removed_shares), (5, 2, 0))
        self.assertEqual((last.leases, last.expired_leases), (6, 4))
        self.assertEqual((last.files, last.without_lease), (3, 1))
        self.assertTrue(gone.exists())
        # Another process goes on where this one was.
        crawler = self.new(ExpiryPolicy(), ONCE)
        await self.cycles(crawler, 2)
        await crawler.stop()
        self.assertEqual([path.exists() for path in (gone, gone_too)], [False, False])
        self.assertTrue(all(path.exists() for path in stays))
        self.assertEqual(crawler.state.last.removed_shares, 2)

    async def test_nothing_expires(self) -> None:
        """Without a policy, or for the other kind of shares, it counts and no more."""
        path = self.put(1, 4000)
        for policy in (None, ExpiryPolicy(kinds=frozenset([ShareKind.MUTABLE]))):
            crawler = self.new(policy)
            await self.cycles(crawler, 3)
            await crawler.stop()
            self.assertTrue(path.exists())

    async def test_empty_directories_go(self) -> None:
        """The directory of a file goes with its last share."""
        path = self.put(1, 40)
        crawler = self.new(ExpiryPolicy())
        await self.cycles(crawler, 2)
        self.assertFalse(path.parent.exists())

    async def test_damaged(self) -> None:
        """What a power cut left of leases, or is no container, is never removed."""
        short, blank = self.put(1, 40), self.put(2, 40)
        data = bytearray(short.read_bytes())
        data[8:12] = (2).to_bytes(4, "big")
        short.write_bytes(data)
        data[8:12] = (2).to_bytes(4, "big")
        blank.write_bytes(bytes(data) + bytes(72))
        other = self.put(3, 40)
        other.write_bytes(b"something else")
        crawler = self.new(ExpiryPolicy())
        await self.cycles(crawler, 3)
        self.assertTrue(all(path.exists() for path in (short, blank, other)))
        self.assertEqual(crawler.state.last.unreadable, 1)

    async def test_mutable(self) -> None:
        """Shares of mutable files go by the same rule; damaged leases keep them."""
        old, new = (
            SlotLease(1, int(NOW - days * DAY) + LEASE_DURATION, b"r" * 32, b"", bytes(20))
            for days in (40, 1)
        )
        paths = []
        for number, leases in enumerate(([old], [old, new], [old] * 5, [old] * 5, [])):
            header = SlotHeader(2, bytes(20), bytes(32)).grown(5)
            free = [FREE_LEASE] * max(0, 4 - len(leases))
            places = SlotLeases((*leases, *free))
            path = self.put(number + 1)
            path.write_bytes(header.pack() + places.inline + b"share" + places.extra)
            paths.append(path)
        # One whose fifth lease was not counted yet when the power went.
        whole = bytearray(paths[3].read_bytes())
        whole[473:477] = bytes(4)
        paths[3].write_bytes(whole)
        crawler = self.new(ExpiryPolicy())
        await self.cycles(crawler, 2)
        found = [path.exists() for path in paths]
        self.assertEqual(found, [False, True, False, True, True])

    async def test_renewed_meanwhile(self) -> None:
        """A lease that is added in the last moment keeps the share."""
        path = self.put(1, 40)
        crawler = self.new(ExpiryPolicy())
        index = bytes([1]) * 16
        self.server._now = lambda: NOW
        async with self.server._leases.hold(index):
            await until(lambda: crawler.state.now.expired_shares and crawler.state.removes)
            self.server.directory.shares(index)[0].renew_lease(1, SECRETS, NOW)
        done = crawler.state.cycles
        await self.cycles(crawler, done + 2)
        self.assertTrue(path.exists())


class ClockTests(_Case):
    def saved(self, seen: float, grace: float = 0.0) -> None:
        """Have a state of a process that ended when it was *seen*."""
        state = CrawlState(cycles=5, seen=seen, grace=grace)
        save_state(self.server.directory.root / NAME, state)

    async def test_gap(self) -> None:
        """Leases get the time in which the node was off; a clock that jumped is no time."""
        for seen, grace in (
            (NOW - 3 * DAY, 3 * DAY),
            (NOW - 300 * DAY, LEASE_DURATION),
            (NOW + 300 * DAY, LEASE_DURATION),
        ):
            path = self.put(1, 400)
            self.saved(seen)
            crawler = self.new(ExpiryPolicy())
            await self.cycles(crawler, 7)
            await crawler.stop()
            self.assertTrue(path.exists())
            self.assertLess(abs(crawler.state.grace - grace), 60)

    async def test_jump_while_it_runs(self) -> None:
        """A clock that jumps ahead removes nothing."""
        path = self.put(1, 1)
        self.saved(NOW - 60)
        crawler = self.new(ExpiryPolicy())
        await self.cycles(crawler, 6)
        self.now += 400 * DAY
        await self.cycles(crawler, crawler.state.cycles + 3)
        self.assertTrue(path.exists())
        self.assertEqual(crawler.state.last.expired_shares, 1)

    async def test_jump_between_any_two_looks(self) -> None:
        """Whichever look at the clock is the first after it jumped."""
        for before in range(16):
            path = self.put(1, 1)
            self.saved(NOW - 60)
            looks = itertools.count()

            def now(looks: Iterator[int] = looks, before: int = before) -> float:
                return NOW if next(looks) < before else NOW + 400 * DAY

            crawler = self.new(ExpiryPolicy(), now=now)
            await self.cycles(crawler, 9)
            await crawler.stop()
            self.assertTrue(path.exists(), before)

    async def test_set_back(self) -> None:
        """A clock that is set back does not stop the cycles until it is there again."""
        self.put(1, 1)
        crawler = self.new(ExpiryPolicy())
        await until(lambda: crawler.state.started is not None)
        self.now -= 400 * DAY
        await self.cycles(crawler, crawler.state.cycles + 3)

    async def test_short_restart(self) -> None:
        """A restart costs nothing."""
        path = self.put(1, 40)
        self.saved(NOW - 60)
        crawler = self.new(ExpiryPolicy())
        await self.cycles(crawler, 6)
        self.assertFalse(path.exists())


class StateTests(_Case):
    async def test_damaged(self) -> None:
        """A damaged state is one that was never there: the first look removes nothing."""
        path = self.server.directory.root / NAME
        whole = CrawlState(1.0, "ab", 3, 2.0, 5.0)
        save_state(path, whole)
        self.assertEqual(load_state(path), whole)
        good = json.loads(path.read_bytes())
        for bad in (
            b"",
            b"[]",
            b"\0" * 300,
            *(
                json.dumps(good | change).encode()
                for change in (
                    {"version": 2},
                    {"now": 3},
                    {"now": {"files": "x"}},
                    {"last": {"other": 1}},
                    {"started": "x"},
                    {"cycles": None},
                    {"grace": -1},
                    {"more": 1},
                )
            ),
        ):
            path.write_bytes(bad)
            self.assertRaises(ValueError, load_state, path)
        share = self.put(1, 40)
        crawler = self.new(ExpiryPolicy(), ONCE)
        await self.cycles(crawler, 1)
        self.assertTrue(share.exists())

    async def test_goes_on_within_a_cycle(self) -> None:
        """The next process begins behind the last directory that was done."""
        self.put(1, 1)
        self.put(200, 1)
        done = self.server.directory.home(bytes([1]) * 16).parent.name
        state = CrawlState(started=NOW, prefix=done, cycles=1, seen=NOW)
        save_state(self.server.directory.root / NAME, state)
        crawler = self.new(ExpiryPolicy(), ONCE)
        await self.cycles(crawler, 2)
        self.assertEqual(crawler.state.last.shares, 1)

    async def test_full_disk(self) -> None:
        """A disk that takes no state has it wait, and say why."""
        self.put(1, 1)
        path = self.server.directory.root / NAME
        path.with_name(NAME + ".new").mkdir()
        crawler = self.new(ExpiryPolicy())
        await until(lambda: crawler.error)
        path.with_name(NAME + ".new").rmdir()
        await until(lambda: crawler.error is None)

    async def test_goes_on_after_any_error(self) -> None:
        """What nobody foresaw ends no crawler: it tries again, and says what it was."""
        path = self.put(1, 100)
        inner, errors = self.server.remove_expired, [ValueError("no share"), KeyError(1)]

        async def remove(storage_index: bytes, work: Callable[[Path], None]) -> None:
            if errors:
                raise errors.pop()
            await inner(storage_index, work)

        crawler = self.new(ExpiryPolicy(), hold=remove)
        await until(lambda: crawler.error == "no share")
        await until(lambda: not path.exists())
        await until(lambda: crawler.error is None)
