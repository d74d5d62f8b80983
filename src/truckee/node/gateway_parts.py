"""What a gateway does for its clients, whichever way they come: files, trees and tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from attrs import evolve, frozen

from truckee.accounts.accounts import Accounts
from truckee.frontends.web.events import Events
from truckee.grid.selection import Selector
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.immutable.upload.uploader import Uploader
from truckee.node.downloads import Downloads, build_downloads
from truckee.node.file_parts import FileParts, quota_of
from truckee.node.foundation import Foundation
from truckee.node.keys import NodeKeys
from truckee.node.mutable import Mutable, build_mutable
from truckee.node.renewal import build_renewals
from truckee.renewal.renewals import Renewals
from truckee.status.failures import log_failure
from truckee.status.tasks import Tasks
from truckee.storage.interfaces import IStorageServer
from truckee.tree.trees import Trees
from truckee.uploads.append_log import digest_of_boot
from truckee.uploads.record import UploadFiles
from truckee.uploads.registry import OpenUploads

Servers = Callable[[], list[IStorageServer]]


@frozen(eq=False)
class GatewayParts:
    """What its frontends share; and what it has to stop in the end."""

    uploader: Uploader
    open_uploads: OpenUploads
    repairer: Repairer
    tasks: Tasks
    events: Events
    trees: Trees
    renewals: Renewals
    downloads: Downloads
    mutable: Mutable
    accounts: Accounts
    files: FileParts  # for those that show trees as files

    @property
    def is_storing(self) -> bool:
        """Whether uploads or repairs go on, or clean up behind themselves."""
        return bool(self.uploader.active or self.repairer.active)


def build_gateway(
    base: Foundation,
    keys: NodeKeys,
    selector: Selector,
    sinks: ICiphertextSinks,
    servers: Servers,
    takers: Servers,
) -> GatewayParts:
    """Return it; nothing of it is started.  *servers* are read, *takers* written to."""
    config, disks, reactor = base.config, base.disks, base.reactor
    # On our own disks an open end costs nothing; elsewhere room must be asked for.
    limits = config.limits
    if base.is_grid:
        limits = evolve(limits, max_unknown_size=limits.max_size)
    uploader = Uploader(
        config.encoding,
        sinks,
        keys.convergence,
        base.cpu,
        base.disk,
        str(base.directory.spool),
        base.budget,
        os.urandom,
        reactor,
        limits,
    )
    tasks = Tasks(reactor, time.time, os.urandom)
    tasks.on_end.append(log_failure)
    events = Events(tasks, reactor, time.time, disks.problems)
    checker = Checker(selector, base.cpu, base.budget)
    repairer = Repairer(checker, selector, disks.journal, base.cpu, base.budget, reactor)
    downloads = build_downloads(
        base.directory,
        config.cache,
        config.download_memory,
        selector.find,
        base.cpu,
        base.disk,
        reactor,
    )
    mutable = build_mutable(
        servers,
        takers,
        keys.lease_secret,
        config.encoding,
        base.cpu,
        downloads.holdings,
        reactor,
        os.urandom,
        config.limits.max_size,
    )
    trees = mutable.trees(
        downloads.downloader, uploader, repairer, base.disk, base.directory
    )
    accounts = Accounts.at(config.accounts_file, base.cpu, reactor, disks.problems)
    return GatewayParts(
        uploader,
        _open_uploads(base, uploader, tasks),
        repairer,
        tasks,
        events,
        trees,
        build_renewals(config, base.directory, trees, events, servers, base.disk, reactor),
        downloads,
        mutable,
        accounts,
        FileParts(
            trees.directories,
            mutable.files,
            downloads.downloader,
            uploader,
            accounts,
            tasks,
            base.disk,
            config.default_key,
            lambda: quota_of(disks.grid.statuses(), config.encoding),
        ),
    )


def _open_uploads(base: Foundation, uploader: Uploader, tasks: Tasks) -> OpenUploads:
    records, (logs, _) = base.directory.upload_records, base.disks.upload_logs()
    return OpenUploads(
        uploader,
        UploadFiles(records, logs.path, base.disk, logs.check, logs.mark),
        base.disk,
        base.reactor,
        os.urandom,
        time.time,
        digest_of_boot(base.boot),
        tasks,
        base.config.open_uploads,
        base.disks.problems,
    )
