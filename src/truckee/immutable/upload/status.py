"""What became of an upload, for its owner."""

from __future__ import annotations

from attrs import define, field

from truckee.codec.caps import ChkReadCap
from truckee.status.progress import LostShare, Progress

__all__ = ["LostShare", "UploadStatus"]


@define(eq=False)
class UploadStatus(Progress):
    """
    Filled in by those who carry an upload out; read by whoever asked for it.

    What is lost and on no other server wants a repair.
    """

    seeds: dict[int, list[bytes]] = field(factory=dict)  # lease seeds, as in *shares*
    found: int = 0  # shares that were there before
    # Whether all servers that have shares of it promise that these outlive a power cut.
    durable: bool = False

    def unplaced(self, cap: object) -> list[int]:
        """Return the shares of the stored file of *cap* that no server has, if known."""
        total = cap.total if isinstance(cap, ChkReadCap) and self.shares else 0
        return [share for share in range(total) if share not in self.shares]
