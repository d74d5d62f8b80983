"""
How clients of SSH log in: with a password or a key.

Source: RFC 4252.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import Any, Protocol

from attrs import define, field
from twisted.conch.error import ValidPublicKey
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.keys import BadKeyError, Key
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.errors import TruckeeError
from truckee.flow.timer import Timer
from truckee.net.ssh.quiet import QUIET
from truckee.net.ssh.transport import GRACE

_ATTEMPTS = 6  # that fail, of one connection; who has many keys needs some
_REQUESTS = 64  # of one connection, whatever comes of them


class LogIns(Protocol):
    """Who may log in."""

    def by_password(self, name: str, password: str, where: str) -> Awaitable[object]:
        """Return who it is.  :raises TruckeeError: nobody"""

    def by_key(self, name: str, key_blob: bytes) -> object | None:
        """Return whose public key it is, in the form of RFC 4253, section 6.6."""


@implementer(ICredentialsChecker)
@define(eq=False)
class _Checker:
    """The log-ins of one connection."""

    _log_ins: LogIns
    _where: str
    credentialInterfaces = (ISSHPrivateKey, IUsernamePassword)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Return who it is."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> object:
        try:
            name = credentials.username.decode("utf-8")
            if ISSHPrivateKey.providedBy(credentials):
                return self._by_key(name, credentials)
            password = credentials.password.decode("utf-8")
            return await self._log_ins.by_password(name, password, self._where)
        except (TruckeeError, UnicodeDecodeError):
            raise UnauthorizedLogin from None

    def _by_key(self, name: str, credentials: Any) -> object:
        who = self._log_ins.by_key(name, credentials.blob)
        if who is None:
            raise UnauthorizedLogin
        if not credentials.signature:
            raise ValidPublicKey
        try:
            key = Key.fromString(credentials.blob)
            right = key.verify(credentials.signature, credentials.sigData)
        except (BadKeyError, ValueError, IndexError):
            right = False
        if not right:
            raise UnauthorizedLogin
        return who


@define(eq=False)
class LoggedIn:
    """Somebody who has logged in; conch notes here on which connection."""

    who: Any = field(repr=False)
    conn: Any = field(default=None, init=False, repr=False)


@implementer(IRealm)
class _Realm:
    """Whoever has logged in is what is found of him."""

    def requestAvatar(self, avatar: object, mind: object, *interfaces: object) -> Any:
        """Return it."""
        return IConchUser, LoggedIn(avatar), lambda: None


class UserAuth(SSHUserAuthServer):
    """Asks clients for their names; looks at one answer after the other."""

    _log = QUIET
    transport: Any  # a BoundedTransport
    loginTimeout = GRACE
    attemptsBeforeDisconnect = _ATTEMPTS

    def __init__(self) -> None:
        self._requests = 0
        self._waiting: deque[bytes] = deque()
        self._busy = self._over = False
        self._delay = Timer()

    def serviceStarted(self) -> None:
        """Ask, until it takes too long."""
        factory = self.transport.factory
        self.clock = factory.clock
        peer = getattr(self.transport.transport.getPeer(), "host", "")
        factory.portal = Portal(_Realm(), [_Checker(factory.log_ins, peer)])
        # It is looked up in there, and is this connection's alone.
        super().serviceStarted()

    def serviceStopped(self) -> None:
        """Ask no more."""
        self._over = True
        self._waiting.clear()
        self._delay.cancel()
        super().serviceStopped()

    def ssh_USERAUTH_REQUEST(self, packet: bytes) -> None:
        """
        Look at an answer, after all before it.

        conch would look at many at once, and at all of them before it counts the first.
        """
        self._requests += 1
        if self._over:
            return
        if self._requests > _REQUESTS:
            self.transport.refuse("too many log-ins")
            return
        self._waiting.append(packet)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        while self._waiting and not (self._busy or self._over or self.transport.is_leaving):
            self._busy = True
            packet = self._waiting.popleft()
            looking = maybeDeferred(super().ssh_USERAUTH_REQUEST, packet)
            looking.addErrback(self._not_understood)
            looking.addCallback(self._looked)

    def _looked(self, _: object) -> None:
        self._busy = False
        self._next()

    def _not_understood(self, failure: Failure) -> None:
        self.transport.refuse("a log-in is malformed")

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        """Try a key; one that nobody understands fails."""
        try:
            return super().auth_publickey(packet)
        except Exception:
            # Whatever the libraries say of a key that is none.
            return fail(UnauthorizedLogin())

    def _ebPassword(self, failure: Failure) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        answer = partial(waiting.callback, failure)
        self._delay.start(self.clock.callLater, self.passwordDelay, answer)
        return waiting

    def _cbFinishedAuth(self, result: Any) -> None:
        if self._over:
            return  # the client has gone meanwhile
        if self.nextService != b"ssh-connection":
            raise UnauthorizedLogin
        super()._cbFinishedAuth(result)
        self.transport.logged_in()
