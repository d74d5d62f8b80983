"""
Channels of an SSH connection that run one subsystem.

conch gives a client its window back when bytes come, used or not, and takes as much to send
as it is given.  Here a client gets its window back when its bytes were used, and who sends
can wait until there is room.

Source: RFC 4254, sections 5 and 6.5.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any, Protocol

from attrs import define
from twisted.conch.error import ConchError
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.connection import OPEN_ADMINISTRATIVELY_PROHIBITED, SSHConnection
from twisted.logger import Logger

from truckee.errors import Misuse
from truckee.flow.gate import Gate
from truckee.net.ssh.quiet import QUIET

log = Logger()

# What a client may send before anything of it is used, at first: one packet of SFTP, and
# what is not given back yet.  Requests to read are short, so that is many.
WINDOW = 288 << 10  # bytes
# The same of one that sends much: enough for 80 MB each second over a line of 50 ms.
MOST_WINDOW = 4 << 20  # bytes
# Of one packet of data.
_MAX_PACKET = 64 << 10  # bytes
# The window is given back in so many steps.
STEPS = 16
# What waits for one client's window, and for those of all clients, when there are many.
PENDING = 256 << 10  # bytes
_ALL_PENDING = 4 << 20  # bytes
# Of one connection; OpenSSH's server has as many.
MOST_CHANNELS = 10

_DATA, _EXTENDED = Struct(">LL"), Struct(">LLL")


@define
class NotAsked(Misuse):
    """The client answers what nobody has asked it."""


class Subsystem(Protocol):
    """What a client talks to."""

    def received(self, data: bytes) -> None:
        """The client has sent *data*; give its length back by ``credit``."""

    def ended(self) -> None:
        """The client sends nothing more."""

    def lost(self) -> None:
        """The client is gone."""


# By name, from the channel and who has logged in; None: there is none of this name.
Begin = Callable[[bytes, "SubsystemChannel", Any], "Subsystem | None"]


class SubsystemChannel(SSHChannel):
    """One channel: nothing but a subsystem runs on it."""

    _log = QUIET
    name = b"session"
    conn: Any  # a BoundedConnection
    avatar: Any  # a LoggedIn

    def __init__(self, begin: Begin, avatar: Any, **values: Any) -> None:
        super().__init__(
            localWindow=WINDOW, localMaxPacket=_MAX_PACKET, avatar=avatar, **values
        )
        self._begin = begin
        self._subsystem: Subsystem | None = None
        self.exit_status = 1  # unless the client ends it
        self._owed = 0
        self._window = WINDOW
        self._over = False
        self.gate = Gate(lambda: not self.is_full)

    # For the subsystem

    def send(self, packet: bytes) -> None:
        """Send *packet*, some time."""
        if not self._is_ending:
            self.write(packet)

    async def room(self) -> None:
        """
        Return when most of what was sent has left, or nobody is there any more.

        Those who wait go on in their order.
        """
        await self.gate.go_through()

    @property
    def _is_ending(self) -> bool:
        return bool(self._over or self.localClosed or self.closing)

    @property
    def is_full(self) -> bool:
        """Whether what was sent has not left, and nobody should send more now."""
        much = len(self.buf) > self.share or self.conn.transport.is_full
        return bool(much and not self._is_ending)

    @property
    def share(self) -> int:
        """Bytes that may wait for this client."""
        everybody: int = self.conn.transport.factory.subsystems
        return min(PENDING, _ALL_PENDING // max(1, everybody))

    def credit(self, amount: int, grow: bool = False) -> None:
        """Let the client send *amount* bytes more; *grow*: twice that, up to a bound."""
        if grow:
            more = min(amount, MOST_WINDOW - self._window)
            self._window += more
            amount += more
        self._owed += amount
        if self._owed >= self._window // STEPS and not self._is_ending:
            owed, self._owed = self._owed, 0
            self.conn.adjustWindow(self, owed)

    def keep_alive(self) -> None:
        """Let the client know that somebody is there, unless it has much to read anyway."""
        if not (self._over or self.conn.transport.is_full):
            self.conn.transport.sendIgnore(b"")

    def lose(self) -> None:
        """Close it, when what was sent has left; nothing more is taken from the client."""
        if not self._is_ending:
            self.loseConnection()
        self._end()

    # For conch

    def channelOpen(self, specificData: bytes) -> None:
        """It is open; the client will say what for."""

    def request_subsystem(self, data: bytes) -> bool:
        """Begin a subsystem, the only one."""
        if self._subsystem is not None:
            return False
        name, _ = getNS(data)
        self._subsystem = self._begin(name, self, self.avatar.who)
        if self._subsystem is None:
            return False
        self.conn.transport.factory.subsystems += 1
        return True

    def requestReceived(self, requestType: bytes, data: bytes) -> bool:
        """Refuse what is no subsystem: there is no shell."""
        try:
            return requestType == b"subsystem" and self.request_subsystem(data)
        except StructError:  # there is no name in it
            return False

    def dataReceived(self, data: bytes) -> None:
        """Hand *data* on."""
        if self._is_ending:
            return
        if self._subsystem is None:
            self.credit(len(data))
            return
        try:
            self._subsystem.received(data)
        except Exception:
            log.failure("A subsystem of SSH failed")
            self.lose()

    def addWindowBytes(self, data: int) -> None:
        """The client takes more."""
        super().addWindowBytes(data)
        self.gate.look()

    def eofReceived(self) -> None:
        """The client sends nothing more."""
        if self._subsystem is None:
            self.loseConnection()
        else:
            # Programs look at it, as at that of a command.
            self.exit_status = 0
            self._subsystem.ended()

    def closeReceived(self) -> None:
        """The client has closed the channel."""
        self._end()
        self.buf = b""
        self.loseConnection()

    def closed(self) -> None:
        """Both sides have."""
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.gate.look()
            if self._subsystem is not None:
                self.conn.transport.factory.subsystems -= 1
                self._subsystem.lost()


class BoundedConnection(SSHConnection):
    """All channels of one client."""

    _log = QUIET
    transport: Any  # a BoundedTransport

    def __init__(self) -> None:
        super().__init__()
        self._served = 0  # how often, so that each channel is the first in its turn

    def has_room(self) -> None:
        """More can be sent: let those go on who wait for that."""
        channels = list(self.channels.values())
        first = self._served % max(1, len(channels))
        self._served += 1
        for channel in channels[first:] + channels[:first]:
            channel.gate.look()

    def ssh_CHANNEL_DATA(self, packet: bytes) -> None:
        """Hand data to its channel, which gives the window back when it was used."""
        number, length = _DATA.unpack_from(packet)
        channel = self.channels.get(number)
        if channel is None:
            return
        allowed = min(channel.localWindowLeft, channel.localMaxPacket)
        if length > allowed or length != len(packet) - 8:
            channel.lose()
            return
        channel.localWindowLeft -= length
        channel.dataReceived(packet[8:])

    def ssh_CHANNEL_EXTENDED_DATA(self, packet: bytes) -> None:
        """Nobody sends us errors."""
        number, _, _ = _EXTENDED.unpack_from(packet)
        self.channels[number].lose()

    def _not_asked(self, packet: bytes) -> None:
        """We open no channels, and ask for nothing."""
        raise NotAsked

    ssh_CHANNEL_OPEN_CONFIRMATION = ssh_CHANNEL_OPEN_FAILURE = _not_asked
    ssh_CHANNEL_SUCCESS = ssh_CHANNEL_FAILURE = _not_asked
    ssh_REQUEST_SUCCESS = ssh_REQUEST_FAILURE = _not_asked

    def sendClose(self, channel: SubsystemChannel) -> None:
        """Say how the subsystem ended, then close the channel."""
        status = channel.exit_status.to_bytes(4, "big")
        self.sendRequest(channel, b"exit-status", status)
        super().sendClose(channel)

    def getChannel(
        self, channelType: bytes, windowSize: int, maxPacket: int, data: bytes
    ) -> SubsystemChannel:
        """Return a new channel.  :raises ConchError: there is none of another type"""
        if channelType != b"session" or len(self.channels) >= MOST_CHANNELS:
            raise ConchError("no such channel", OPEN_ADMINISTRATIVELY_PROHIBITED)
        return SubsystemChannel(
            self.transport.factory.begin,
            self.transport.avatar,
            remoteWindow=windowSize,
            remoteMaxPacket=min(max(maxPacket, 1024), 1 << 20),
            conn=self,
        )

    def gotGlobalRequest(self, requestType: bytes, data: bytes) -> int:
        """Forward no ports."""
        return 0
