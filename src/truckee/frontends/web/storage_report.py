"""What a storage server reports of its disk and of the leases of its shares."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from attrs import define, frozen

from truckee.codec.lease_expiry import ExpiryPolicy
from truckee.flow.cpu import Workers
from truckee.storage.crawl_state import CrawlState
from truckee.storage.kept_shares import KeptShares, KeptTotals
from truckee.storage.lease_crawler import LeaseCrawler
from truckee.storage.server import DiskServer


@frozen
class DiskReport:
    """The disk of a storage directory, in bytes."""

    total: int
    free: int  # for the superuser
    available: int  # for everybody else


@frozen
class StorageReport:
    """A storage server at one moment."""

    disk: DiskReport | None  # None where that is not told
    reserved: int  # bytes that shares never use
    room: int  # bytes that it would take now
    readonly: bool
    policy: ExpiryPolicy | None  # None: nothing expires
    state: CrawlState
    progress: float  # of the cycle under way, from 0 to 1
    next_cycle: float | None  # Unix seconds; None: one is under way
    error: str | None  # what keeps the crawler from going on
    keep: float  # seconds for which shares in progress are kept; 0: none are
    kept: KeptTotals  # of these


@define(eq=False)
class StorageReporter:
    """Makes reports of one server."""

    _server: DiskServer
    _crawler: LeaseCrawler
    _kept: KeptShares
    _disk: Workers

    async def report(self) -> StorageReport:
        """Look at the server and at its disk."""
        crawler, server = self._crawler, self._server
        disk = await self._disk.run(_look, server.directory.root)
        try:
            room = await server.available_space()
        except OSError:
            room = 0
        return StorageReport(
            disk,
            server.reserved_space,
            room,
            server.readonly,
            crawler.policy,
            crawler.state,
            crawler.progress,
            crawler.next_cycle,
            crawler.error,
            self._kept.keep,
            self._kept.totals,
        )


def _look(root: Path) -> DiskReport | None:
    with suppress(OSError):
        found = os.statvfs(root)
        sizes = found.f_blocks, found.f_bfree, found.f_bavail
        return DiskReport(*(blocks * found.f_frsize for blocks in sizes))
    return None
