"""What reading and writing mutable files and directories takes, put together."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.geometry import Encoding
from truckee.flow.cpu import Workers
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.keys import ConvergentKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.uploader import Uploader
from truckee.mutable.check import MutableChecker
from truckee.mutable.files import MutableFiles
from truckee.mutable.key_pool import KeyPool
from truckee.mutable.publish import Publisher
from truckee.mutable.reader import MutableReader
from truckee.mutable.repair import MutableRepairer
from truckee.mutable.servermap import Mapper
from truckee.mutable.write_loop import WriteLoop
from truckee.node.layout import NodeDirectory
from truckee.storage.interfaces import IStorageServer
from truckee.tree.ahead import Settling
from truckee.tree.directories import Directories
from truckee.tree.object_check import ObjectChecker
from truckee.tree.trees import Trees
from truckee.tree.walk import Walker

Servers = Callable[[], Iterable[IStorageServer]]


@frozen(eq=False)
class Mutable:
    """The mutable files of a node; ``start``, then ``stop``."""

    files: MutableFiles
    repairer: MutableRepairer
    _keys: KeyPool
    _key_workers: Workers
    _cpu: Workers
    _clock: IReactorTime

    def start(self) -> None:
        """Make keys ahead of need."""
        self._key_workers.start()
        self._keys.start()

    def stop(self) -> None:
        """Make no more of them; blocks until those under way are made."""
        self._keys.stop()
        self._key_workers.stop()

    def trees(
        self,
        downloader: Downloader,
        uploader: Uploader,
        repairer: Repairer,
        disk: Workers,
        node: NodeDirectory,
    ) -> Trees:
        """Return what works on directories and trees, whose spool *node* has."""

        async def store(pieces: AsyncIterator[bytes], size: int) -> ChkReadCap | LiteralCap:
            return await uploader.upload(pieces, UploadOptions(ConvergentKey(), size))

        directories = Directories(
            self.files, downloader, store, self._cpu, time.time, self._clock
        )
        settling = Settling(self._clock)
        walker = Walker(directories, disk, str(node.spool), os.urandom, settling)
        return Trees(directories, walker, ObjectChecker(repairer, self.repairer))


def build_mutable(
    servers: Servers,
    takers: Servers,
    lease_secret: bytes,
    encoding: Encoding,
    cpu: Workers,
    holdings: Holdings,
    reactor: Any,
    random: Callable[[int], bytes],
    max_size: int,
) -> Mutable:
    """Return what reads the files that *servers* have, and writes to *takers*."""
    mapper = Mapper(servers, encoding.needed, encoding.total, cpu, reactor)
    publisher = Publisher(takers, lease_secret, cpu, reactor, random)
    # A key takes a thread so long that nothing else should wait behind it.
    key_workers = Workers(reactor, cpu.threads, "keys")
    keys = KeyPool(key_workers)
    files = MutableFiles(
        MutableReader(mapper, cpu, reactor, holdings),
        publisher,
        keys,
        WriteLoop(mapper, reactor, random),
        encoding,
        cpu,
        max_size,
    )
    needed, total = encoding.needed, encoding.total
    checker = MutableChecker(mapper, needed, total, lease_secret, cpu)
    repairer = MutableRepairer(checker, mapper, files, takers, lease_secret, cpu, reactor)
    return Mutable(files, repairer, keys, key_workers, cpu, reactor)
