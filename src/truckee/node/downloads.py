"""What reading files takes, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import define

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.guess import Guess
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.immutable.download.cache import Cache, CacheLimits
from truckee.immutable.download.cache_files import CacheFiles
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.download.open_files import OpenFiles
from truckee.immutable.download.shared_file import SharedFile
from truckee.immutable.download.sources import Find
from truckee.node.layout import NodeDirectory


@define(eq=False)
class Downloads:
    """The files that are read here; ``stop`` in the end."""

    cache: Cache
    files: OpenFiles
    downloader: Downloader
    holdings: Holdings  # of all who read

    @property
    def budget(self) -> Budget:
        """What all who read may have in memory."""
        return self.holdings.budget

    def stop(self) -> None:
        """Keep nothing any more."""
        self.downloader.stop()
        self.files.stop()
        self.cache.stop()


def build_downloads(
    directory: NodeDirectory,
    limits: CacheLimits,
    memory: int,
    find: Find,
    cpu: Workers,
    disk: Workers,
    reactor: Any,
    now: Callable[[], float] = time.time,
) -> Downloads:
    """Return what reads the files that *find* finds, in *memory* bytes."""
    cache = Cache(CacheFiles(directory.cache), limits, disk, reactor, now)

    guess = Guess()

    def open_file(cap: ChkVerifyCap) -> SharedFile:
        return SharedFile(cap, find, cache, cpu, reactor, guess)

    files = OpenFiles(open_file, reactor)
    holdings = Holdings(Budget(memory), reactor)
    downloader = Downloader(files, cpu, holdings, reactor)
    return Downloads(cache, files, downloader, holdings)
