"""A client of SSH and a server of ours, connected in memory, on a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from truckee.accounts.errors import WrongLogin
from truckee.net.ssh.channel import Subsystem, SubsystemChannel
from truckee.net.ssh.server import SshLimits, SshServer
from truckee.net.ssh.transport import BoundedTransport

HOST_KEY = Key(Ed25519PrivateKey.generate())
_BUFFER = 64 << 10  # bytes that a transport buffers before it pauses its producer


@define(eq=False)
class End:
    """A transport whose other side takes bytes when ``Link`` lets it."""

    host: str = "192.0.2.1"
    sent: bytearray = field(factory=bytearray)
    peak: int = 0  # bytes, the most that waited
    reads: bool = True
    lost: bool = False  # as its own side wants it
    aborted: bool = False
    producer: Any = None
    _paused: bool = False

    def write(self, data: bytes) -> None:
        """Send *data* when the other side takes it."""
        self.sent += data
        self.peak = max(self.peak, len(self.sent))
        if self.producer is not None and not self._paused and len(self.sent) > _BUFFER:
            self._paused = True
            self.producer.pauseProducing()

    def took(self) -> bytes:
        """Return what the other side takes."""
        data, self.sent = bytes(self.sent), bytearray()
        if self._paused and self.producer is not None:
            self._paused = False
            self.producer.resumeProducing()
        return data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Tell *producer* when to pause."""
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        """There is none any more."""
        self.producer = None

    def loseConnection(self) -> None:
        """End it when all has been taken."""
        self.lost = True

    def abortConnection(self) -> None:
        """End it now."""
        self.lost = self.aborted = True

    def pauseProducing(self) -> None:
        """Read no more."""
        self.reads = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.reads = True

    def getPeer(self) -> IPv4Address:
        """Return who the other side is."""
        return IPv4Address("TCP", self.host, 1)

    getHost = getPeer


class Client(SSHClientTransport):
    """A client that can send whatever it wants."""

    def __init__(self) -> None:
        self.is_secure = False
        self.answers: list[tuple[int, bytes]] = []  # to what is no key exchange
        self.is_gone = False

    def verifyHostKey(self, hostKey: bytes, fingerprint: str) -> Deferred[int]:
        """Trust it."""
        return succeed(1)

    def connectionSecure(self) -> None:
        """There are keys."""
        self.is_secure = True

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The server has gone."""
        self.is_gone = True

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """Note what comes."""
        if messageNum >= 50 or messageNum in (1, 2, 3, 6, 7):
            self.answers.append((messageNum, payload))
        else:
            super().dispatchMessage(messageNum, payload)

    def kinds(self) -> list[int]:
        """Return the kinds of messages that came."""
        return [number for number, _ in self.answers]


class Names:
    """Who may log in: alice, with the password ``right``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate: Deferred[None] | None = None

    async def by_password(self, name: str, password: str, where: str) -> object:
        """Return who it is."""
        self.asked.append(password)
        if self.gate is not None:
            await self.gate
        if (name, password) != ("alice", "right"):
            raise WrongLogin
        return name

    def by_key(self, name: str, key_blob: bytes) -> object | None:
        """Return nobody."""
        return None


class Echo:
    """A subsystem that takes what it gets, and credits it when it is let."""

    def __init__(self, channel: SubsystemChannel) -> None:
        self.channel = channel
        self.got = bytearray()
        self.events: list[str] = []

    def received(self, data: bytes) -> None:
        """Note it."""
        self.got += data

    def ended(self) -> None:
        """Note it."""
        self.events.append("ended")

    def lost(self) -> None:
        """Note it."""
        self.events.append("lost")


@define(eq=False)
class Link:
    """One connection."""

    server: SshServer
    ours: End
    theirs: End
    protocol: BoundedTransport
    client: Client
    takes: bool = True  # whether the client reads
    gone: bool = False

    def pump(self) -> None:
        """Move bytes until none move."""
        moved = True
        while moved and not self.gone:
            moved = False
            if self.theirs.sent and self.ours.reads and not self.ours.lost:
                moved = True
                self.protocol.dataReceived(self.theirs.took())
            if self.ours.sent and self.takes and not self.ours.aborted:
                moved = True
                data = self.ours.took()
                if self.client.transport is not None:
                    self.client.dataReceived(data)
            if self.ours.lost and (self.ours.aborted or not self.ours.sent):
                self.cut()

    def cut(self) -> None:
        """End the connection."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(ConnectionError()))
            self.client.connectionLost()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send one message, and let both sides work."""
        self.client.sendPacket(kind, payload)
        self.pump()

    def log_in(self, password: bytes = b"right", name: bytes = b"alice") -> None:
        """Log in."""
        self.send(5, NS(b"ssh-userauth"))
        self.try_password(password, name)

    def try_password(self, password: bytes, name: bytes = b"alice") -> None:
        """Try one password."""
        what = NS(name) + NS(b"ssh-connection") + NS(b"password") + b"\0" + NS(password)
        self.send(50, what)

    def open(self, number: int = 0, window: int = 1 << 20, start: bool = True) -> None:
        """Open a channel with a subsystem."""
        sizes = b"".join(each.to_bytes(4, "big") for each in (number, window, 32768))
        self.send(90, NS(b"session") + sizes)
        if start:
            channel = max(self.connection.channels, default=0)
            request = NS(b"subsystem") + b"\1" + NS(b"echo")
            self.send(98, channel.to_bytes(4, "big") + request)

    def data(self, channel: int, data: bytes) -> None:
        """Send *data* on a channel."""
        self.send(94, channel.to_bytes(4, "big") + NS(data))

    @property
    def connection(self) -> Any:
        """What the server has of channels."""
        service = self.protocol.service
        assert isinstance(service, SSHConnection)
        return service

    def channel(self, number: int) -> Any:
        """Return one that the server has."""
        found = self.connection.channels[number]
        assert isinstance(found, SSHChannel)
        return found


@define(eq=False)
class Links:
    """A server and its clients."""

    clock: Clock = field(factory=Clock)
    names: Names = field(factory=Names)
    limits: SshLimits | None = None
    subsystems: list[Echo] = field(factory=list)
    server: SshServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        keys, clock = {b"ssh-ed25519": HOST_KEY}, self.clock
        self.server = SshServer(keys, self.names, self._begin, clock, self.limits)
        self.server.startFactory()

    def _begin(self, name: bytes, channel: SubsystemChannel, who: Any) -> Subsystem | None:
        if name != b"echo":
            return None
        self.subsystems.append(Echo(channel))
        return self.subsystems[-1]

    def connect(self, host: str = "192.0.2.1", secure: bool = True) -> Link:
        """Return a new connection; *secure*: with keys exchanged."""
        protocol: Any = self.server.buildProtocol(None)
        client = Client()
        link = Link(self.server, End(host), End(host), protocol, client)
        protocol.makeConnection(link.ours)
        if secure:
            client.makeConnection(link.theirs)
        link.pump()
        if secure:
            assert link.gone or client.is_secure
        return link

    def logged_in(self, host: str = "192.0.2.1") -> Link:
        """Return a connection of alice's."""
        link = self.connect(host)
        link.log_in()
        assert link.client.kinds()[-1] == 52, link.client.kinds()
        return link

    def tick(self, seconds: float, *links: Link) -> None:
        """Let time go by."""
        self.clock.advance(seconds)
        for each in links:
            each.pump()


def in_steps(clock: Clock, seconds: float, then: Callable[[], None]) -> None:
    """Let *seconds* go by one by one."""
    for _ in range(int(seconds)):
        clock.advance(1)
        then()
