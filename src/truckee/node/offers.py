"""What a node is for others: a storage server, a helper, or neither."""

from __future__ import annotations

import time
from functools import partial

from attrs import define, field

from truckee.frontends.web.storage_report import StorageReporter
from truckee.grid.selection import Selector
from truckee.helper.server.registry import Uploads
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.node.foundation import Foundation
from truckee.node.helper import build_helper, build_uploads
from truckee.node.network import Network
from truckee.node.storage import OfferedStorage
from truckee.storage.lease_crawler import LeaseCrawler


@define(eq=False)
class Offers:
    """``start`` it once, and ``stop`` it in the end; what is not offered is None."""

    _base: Foundation
    uploads: Uploads | None = field(default=None, init=False)  # of the helper that we are
    crawler: LeaseCrawler | None = field(default=None, init=False)  # of our shares
    storage: StorageReporter | None = field(default=None, init=False)

    async def start(self, network: Network, sinks: GridSinks, selector: Selector) -> None:
        """Offer what the configuration says; a helper stores files on *sinks*."""
        config, disks = self._base.config, self._base.disks
        if config.storage is not None:
            await disks.offer_storage(network, self._watch_leases)
        if config.helper is None:
            return
        self.uploads = build_uploads(
            config.helper,
            sinks,
            selector,
            self._base.disk,
            self._base.reactor,
            disks.problems,
            *disks.helper_spool(),
        )
        helper = build_helper(self.uploads, network.pool, self._base.reactor)
        self.uploads.start()
        await disks.offer_helper(
            network, self.uploads.look, partial(network.offer_helper, helper)
        )

    async def stop(self) -> None:
        """Begin nothing more."""
        if self.uploads is not None:
            self.uploads.stop()
        if self.crawler is not None:
            await self.crawler.stop()

    def _watch_leases(self, offered: OfferedStorage) -> None:
        """Look at the leases of the storage that is offered from now on."""
        base, server = self._base, offered.immutable
        assert base.config.storage is not None
        self.crawler = LeaseCrawler(
            server.directory.root,
            offered.remove_expired,
            base.config.storage.expiry,
            base.disk,
            base.reactor,
            time.time,
        )
        self.crawler.start()
        self.storage = StorageReporter(server, self.crawler, offered.kept, base.disk)
