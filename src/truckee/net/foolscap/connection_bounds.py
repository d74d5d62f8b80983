"""
How much all foolscap connections of a node may make it keep in memory.  Pure.

Source: ``docs/reference/limits.md``, "Connections over foolscap".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from truckee.codec.geometry import MAX_SEGMENT_SIZE

KIB, MIB = 1 << 10, 1 << 20


@frozen
class ConnectionLimits:
    """Bounds in bytes, unless they say otherwise."""

    # One message of a peer that has not shown a swissnum; it asks for one with 150 bytes.
    stranger: int = 4 * KIB
    # One message: a block of a file with k = 1 is the longest there is.
    message: int = MAX_SEGMENT_SIZE + MIB
    # Numbers, strings and ends of lists in one message: 16,384 writes to a slot.
    tokens: int = 100_000
    # Lists within lists; no message of ours or of stock nodes has half as many.
    depth: int = 32
    # Messages that are not whole, of all connections together: one of the longest.
    unfinished: int = MAX_SEGMENT_SIZE + MIB
    # Calls that are not answered, of one connection: the window of a gateway that pushes
    # to a helper.  And of all together.
    calls: int = 8 * MIB
    all_calls: int = 32 * MIB
    # Calls of one connection that run at the same time; the others wait.
    running: int = 64
    # And of all together: as many for each as others leave, and one in any case.
    all_running: int = 64
    # What a connection has not sent yet, before it does more for its peer.
    unsent: int = 256 * KIB
    # And so many answers that wait behind what has not left.
    answers: int = 32
    # Objects that a connection may have been given, such as readers of shares.
    references: int = 8192


class Connection(Protocol):
    """What is dropped or paused."""

    def drop(self) -> None:
        """Close at once."""

    def look(self) -> None:
        """Read on, if ``Load.may_read`` says so now."""


@define(eq=False)
class Load:
    """What one connection has in memory; ``close`` it once."""

    _bounds: ConnectionBounds
    connection: Connection
    unfinished: int = field(default=0, init=False)
    begun: float = field(default=0.0, init=False)  # when what is unfinished began
    calls: int = field(default=0, init=False)
    running: int = field(default=0, init=False)  # calls that have begun

    def received(self, unfinished: int) -> None:
        """The message that is not whole yet has so many bytes."""
        bounds = self._bounds
        if self not in bounds.loads:
            return
        if not self.unfinished:
            self.begun = bounds.now()
        bounds.unfinished += unfinished - self.unfinished
        self.unfinished = unfinished
        if bounds.unfinished > bounds.limits.unfinished:
            bounds.drop_slowest()

    def add(self, size: int) -> None:
        """A call of *size* bytes is not answered yet."""
        if self in self._bounds.loads:
            self.calls += size
            self._bounds.calls += size

    def remove(self, size: int) -> None:
        """It is answered."""
        if self in self._bounds.loads:
            self.calls -= size
            self._bounds.calls -= size
            self._bounds.look()

    def begin(self) -> None:
        """A call begins."""
        if self in self._bounds.loads:
            self.running += 1
            self._bounds.running += 1

    def end(self) -> None:
        """A call that began is answered."""
        if self in self._bounds.loads:
            self.running -= 1
            self._bounds.running -= 1

    @property
    def may_begin(self) -> bool:
        """Whether one more call may begin; if not, the end of one of its own lets it."""
        limits, bounds = self._bounds.limits, self._bounds
        if self.running >= limits.running:
            return False
        if bounds.running < limits.all_running:
            return True
        return self.running < max(1, limits.all_running // max(1, len(bounds.loads)))

    @property
    def may_read(self) -> bool:
        """Whether the peer may go on sending."""
        limits = self._bounds.limits
        if self.calls > limits.calls:
            return False
        if self._bounds.calls <= limits.all_calls:
            return True
        # The others' part is theirs, however much one of them sends.
        return self.calls <= limits.all_calls // max(1, len(self._bounds.loads))

    def close(self) -> None:
        """The connection is gone."""
        bounds = self._bounds
        if self in bounds.loads:
            bounds.loads.remove(self)
            bounds.unfinished -= self.unfinished
            bounds.calls -= self.calls
            bounds.running -= self.running
            self.unfinished = self.calls = self.running = 0
            bounds.look()


@define(eq=False)
class ConnectionBounds:
    """The sum over all connections that share it."""

    now: Callable[[], float]  # seconds
    limits: ConnectionLimits = field(factory=ConnectionLimits)
    loads: set[Load] = field(factory=set, init=False, repr=False)
    paused: set[Connection] = field(factory=set, init=False, repr=False)
    unfinished: int = field(default=0, init=False)
    calls: int = field(default=0, init=False)
    running: int = field(default=0, init=False)

    def open(self, connection: Connection) -> Load:
        """Return the load of a new connection."""
        load = Load(self, connection)
        self.loads.add(load)
        return load

    def drop_slowest(self) -> None:
        """Drop the connection whose message comes in slowest, to make room for others."""
        now = self.now()

        def rate(load: Load) -> float:
            return load.unfinished / max(0.001, now - load.begun)

        # What all may have costs nothing worth a connection.
        least = self.limits.unfinished // (4 * max(1, len(self.loads)))
        large = [load for load in self.loads if load.unfinished > least]
        if large:
            slowest = min(large, key=rate)
            slowest.connection.drop()
            slowest.close()

    def look(self) -> None:
        """Let connections read on that may."""
        for connection in list(self.paused):
            connection.look()
