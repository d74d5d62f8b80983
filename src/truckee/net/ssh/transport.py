"""
One SSH connection, and how much may pile up for a client that takes nothing.

conch does the cryptography and the key exchange.  It takes messages in any order, and some
of any number; here those that do not fit end the connection.  Source: RFC 4253, RFC 8308.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.transport import (
    DISCONNECT_PROTOCOL_ERROR,
    MSG_DISCONNECT,
    MSG_NEWKEYS,
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    SSHServerTransport,
)
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from truckee.net.ssh.quiet import QUIET

log = Logger()

GRACE = 120  # seconds to log in, and for a key exchange
# What has not left by then when the connection ends never will.
_LINGER = 10.0  # seconds
# A packet that is not whole yet: no client has to send larger ones than 35,000 bytes, and
# those of one who has logged in carry what a channel allows.
_MOST_OF_STRANGER = 64 << 10  # bytes
_MOST_OF_CLIENT = 192 << 10
# What we send beside the data of channels, to a client that takes nothing: answers to
# requests that nobody has to send so often.
_MOST_PILED = 1 << 20  # bytes
_OVERHEAD = 64  # bytes of a packet, beside what is in it
# Of them, those that nobody should use any more.
_WEAK = (b"-cbc", b"-sha1", b"-md5", b"group-exchange")
# With which clients may prove that they have a key.
_SIGNATURES = (
    b"ssh-ed25519",
    b"sk-ssh-ed25519@openssh.com",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"sk-ecdsa-sha2-nistp256@openssh.com",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)
_DURING_EXCHANGE = range(30, 50)


def _strong(names: list[bytes]) -> list[bytes]:
    return [name for name in names if not any(weak in name for weak in _WEAK)]


@implementer(IPushProducer)
class BoundedTransport(SSHServerTransport):
    """One connection."""

    _log = QUIET
    ourVersionString = b"SSH-2.0-truckee"
    # What is small and becomes large would fill our memory.
    supportedCompressions = [b"none"]
    supportedKeyExchanges = _strong(SSHServerTransport.supportedKeyExchanges)
    supportedCiphers = _strong(SSHServerTransport.supportedCiphers)
    supportedMACs = _strong(SSHServerTransport.supportedMACs)
    factory: Any  # an SshServer
    transport: Any

    def __init__(self) -> None:
        self._gone = False
        self._paused = False
        self._counted = False
        self._stranger = True
        self._leaving = False
        self._piled = 0
        self._awaits_key = self._awaits_new_keys = False
        self._timers: dict[str, IDelayedCall] = {}

    @property
    def is_full(self) -> bool:
        """Whether what is sent now piles up here."""
        return self._paused or self._is_exchanging

    @property
    def is_leaving(self) -> bool:
        """Whether nothing more is done for the client."""
        return self._leaving or self._gone

    @property
    def _is_exchanging(self) -> bool:
        return bool(self._keyExchangeState != self._KEY_EXCHANGE_NONE)

    # The connection

    def connectionMade(self) -> None:
        """Begin, unless there are too many."""
        self._counted = self.factory.may_come(self)
        if not self._counted:
            self.transport.abortConnection()
            return
        with suppress(AttributeError, OSError):  # it is no TCP
            self.transport.setTcpKeepAlive(True)
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._limit("log in", GRACE)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take *data*; a key exchange may be over then."""
        if not self._counted or self._leaving:
            return
        try:
            super().dataReceived(data)
        except Exception as error:
            # conch raises whatever comes of what it did not expect.
            log.info("An SSH client sends nonsense: {kind}", kind=type(error).__name__)
            self.leave()
            return
        most = _MOST_OF_STRANGER if self._stranger else _MOST_OF_CLIENT
        if len(self.buf) > most:
            self.refuse("a packet is too large")
        self._changed()

    def connectionLost(self, reason: Any = None) -> None:
        """The client is gone."""
        self._gone = True
        for each in self._timers.values():
            each.cancel()
        self._timers.clear()
        if self._counted:
            self._counted = False
            self.factory.gone(self, self._stranger)
            super().connectionLost(reason)

    def logged_in(self) -> None:
        """It is known who it is."""
        if self._stranger and self._counted:
            self._stranger = False
            self._unlimit("log in")
            self.factory.known(self)

    def refuse(self, why: str) -> None:
        """Send the client away."""
        self.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, why.encode("ascii"))

    def sendDisconnect(self, reason: int, desc: bytes | str) -> None:
        """Say why, and go."""
        if self._leaving:
            return
        text = desc.encode("ascii", "replace") if isinstance(desc, str) else desc[:200]
        log.info("An SSH client is sent away, code {code}", code=reason)
        words = len(text).to_bytes(4, "big") + text + bytes(4)
        self.sendPacket(MSG_DISCONNECT, reason.to_bytes(4, "big") + words)
        self.leave()

    def leave(self) -> None:
        """End the connection, whatever the client takes."""
        if self.is_leaving:
            return
        self._leaving = True
        self.buf = b""
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        abort = self.transport.abortConnection
        self._timers["leave"] = self.factory.clock.callLater(
            _LINGER, self._late, "leave", abort
        )

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """The client says why it goes; most say that they are done."""
        log.debug("An SSH client goes: {code}", code=reasonCode)
        self.leave()

    def receiveUnimplemented(self, seqnum: int) -> None:
        """The client does not know what we sent it, such as our extensions."""
        log.debug("An SSH client does not know a packet")

    def receiveDebug(self, alwaysDisplay: bool, message: bytes, lang: bytes) -> None:
        """Nobody reads it."""

    # Time

    def _limit(self, what: str, seconds: float) -> None:
        late = self._timers.get(what)
        if late is None:
            call = self.factory.clock.callLater
            self._timers[what] = call(seconds, self._late, what, self._too_late)

    def _unlimit(self, what: str) -> None:
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()

    def _late(self, what: str, then: Any) -> None:
        del self._timers[what]
        then()

    def _too_late(self) -> None:
        self.refuse("it took too long")

    # Messages

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """Take a message, if it may come now."""
        if self._may_come(messageNum):
            super().dispatchMessage(messageNum, payload)
        else:
            self.refuse("a packet does not belong here")

    def _may_come(self, number: int) -> bool:
        if number == MSG_SERVICE_REQUEST:
            return self._stranger and self.sessionID is not None
        if number == MSG_NEWKEYS:
            return self._awaits_new_keys
        return number not in _DURING_EXCHANGE or self._awaits_key

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """
        Begin the log-in, once: another one would begin with new attempts.

        Some clients ask for it before each attempt.
        """
        name, _ = getNS(packet)
        if self.service is not None and name == self.service.name:
            self.sendPacket(MSG_SERVICE_ACCEPT, NS(name))
        elif self.service is None and name == b"ssh-userauth":
            super().ssh_SERVICE_REQUEST(packet)
        else:
            self.refuse("there is no such service")

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """The client wants to exchange keys; one whom nobody knows, once."""
        if self._stranger and self.sessionID is not None:
            self.refuse("log in first")
            return
        self._limit("exchange keys", GRACE)
        super().ssh_KEXINIT(packet)
        self._awaits_key = True

    def _keySetup(self, sharedSecret: bytes, exchangeHash: bytes) -> None:
        self._awaits_key, self._awaits_new_keys = False, True
        super()._keySetup(sharedSecret, exchangeHash)

    def _newKeys(self) -> None:
        self._awaits_new_keys = False
        self._unlimit("exchange keys")
        self._piled = 0
        super()._newKeys()

    def ssh_EXT_INFO(self, packet: bytes) -> None:
        """Nothing is done with what the client can."""

    def sendExtInfo(self, extensions: object) -> None:
        """Name the signatures that clients may use, which the kind of our key does not."""
        super().sendExtInfo([(b"server-sig-algs", b",".join(_SIGNATURES))])

    def sendPacket(self, messageType: int, payload: bytes) -> None:
        """Send a packet; a client that takes none is not listened to after a while."""
        super().sendPacket(messageType, payload)
        if not self.is_full or self._leaving:
            return
        self._piled += len(payload) + _OVERHEAD
        if self._piled <= _MOST_PILED:
            return
        if self._is_exchanging:
            self.leave()
        else:
            self.transport.pauseProducing()

    # For the socket

    def pauseProducing(self) -> None:
        """The socket takes no more."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does."""
        self._paused = False
        if self._piled > _MOST_PILED:
            self.transport.resumeProducing()
        if not self._is_exchanging:
            self._piled = 0
        self._changed()

    def stopProducing(self) -> None:
        """It never will."""
        self._paused = False
        self._changed()

    def _changed(self) -> None:
        has_room = getattr(self.service, "has_room", None)
        if has_room is not None and not self.is_full:
            has_room()
