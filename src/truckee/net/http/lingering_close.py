"""
The end of a connection, so that the last response survives it.

Closing while unread bytes are in our system resets the connection, and a reset makes the
client's system drop what it has not read yet.  So we say goodbye, read on and drop.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from truckee.flow.timer import CallLater, Timer
from truckee.net.http.limits import HttpLimits


def innermost(transport: Any) -> Any:
    """Return the transport that has the socket, beneath TLS and other wrappers."""
    while hasattr(transport, "transport"):
        transport = transport.transport
    return transport


@define(eq=False)
class Closing:
    """The last phase of one connection; nothing that arrives in it is looked at."""

    _transport: Any
    _call_later: CallLater
    _limits: HttpLimits
    _quiet: Timer = field(factory=Timer, init=False)
    _end: Timer = field(factory=Timer, init=False)
    _dropped: int = field(default=0, init=False)  # bytes

    def linger(self, half_sent: bool) -> None:
        """
        Say goodbye behind what is written and wait for the client to do so.

        With *half_sent* the client is in the midst of a request.  One that speaks TLS
        would take our goodbye for an error of its own, so it hears none until the end.
        """
        if self._transport is innermost(self._transport):
            self._transport.loseWriteConnection()
        elif not half_sent:
            self._transport.loseConnection()
        self._quiet.start(self._call_later, self._limits.linger_quiet, self.close)
        self._end.start(self._call_later, self._limits.linger, self.close)

    def heard(self, count: int) -> None:
        """Note that *count* bytes came and were dropped."""
        self._dropped += count
        most = self._limits.linger_size
        if most is not None and self._dropped > most:
            self.close()
        else:
            self._quiet.extend(self._limits.linger_quiet)

    def close(self) -> None:
        """Flush what is written and close, without waiting for the client."""
        self.forget()
        self._end.start(self._call_later, self._limits.close_deadline, self.abort)
        wire = innermost(self._transport)
        self._transport.loseConnection()
        if wire is not self._transport:
            # TLS waits for the other side's goodbye, which may never come.
            wire.loseConnection()

    def abort(self) -> None:
        """Drop the connection and all that is not sent yet."""
        self.forget()
        self._transport.abortConnection()

    def forget(self) -> None:
        """Cancel what is pending; for a connection that is gone."""
        self._quiet.cancel()
        self._end.cancel()
