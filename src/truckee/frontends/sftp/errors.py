"""What is refused to an SFTP client, and with which code."""

from __future__ import annotations

from attrs import define

from truckee.errors import Misuse, Refused, TruckeeError, Unavailable
from truckee.frontends.sftp.replies import Code
from truckee.frontends.sftp.wire import BadPacket
from truckee.tree.directories import NotADirectory, ReadOnlyDirectory
from truckee.tree.links import DirectoryInTheWay, NameTaken
from truckee.tree.paths import NoSuchChild


@define
class NoSuchFile(Misuse):
    """There is no such file or directory."""


@define
class IsADirectory(Misuse):
    """It is a directory."""


@define
class NotEmpty(Misuse):
    """The directory is not empty."""


@define
class IntoItself(Misuse):
    """A directory cannot be moved into itself."""


@define
class RootStays(Refused):
    """The directory that you have logged in to cannot be removed or renamed."""


@define
class NotWritable(Refused):
    """The file was not opened for that."""


@define
class UnknownHandle(Misuse):
    """Nothing is open under this handle (any more)."""


@define
class TooManyHandles(Unavailable):
    """{most} files are open, and no more can be. Close one."""

    most: int


@define
class ListingExpired(Unavailable):
    """Nobody asked for more of the listing for too long. Open the directory again."""


@define
class NotDone(Refused):
    """This server does not do that: {what}."""

    what: str


@define
class SpaceUnknown(NotDone):
    """Nobody knows how much space there is: {what}."""

    what: str = "the servers do not say"


# The first row that fits counts.
_CODES: tuple[tuple[type[TruckeeError], Code], ...] = (
    (NoSuchFile, Code.NO_SUCH_FILE),
    (NoSuchChild, Code.NO_SUCH_FILE),
    (NotADirectory, Code.NO_SUCH_FILE),
    (ReadOnlyDirectory, Code.PERMISSION_DENIED),
    (RootStays, Code.PERMISSION_DENIED),
    (NotWritable, Code.PERMISSION_DENIED),
    (NotDone, Code.UNSUPPORTED),
    (BadPacket, Code.BAD_MESSAGE),
    # Version 3 has no codes for these.
    (NameTaken, Code.FAILURE),
    (DirectoryInTheWay, Code.FAILURE),
)


def code_of(error: TruckeeError) -> Code:
    """Return the code that an error is answered with."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Code.FAILURE
