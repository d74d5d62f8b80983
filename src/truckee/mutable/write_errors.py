"""Why a version of a mutable file could not be written."""

from __future__ import annotations

from attrs import define

from truckee.errors import Misuse, Refused, Unavailable


@define
class TooFewPlaced(Unavailable):
    """
    NotEnoughServersError: Only {placed} different shares of the new version could be
    stored, and {needed} are needed to read it. Wait for more servers, then write it again.
    """

    placed: int
    needed: int


@define
class LastVersion(Refused):
    """This file has been changed as often as a file can be. Make another one."""


@define
class TooLargeForSdmf(Misuse):
    """
    A mutable file of {size} bytes is too large for the format SDMF, which takes {most}
    here. Store it with format=MDMF.
    """

    size: int  # of the file, or what came of it
    most: int


@define
class TooLargeForMdmf(Refused):
    """A mutable file can have {most} bytes here. Store it as an immutable one."""

    most: int


@define
class WrongKey(Misuse):
    """This private key is not that of the file. Give the key that its cap was made from."""


@define
class NoPlaceBeside(Unavailable):
    """
    A file of more than {most} bytes is replaced by writing its new version beside the old
    one, which takes another server for share {number}. Add a storage server, or store the
    new version as another file.
    """

    most: int
    number: int
