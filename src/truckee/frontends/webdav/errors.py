"""What WebDAV refuses, and the statuses of it."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field

from truckee.accounts.errors import TooManyFailures, WrongLogin
from truckee.errors import Misuse, Refused
from truckee.frontends.http.conditions import PreconditionFailed
from truckee.frontends.webdav.lock_table import LockConflict, NoSuchLock
from truckee.net.http.respond import BodyTooLarge
from truckee.tree.link_times import TooManyProperties


@define
class NoParent(Misuse):
    """There is no directory to put {name!r} into. Make it first."""

    name: str


@define
class BadDavName(Misuse):
    """A name here is not empty, neither . nor .., and has no slash and no zero byte."""


@define
class BadHeader(Misuse):
    """The header {name} is wrong: {reason}."""

    name: str
    reason: str


@define
class OtherServer(Refused):
    """The destination is not below /dav/ of this gateway."""


@define
class Unmoved(Refused):
    """Source and destination are the same, or one is inside the other."""


@define
class RootStays(Refused):
    """This is the directory of the cap itself: no name leads to it that could change."""


@define
class BodyNotTaken(Misuse):
    """A directory is made without a body."""


@define
class IfFailed(Misuse):
    """What the If header says does not hold."""


@define
class Taken(Misuse):
    """There is something at the destination, and Overwrite: F says that it stays."""


@define
class LoopFound(Refused):
    """A directory is inside itself; there is no copy of that."""


@define
class TooMuchToCopy(Refused):
    """
    More than {limit} directories and mutable files are below this. Copy it in parts, or
    with a program that goes through it.
    """

    limit: int


@define
class NothingToRead(Misuse):
    """What is of an unknown kind cannot be read."""


@define
class FiniteDepth(Refused):
    """Ask for one directory at a time, with Depth: 0 or Depth: 1."""

    condition: ClassVar[str] = "propfind-finite-depth"


@define
class Locked(Refused):
    """This is locked, and the request does not say by whom."""

    condition: ClassVar[str] = "lock-token-submitted"
    hrefs: list[str] = field(factory=list)


@define
class LockedByOther(Refused):
    """Somebody else has a lock on this."""

    condition: ClassVar[str] = "no-conflicting-lock"
    hrefs: list[str] = field(factory=list)


@define
class OtherToken(Misuse):
    """There is no such lock on this: it may have expired."""

    condition: ClassVar[str] = "lock-token-matches-request-uri"


@define
class LoginNeeded(Refused):
    """
    A name and a password are needed: those of an account of this gateway.
    truckee account add NAME makes one.
    """


@define
class NotConfidential(Refused):
    """
    Passwords are not taken over plain HTTP, where others can read along. Use https://, by
    an ssl: port or a proxy that sets X-Forwarded-Proto, or ask from the same machine.
    """


@define
class ReadOnlyAccount(Refused):
    """This account may only read."""


@define
class NoAccounts(Misuse):
    """
    There are no accounts on this gateway. Directories are at /dav/DIRCAP/; at /dav/ is the
    one of an account, which truckee account add NAME makes.
    """


STATUSES = (
    (LoginNeeded, 401),
    (WrongLogin, 401),
    (TooManyFailures, 429),
    (NoAccounts, 404),
    (NoParent, 409),
    (BodyNotTaken, 415),
    (OtherServer, 502),
    (IfFailed, 412),
    (Taken, 412),
    (LoopFound, 508),
    (TooMuchToCopy, 507),
    (TooManyProperties, 507),
    (Locked, 423),
    (LockedByOther, 423),
    (LockConflict, 423),
    (OtherToken, 409),
    (NoSuchLock, 412),
    (PreconditionFailed, 412),
    (BodyTooLarge, 413),
)
