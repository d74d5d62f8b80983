"""A file that is on the grid, as a helper knows it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from truckee.codec import base32


@frozen
class Stored:
    """A file that is on the grid."""

    ueb: bytes = field(repr=False)
    shares: Mapping[int, list[str]]  # names of the servers of each
    found: int  # how many shares were there before
    # The lease seeds of the same servers in the same order; their names may be alike.
    seeds: Mapping[int, list[bytes]] = field(factory=dict, repr=False)

    def labels(self) -> dict[int, list[str]]:
        """Return the servers of each share by names of which no two are alike."""
        known: dict[str, set[bytes]] = {}
        for share, names in self.shares.items():
            for name, seed in zip(names, self.seeds[share], strict=True):
                known.setdefault(name, set()).add(seed)
        return {
            share: [
                name if len(known[name]) == 1 else f"{name} ({base32.encode(seed)[:8]})"
                for name, seed in zip(names, self.seeds[share], strict=True)
            ]
            for share, names in self.shares.items()
        }
