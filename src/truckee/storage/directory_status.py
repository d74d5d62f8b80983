"""The state of a storage directory of the node's own grid, as it is reported."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from truckee.flow.durable import DiskFault

FINE = "fine"
_STATES = {
    DiskFault.MISSING: "missing",
    DiskFault.OTHER: "another disk",
    DiskFault.FULL: "full",
    DiskFault.READ_ONLY: "read-only",
    DiskFault.DENIED: "no permission",
    DiskFault.FAILING: "failing",
}
STATES = (FINE, *_STATES.values())


@frozen
class DirectoryStatus:
    """One storage directory."""

    name: str
    identity: str | None  # in base32; None: it was never seen
    fault: DiskFault | None  # None: nothing is wrong
    size: int | None = None  # bytes of its disk
    free: int | None = None  # bytes that shares may still take

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return _STATES[self.fault] if self.fault else FINE

    @property
    def is_there(self) -> bool:
        """Whether its shares can be looked for."""
        return self.fault not in (DiskFault.MISSING, DiskFault.OTHER)

    def in_state(self, state: str) -> DirectoryStatus:
        """Return the same in a *state* that a node reported; itself if it is unknown."""
        known = [fault for fault, name in _STATES.items() if name == state]
        return evolve(self, fault=known[0]) if known else self


def count_states(directories: Sequence[DirectoryStatus]) -> dict[str, int]:
    """Return how many directories there are in each state."""
    found = dict.fromkeys(STATES, 0)
    for each in directories:
        found[each.state] += 1
    return found
