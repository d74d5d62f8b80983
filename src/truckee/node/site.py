"""The web port: all addresses, put together."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from platform import platform, python_version

from attrs import frozen

from truckee import __version__
from truckee.codec import base32
from truckee.frontends.tus import protocol as tus_protocol
from truckee.frontends.tus.resource import Tus, TusResource
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.error_page import ErrorPages
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.handles import UploadResource
from truckee.frontends.web.helper_report import HelperReporter
from truckee.frontends.web.incident import IncidentResource
from truckee.frontends.web.incident_files import IncidentFiles
from truckee.frontends.web.log_stream import LogStream
from truckee.frontends.web.metrics import Metrics
from truckee.frontends.web.private import PrivateResource
from truckee.frontends.web.resumable import Resumable
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus, health_of
from truckee.frontends.webdav import errors as webdav_errors
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite
from truckee.node.foundation import Foundation
from truckee.node.gateway_parts import GatewayParts
from truckee.node.network import Network
from truckee.node.offers import Offers
from truckee.node.readings import kept_readings, problem_count, readings
from truckee.node.renewal import renewal_readings
from truckee.node.webdav import build_webdav
from truckee.storage.interfaces import IStorageServer


@frozen(eq=False)
class Web:
    """All addresses, and those who listen to what is going on."""

    site: StreamingSite
    logs: LogStream
    incidents: IncidentFiles

    def stop_telling(self) -> None:
        """Say goodbye to who listens to the log, and hear of it no more."""
        self.logs.stop()
        self.incidents.stop()


def build_site(
    base: Foundation,
    parts: GatewayParts,
    offers: Offers,
    network: Network | None,
    status: Callable[[], GridStatus],
) -> Web:
    """Return what answers at the web port; *status* is that of the grid."""

    def server_id(server: IStorageServer) -> str:
        """Return what programs call a server; a storage directory by its mark."""
        if network is None:
            return base32.encode(server.lease_seed)
        return network.pool.server_id(server.lease_seed).decode("utf-8", "replace")

    config, problems = base.config, base.disks.problems
    max_size = parts.uploader.limits.max_size
    frames = Frames(lambda: health_of(status(), offers.storage is not None))
    statuses = (*tus_protocol.STATUSES, *webdav_errors.STATUSES, *STATUSES)
    responder = Responder(statuses, ErrorPages(frames).show)
    resumable = Resumable(parts.open_uploads, responder, time.time, max_size)
    reporter = None
    if offers.uploads is not None:
        reporter = HelperReporter(offers.uploads, base.disk, time.time, problems)
    told = readings(
        status,
        base.budget,
        parts.open_uploads,
        parts.events,
        offers.uploads,
        None if config.storage is None else lambda: offers.crawler,
    )
    told += [problem_count(problems), *renewal_readings(parts.renewals)]
    told += kept_readings(lambda: base.disks.sweeper.totals)
    root = RootResource(
        parts.uploader,
        parts.downloads.downloader,
        responder,
        status,
        reporter,
        UploadResource(resumable, frames),
        checks=Checks(parts.trees.checker, server_id, parts.tasks, frames),
        resumable=resumable,
        events=parts.events,
        metrics=Metrics(parts.tasks, told),
        default_key=config.default_key,
        storage=lambda: offers.storage,
        frames=frames,
        mutable=parts.mutable.files,
        trees=parts.trees,
    )
    root.put_webdav(build_webdav(base.directory, parts.files, responder, base.reactor))
    tus = Tus(parts.open_uploads, responder, time.time, max_size)
    root.putChild(b"tus", TusResource(tus))
    logs = LogStream(parts.tasks, base.reactor, time.time, os.urandom)

    private = PrivateResource(_api_token(base), logs, responder, parts.renewals)
    root.putChild(b"private", private)
    about = f"truckee {__version__}, Python {python_version()}, {platform()}"
    place, now = base.directory.incidents, time.time
    incidents = IncidentFiles(place, base.disk, now, os.urandom, about)
    incidents.start()
    root.putChild(b"report_incident", IncidentResource(incidents, responder))
    site = StreamingSite(root, responder, reactor=base.reactor, hosts=config.web_hosts)
    return Web(site, logs, incidents)


def _api_token(base: Foundation) -> Callable[[], Awaitable[bytes]]:
    """Return what reads the token of the node; empty: there is none."""

    async def read() -> bytes:
        try:
            return (await base.disk.run(base.directory.api_token.read_bytes)).strip()
        except OSError:
            return b""

    return read
