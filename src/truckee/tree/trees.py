"""What a gateway does with directories."""

from __future__ import annotations

from attrs import frozen

from truckee.tree.directories import Directories
from truckee.tree.object_check import ObjectChecker
from truckee.tree.walk import Walker


@frozen(eq=False)
class Trees:
    """One at a time, and with all that is below them."""

    directories: Directories
    walker: Walker
    checker: ObjectChecker
