"""What can be wrong with a share of a mutable file."""

from __future__ import annotations

from attrs import define

from truckee.errors import Corrupt


@define
class BadShare(Corrupt):
    """A share of a mutable file is damaged: {reason}. Use another share, then repair."""

    reason: str
