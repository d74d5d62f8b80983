"""
Which connections to the port for other nodes may stay.

Source: ``docs/reference/limits.md``, "The port for other nodes".  Until a peer has shown
that it knows something to ask for, a swissnum, it is a stranger: few of them are let in at
a time, and not for long.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@frozen
class AdmissionLimits:
    """Bounds on connections."""

    # Each costs a descriptor and, with TLS, 100 KiB.  A client has one to each server over
    # foolscap, or at most ten over HTTPS.
    connections: int = 512
    # Of one address, behind which may be many peers: a proxy, or Tor.
    of_address: int = 384
    strangers: int = 128
    strangers_of_address: int = 64
    # To shake hands and to show a swissnum, in seconds.  Over Tor that takes ten.
    stranger_time: float = 30.0
    # Bytes that are read of a stranger at once.
    stranger_read: int = 4096


@define(eq=False)
class _Guest:
    """One connection."""

    transport: Any
    address: str
    timer: IDelayedCall
    read_size: int

    @property
    def is_stranger(self) -> bool:
        return self.timer.active()


@define(eq=False)
class Admission:
    """The connections to all ports that share it; ``stop`` forgets them."""

    _clock: IReactorTime
    limits: AdmissionLimits = field(factory=AdmissionLimits)
    # The oldest first.
    _guests: dict[Any, _Guest] = field(factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        self._forget_lost()
        return len(self._guests)

    @property
    def strangers(self) -> int:
        """How many have shown no swissnum yet."""
        self._forget_lost()
        return sum(guest.is_stranger for guest in self._guests.values())

    def opened(self, transport: Any) -> bool:
        """
        Let in a new connection; return whether it may stay.

        The oldest strangers go for it, if there are any.
        """
        self._forget_lost()
        address = str(getattr(transport.getPeer(), "host", ""))
        limits = self.limits
        others = [each for each in self._guests.values() if each.address == address]
        if len(others) >= limits.of_address and not self._drop_stranger(address):
            return False
        if len(self._guests) >= limits.connections and not self._drop_stranger():
            return False
        strangers = Counter(
            guest.address for guest in self._guests.values() if guest.is_stranger
        )
        if strangers[address] >= limits.strangers_of_address:
            self._drop_stranger(address)
        elif strangers.total() >= limits.strangers:
            self._drop_stranger(strangers.most_common(1)[0][0])
        timer = self._clock.callLater(limits.stranger_time, self._drop, transport)
        size = getattr(transport, "bufferSize", 0)
        self._guests[transport] = _Guest(transport, address, timer, size)
        transport.bufferSize = limits.stranger_read
        return True

    def proved(self, transport: Any) -> None:
        """The peer at the other end of *transport* has shown a swissnum."""
        while transport not in self._guests and hasattr(transport, "transport"):
            transport = transport.transport
        guest = self._guests.get(transport)
        if guest is not None and guest.is_stranger:
            guest.timer.cancel()
            # Unless who speaks on it has chosen otherwise.
            if transport.bufferSize == self.limits.stranger_read:
                transport.bufferSize = guest.read_size

    def stop(self) -> None:
        """Watch nothing any more."""
        guests, self._guests = self._guests, {}
        for guest in guests.values():
            if guest.is_stranger:
                guest.timer.cancel()

    def _drop_stranger(self, address: str | None = None) -> bool:
        """Drop the oldest stranger, of *address* if given; return whether there was one."""
        for guest in self._guests.values():
            if guest.is_stranger and address in (None, guest.address):
                self._drop(guest.transport)
                return True
        return False

    def _drop(self, transport: Any) -> None:
        guest = self._guests.pop(transport, None)
        if guest is not None:
            if guest.is_stranger:
                guest.timer.cancel()
            if transport.connected:
                transport.abortConnection()

    def _forget_lost(self) -> None:
        lost = [guest for guest in self._guests.values() if not guest.transport.connected]
        for guest in lost:
            del self._guests[guest.transport]
            if guest.is_stranger:
                guest.timer.cancel()
