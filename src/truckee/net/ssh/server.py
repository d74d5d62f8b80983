"""SSH servers: who may connect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.internet.interfaces import IReactorTime

from truckee.net.ssh.channel import Begin, BoundedConnection
from truckee.net.ssh.login import LogIns, UserAuth
from truckee.net.ssh.quiet import QUIET
from truckee.net.ssh.transport import BoundedTransport


@frozen
class SshLimits:
    """How many clients there may be at a time."""

    connections: int = 200
    of_one_peer: int = 100  # by its address
    strangers: int = 30  # who have not logged in yet: key exchanges cost much
    strangers_of_one_peer: int = 15


class SshServer(SSHFactory):
    """Listen with this."""

    _log = QUIET
    protocol = BoundedTransport
    noisy = False
    services: Mapping[bytes, Any] = {  # type: ignore[assignment]
        b"ssh-userauth": UserAuth,
        b"ssh-connection": BoundedConnection,
    }

    def __init__(
        self,
        keys: Mapping[bytes, Key],
        log_ins: LogIns,
        begin: Begin,
        clock: IReactorTime,
        limits: SshLimits | None = None,
    ) -> None:
        self.privateKeys = dict(keys)
        self.publicKeys = {kind: key.public() for kind, key in keys.items()}
        self.log_ins, self.begin, self.clock = log_ins, begin, clock
        self._limits = limits or SshLimits()
        self._peers: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self.connections: set[BoundedTransport] = set()
        self.subsystems = 0  # of all of them

    def may_come(self, connection: BoundedTransport) -> bool:
        """Count a connection, unless there are too many."""
        peer, limits = _peer(connection), self._limits
        if len(self.connections) >= limits.connections:
            return False
        if self._peers[peer] >= limits.of_one_peer:
            return False
        if self._strangers.total() >= limits.strangers:
            return False
        if self._strangers[peer] >= limits.strangers_of_one_peer:
            return False
        self._peers[peer] += 1
        self._strangers[peer] += 1
        self.connections.add(connection)
        return True

    def known(self, connection: BoundedTransport) -> None:
        """One of them has logged in."""
        _less(self._strangers, _peer(connection))

    def gone(self, connection: BoundedTransport, stranger: bool) -> None:
        """One of them is gone."""
        peer = _peer(connection)
        self.connections.discard(connection)
        if stranger:
            _less(self._strangers, peer)
        _less(self._peers, peer)

    def end(self) -> None:
        """Let go of all clients."""
        for each in list(self.connections):
            each.leave()


def _less(counter: Counter[str], peer: str) -> None:
    counter[peer] -= 1
    if not counter[peer]:
        del counter[peer]


def _peer(connection: BoundedTransport) -> str:
    return str(getattr(connection.transport.getPeer(), "host", ""))
