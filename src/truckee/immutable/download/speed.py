"""How soon a source of blocks answers, from what is known of it.  Pure."""

from __future__ import annotations

from math import ceil, log2

from attrs import define, field

# Who answers within this is as good as any.
QUICK = 0.1  # seconds


@define(eq=False)
class Speed:
    """What was seen of a source, or of a server that several are on."""

    busy: int = field(default=0, init=False)  # questions under way
    faults: int = field(default=0, init=False)  # those with fewer are asked first
    usual: float | None = field(default=None, init=False)  # seconds to a block

    def took(self, seconds: float) -> None:
        """A block took so long."""
        if self.usual is None:
            self.usual = seconds
        else:
            self.usual += (seconds - self.usual) / 4

    def demote(self) -> None:
        """Have others asked before it from now on."""
        self.faults += 1

    def delay(self, best: float) -> int:
        """
        Return how often ``QUICK`` must be doubled until it will have answered.

        One that was never asked may be as good as the *best*.
        """
        expected = (best if self.usual is None else self.usual) * (1 + self.busy)
        return ceil(log2(expected / QUICK)) if expected > QUICK else 0
