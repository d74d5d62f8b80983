"""The helper of a node: the one it is, and the way to the one it uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import evolve

from truckee.flow.cpu import Workers
from truckee.flow.other_disk import OtherDisk
from truckee.frontends.web.upload_routes import HelperSeen
from truckee.grid.pool import ServerPool
from truckee.grid.selection import Selector
from truckee.helper.gateway.connection import HelperConnection
from truckee.helper.gateway.proved_sink import ProvedSinks
from truckee.helper.gateway.pull_sink import StockHelperSinks
from truckee.helper.gateway.push_sink import HelperSinks
from truckee.helper.gateway.route import Routes
from truckee.helper.ownership import upload_secret
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.pull_service import StockUploads
from truckee.helper.server.push_service import Helper
from truckee.helper.server.registry import Uploads, new_uploads
from truckee.helper.server.spool import Home
from truckee.helper.wire import Parameters
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.immutable.upload.presence import PresenceProver
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.node.disk_watch import Place
from truckee.node.layout import boot_id
from truckee.status.problems import Problems
from truckee.uploads.append_log import digest_of_boot


def build_uploads(
    limits: HelperLimits,
    direct: GridSinks,
    selector: Selector,
    disk: Workers,
    reactor: Any,
    problems: Problems,
    spool: OtherDisk,
    place: Place,
) -> Uploads:
    """
    Return the uploads of a helper that stores as *direct* does, with other shapes.

    What it is brought goes to *spool*, which is the *place* that is watched.
    """

    def sinks(parameters: Parameters) -> GridSinks:
        return evolve(
            direct,
            encoding=parameters.encoding,
            selector=selector.demanding(parameters.happy),
        )

    return new_uploads(
        spool.path,
        limits.for_strangers(),
        selector,
        sinks,
        disk,
        reactor,
        time.time,
        digest_of_boot(boot_id()),
        Home(spool.check, spool.mark, lambda: place.look().fault is None),
        problems,
    )


def build_helper(uploads: Uploads, pool: ServerPool, reactor: Any) -> Helper:
    """Return what is offered to others; they know the servers that *pool* knows."""
    stock = StockUploads(uploads, reactor, pool.server_id)
    return Helper(uploads, reactor, stock.open)


def build_routes(
    direct: GridSinks,
    selector: Selector,
    connection: HelperConnection,
    cpu: Workers,
    reactor: Any,
    random: Callable[[int], bytes],
    verify: bool,
    secret: bytes,
) -> Routes:
    """
    Return the sinks of a gateway with a helper, which *verify* what it says.

    *secret* is the node's own.
    """
    encoding, happy = direct.encoding, selector.happy
    prover = PresenceProver(selector, cpu, reactor, random)

    def proved(sinks: ICiphertextSinks) -> ICiphertextSinks:
        if not verify:
            return sinks
        return ProvedSinks(sinks, encoding, happy, prover, reactor)

    return Routes(
        direct,
        proved(
            HelperSinks(
                encoding,
                happy,
                connection,
                cpu,
                reactor,
                secret=partial(upload_secret, secret),
            )
        ),
        proved(StockHelperSinks(encoding, happy, connection, cpu, reactor)),
        connection,
        selector,
        encoding.needed,
    )


def helper_seen(connection: HelperConnection | None) -> HelperSeen | None:
    """Return what people see of the helper that is used."""
    if connection is None:
        return None
    return HelperSeen(
        connection.connected,
        connection.pushes,
        connection.version,
        connection.last_received,
    )
