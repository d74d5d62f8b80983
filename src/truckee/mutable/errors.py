"""What can be wrong with a mutable file as a whole."""

from __future__ import annotations

from attrs import define

from truckee.errors import Corrupt, Unavailable


@define
class NotEnoughMutableShares(Unavailable):
    """
    UnrecoverableFileError: This file or directory could not be retrieved, because there
    were insufficient good shares. {found} of one version were found, and {needed} are
    needed. Try again when more servers are connected.
    """

    found: int  # distinct share numbers
    needed: int  # k


@define
class UncoordinatedWrite(Unavailable):
    """
    UncoordinatedWriteError: Somebody else changed this file at the same time. Read it
    again, and repeat your change if it is not there.
    """


@define
class VersionGone(Unavailable):
    """
    This version of the file was replaced by another one while it was read. Read the file
    again, from its beginning.
    """


@define
class BrokenVersion(Corrupt):
    """
    The shares of segment {segment} of this file carry the owner's signature and do not fit
    together: whoever wrote this version made a mistake. Write the file again.
    """

    segment: int
