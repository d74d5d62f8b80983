"""Bytes of ciphertext on a helper's disk, of all its clients and of each."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from truckee.helper.errors import HelperRefuses
from truckee.helper.ownership import Owner
from truckee.helper.server.limits import HelperLimits
from truckee.helper.wire import Parameters

# Of a segment and its blocks in memory, of which there are some for each upload.
_LARGEST_SEGMENT = 128 << 20  # bytes


@define(eq=False)
class Quotas:
    """What is used, and what may be."""

    limits: HelperLimits
    used: int = field(default=0, init=False)  # bytes in all files
    _used_by: Counter[bytes] = field(factory=Counter, init=False)  # clients

    def check(self, size: int) -> None:
        """:raises HelperRefuses: when no file may have *size* bytes."""
        if size > self.limits.size:
            raise HelperRefuses

    def check_segments(self, parameters: Parameters, size: int | None) -> None:
        """:raises HelperRefuses: when a segment of such a file takes too much memory."""
        segment = min(parameters.segment_size, size or parameters.segment_size)
        if parameters.encoding.coded_size(segment) > _LARGEST_SEGMENT:
            raise HelperRefuses

    def has_room(self, owner: Owner, size: int) -> bool:
        """Tell whether *size* more bytes may be kept for *owner*."""
        most, _ = self.limits.most_of_client
        return (
            self.used + size <= self.limits.spool
            and self._used_by[owner.client] + size <= most
        )

    def count(self, owner: Owner, size: int) -> None:
        """Count *size* bytes that are kept for *owner*; less than 0: that are no more."""
        self.used += size
        self._used_by[owner.client] += size
        if not self._used_by[owner.client]:
            del self._used_by[owner.client]

    def clear(self) -> None:
        """Count anew."""
        self.used = 0
        self._used_by.clear()
