"""Why a log-in is refused.  Pure."""

from __future__ import annotations

from attrs import define

from truckee.errors import Refused, Unavailable


@define
class WrongLogin(Refused):
    """The name or the password is wrong."""


@define
class TooManyFailures(Unavailable):
    """Too many log-ins have failed. Try again in {seconds} seconds."""

    seconds: int  # at least 1; until the next try is looked at


@define
class LoginsBusy(Unavailable):
    """Too many log-ins are being checked. Try again in a few seconds."""
