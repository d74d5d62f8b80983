"""The renewal of leases, put together from the parts of a node."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed

from truckee.flow.cpu import Workers
from truckee.frontends.web.events import Events
from truckee.frontends.web.metrics import Reading
from truckee.node.config import NodeConfig
from truckee.node.layout import NodeDirectory
from truckee.node.renewal_config import root_of
from truckee.renewal.renewals import Renewals
from truckee.renewal.server_watch import ServerWatch
from truckee.renewal.tree_renewal import RenewalStatus, Tools, TreeRenewal
from truckee.renewal.yielding import Yielding
from truckee.status.task import State
from truckee.storage.interfaces import IStorageServer
from truckee.tree.trees import Trees

# Tasks that people wait for.
_FOREGROUND = ("upload", "download")


def build_renewals(
    config: NodeConfig,
    node: NodeDirectory,
    trees: Trees,
    events: Events,
    servers: Callable[[], Sequence[IStorageServer]],
    disk: Workers,
    reactor: Any,
) -> Renewals:
    """
    Return the job, started; *events* shows its status.

    *servers* returns those that can be reached.
    """
    tasks, problems = events.tasks, events.problems
    assert problems is not None

    def busy() -> bool:
        return any(
            task.kind in _FOREGROUND and task.state is State.RUNNING
            for task in tasks.active()
        )

    tools = Tools(
        trees.walker,
        trees.checker,
        config.renewal.repair,
        partial(root_of, node.private),
        node.renewal,
        tasks,
        problems,
        ServerWatch(lambda: len(servers()), reactor),
        Yielding(busy, reactor),
        disk,
        reactor,
        events.now,
        _random,
    )
    made = [TreeRenewal(tree, tools) for tree in config.renewal.trees]
    renewals = Renewals.of(made, reactor, _random())
    events.renewals = renewals.status
    renewals.start()
    return renewals


def stop_renewals(renewals: Renewals | None, most: float, reactor: Any) -> Deferred[None]:
    """Stop it; what is returned fires when it has, or after *most* seconds."""
    if renewals is None:
        return succeed(None)
    stopping = Deferred.fromCoroutine(renewals.stop())
    return stopping.addTimeout(most, reactor, lambda *_: None)


def _random() -> float:
    """Return a number from 0 to 1."""
    return int.from_bytes(os.urandom(4), "big") / (1 << 32)


def renewal_readings(renewals: Renewals) -> list[Reading]:
    """Return what metrics say of it; nothing when no tree is renewed."""
    if not renewals.trees:
        return []

    def read(number: Callable[[RenewalStatus], float | None]) -> Mapping[str, float]:
        found = {each.alias: number(each) for each in renewals.status()}
        return {name: value for name, value in found.items() if value is not None}

    return [
        Reading(f"renewal_{name}", text, partial(read, number), label="tree")
        for name, (text, number) in _READINGS.items()
    ]


def _ended(status: RenewalStatus) -> float | None:
    return None if status.last is None else status.last.ended


def _counted(name: str, status: RenewalStatus) -> float | None:
    return None if status.last is None else int(getattr(status.last.counts, name))


_READINGS: Mapping[str, tuple[str, Callable[[RenewalStatus], float | None]]] = {
    "finished_timestamp_seconds": (
        "When the leases of the whole tree were last renewed, in Unix seconds",
        _ended,
    ),
    "next_timestamp_seconds": (
        "When its renewal begins or is continued, in Unix seconds",
        lambda status: status.next_at,
    ),
    "failures": (
        "Attempts to renew its leases that failed one after the other",
        lambda status: status.failures,
    ),
    "objects": (
        "Objects in the tree when its leases were last renewed",
        partial(_counted, "objects"),
    ),
    "unhealthy_objects": (
        "Objects that were unhealthy then and were not repaired",
        partial(_counted, "unhealthy"),
    ),
    "lost_objects": (
        "Objects of these that could not be read",
        partial(_counted, "lost"),
    ),
    "repaired_objects": (
        "Objects that were repaired then",
        partial(_counted, "repaired"),
    ),
    "unconfirmed_objects": (
        "Objects whose leases some server did not confirm then",
        partial(_counted, "unrenewed"),
    ),
}
