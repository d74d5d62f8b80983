"""WebDAV, put together."""

from __future__ import annotations

import os
import time

from twisted.internet.interfaces import IReactorTime

from truckee.accounts.remembered import RememberedLogins
from truckee.frontends.webdav.asked import Dav
from truckee.frontends.webdav.locks import Locks
from truckee.frontends.webdav.login import Login
from truckee.frontends.webdav.resource import DavResource
from truckee.net.http.respond import Responder
from truckee.node.file_parts import FileParts
from truckee.node.layout import NodeDirectory


def build_webdav(
    node: NodeDirectory, parts: FileParts, responder: Responder, clock: IReactorTime
) -> DavResource:
    """Return what answers below /dav."""
    parts.accounts.look()
    dav = Dav(
        parts.directories,
        parts.uploader,
        parts.downloader,
        parts.mutable,
        responder,
        parts.tasks,
        Locks(node.webdav_locks, parts.disk, time.time, os.urandom),
        parts.default_key,
        parts.quota,
        Login(RememberedLogins.of(parts.accounts, clock, os.urandom)),
    )
    return DavResource(dav)
