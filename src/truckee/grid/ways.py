"""How a node connects to others: over plain TCP, through Tor, or not at all."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from foolscap.connections.tcp import DefaultTCP

from truckee.grid.addresses import AddressPolicy
from truckee.grid.guarded import GuardedTCP
from truckee.grid.tor import Tor, TorHints
from truckee.storage.gbs_connection import Connect, plain
from truckee.storage.gbs_schema import Nurl


@frozen(eq=False)
class Ways:
    """What leads to addresses of TCP, and to those that say that they are for Tor."""

    tcp: bool = True  # plain TCP to the former
    tor: Tor | None = None  # to the latter, and to the former if there is no plain TCP
    over_tor: bool = False  # whether that is so

    def through_tor(self) -> Ways:
        """Return those without plain TCP."""
        return Ways(False, self.tor, True)

    def prepare(self, tub: Any, policy: AddressPolicy | None = None) -> None:
        """Have a *tub* connect in these ways, over TCP only where *policy* allows."""
        tub.removeAllConnectionHintHandlers()
        if self.tcp:
            plain_tcp = DefaultTCP() if policy is None else GuardedTCP(policy)
            tub.addConnectionHintHandler("tcp", plain_tcp)
        if self.tor is None:
            return
        through = TorHints(self.tor)
        tub.addConnectionHintHandler("tor", through)
        if self.over_tor and not self.tcp:
            tub.addConnectionHintHandler("tcp", through)

    def to(self, nurl: Nurl, reactor: Any) -> Connect | None:
        """Return what connects to the address of a NURL; None: nothing does."""
        if nurl.over_tor or not self.tcp:
            allowed = nurl.over_tor or self.over_tor
            return self.tor.endpoint if self.tor is not None and allowed else None
        return plain(reactor)


PLAIN = Ways()
