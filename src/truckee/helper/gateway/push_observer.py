"""
What a helper says of an upload while it is under way.

Source: ``docs/formats/helper-push.md``, "Objects".
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from foolscap.api import Referenceable

from truckee.grid.placement import happiness
from truckee.helper.protocol import RIPushObserver
from truckee.helper.wire import Shares
from truckee.immutable.upload.status import UploadStatus
from truckee.storage.foolscap_schema import serves


@serves(RIPushObserver)
@define(eq=False)
class PushObserver(Referenceable):
    """Puts it into the status of the upload, and takes progress for a sign of life."""

    _status: UploadStatus
    _total: int  # N
    sign: Callable[[], None]  # the helper showed that it works
    _stored: int = field(default=0, init=False)  # bytes, as it last said

    def opened(self) -> None:
        """An upload was opened, at which the helper begins to count anew."""
        self._stored = 0

    def acknowledged(self, held: int) -> None:
        """The helper holds *held* bytes."""
        self._status.held = max(self._status.held, held)

    def report(self, shares: Shares) -> None:
        """Take note of where the helper says that the shares are."""
        status = self._status
        status.shares = {
            number: [name.decode("utf-8", "replace") for name in names]
            for number, names in sorted(shares.items())
            if 0 <= number < self._total
        }
        holders = {number: set(on) for number, on in status.shares.items()}
        status.happiness = happiness(holders)

    def remote_progress(self, held: int, stored: int) -> None:
        self.acknowledged(held)
        self._status.stored = max(self._status.stored, stored)
        # An attempt that failed is made again from the first byte.
        if stored > self._stored:
            self.sign()
        self._stored = stored

    def remote_placed(self, shares: Shares) -> None:
        self.report(shares)
