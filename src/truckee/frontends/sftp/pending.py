"""Requests that wait, and those that are in progress, at most so many at once."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.flow.together import Work
from truckee.frontends.sftp.requests import Kind
from truckee.frontends.sftp.wire import BadPacket, Splitter

log = Logger()

# Requests that are worked on at once; others wait as they came.
AT_ONCE = 256
# Reads among them: each takes memory while it waits for its client.
READS_AT_ONCE = 16
# Those that are begun in one turn of the reactor: there may be many thousands that ask for
# nothing that takes time, and others want to be served too.
AT_A_TIME = 64


@define(eq=False)
class Pending:
    """
    The packets of one session, begun in their order.

    Those that wait are a run of bytes: a client may ask for all of a long file at once.
    """

    _begin: Callable[[bytes], Work[None] | None]  # None: there is nothing to wait for
    # Called with the bytes of a packet that is done, and whether it wrote.
    _credit: Callable[[int, bool], None]
    _bad: Callable[[BadPacket], None]  # called when there is no way to go on
    _rested: Callable[[], None]  # called when one is done
    _clock: IReactorTime
    _packets: Splitter = field(factory=Splitter, init=False, repr=False)
    _running: int = field(default=0, init=False)
    _reads: int = field(default=0, init=False)  # of those
    _beginning: bool = field(default=False, init=False)
    _next_turn: IDelayedCall | None = field(default=None, init=False, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is in progress."""
        return not self._running and self._next_kind() is None

    def add(self, data: bytes) -> None:
        """Begin what is in *data* when what was before it has begun."""
        self._packets.add(data)
        self._go_on()

    def clear(self) -> None:
        """Begin nothing more of what waits."""
        self._packets.clear()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def run(self, work: Work[None], length: int = 0, kind: int = 0) -> None:
        """Let *work* be one of those that are in progress."""
        self._running += 1
        self._reads += kind == Kind.READ
        going = Deferred.fromCoroutine(work)
        going.addErrback(self._failed)
        going.addCallback(lambda _: self._done(length, kind))

    def _next_kind(self) -> int | None:
        """Return the type of the next packet; None: there is none."""
        try:
            return self._packets.kind()
        except BadPacket as error:
            self._packets.clear()
            self._bad(error)
            return None

    def _may_begin(self) -> bool:
        kind = self._next_kind()
        if kind is None or self._running >= AT_ONCE:
            return False
        return kind != Kind.READ or self._reads < READS_AT_ONCE

    def _go_on(self) -> None:
        if self._beginning or self._next_turn is not None:
            # One that ended at once called this from within, and so it would go on.
            return
        self._beginning = True
        try:
            for _ in range(AT_A_TIME):
                if not self._may_begin():
                    return
                packet = self._packets.take()
                work, length = self._begin(packet), len(packet) + 4
                if work is None:
                    self._credit(length, False)
                else:
                    self.run(work, length, packet[0])
        finally:
            self._beginning = False
        if self._may_begin():
            self._next_turn = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._next_turn = None
        self._go_on()
        self._rested()

    def _failed(self, failure: Failure) -> None:
        log.failure("A request of SFTP failed", failure=failure)

    def _done(self, length: int, kind: int) -> None:
        self._running -= 1
        self._reads -= kind == Kind.READ
        if length:
            self._credit(length, kind == Kind.WRITE)
        self._go_on()
        self._rested()
