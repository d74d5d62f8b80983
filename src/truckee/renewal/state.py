"""How far the renewal of one tree is, and what it found.  Pure."""

from __future__ import annotations

from attrs import define, field, frozen

# Of one pass: more is counted, and not listed.
MOST_LISTED = 1000  # objects
MOST_TEXT = 512 << 10  # characters of their paths and reasons


@define
class Counts:
    """What was met in one pass."""

    objects: int = 0  # of all kinds
    checked: int = 0  # that have shares
    unhealthy: int = 0  # at the end, so without those that were repaired
    lost: int = 0  # of these: cannot be read
    unreadable: int = 0  # directories, whose contents were not met
    repaired: int = 0
    unrenewed: int = 0  # some server did not confirm their leases


@frozen
class Unhealthy:
    """One object that is not as it should be."""

    path: tuple[str, ...]  # names, from the root of the tree
    reason: str


@define
class Pass:
    """One walk of the whole tree, in as many parts as it takes."""

    started: float  # Unix seconds
    ended: float | None = None  # Unix seconds; None: it is not over
    counts: Counts = field(factory=Counts)
    unhealthy: list[Unhealthy] = field(factory=list)  # as many as there is room for
    listed: int = 0  # characters in these

    def add(self, found: Unhealthy) -> None:
        """List an object, if there is room."""
        size = len(found.reason) + sum(len(name) + 1 for name in found.path)
        if len(self.unhealthy) < MOST_LISTED and self.listed + size <= MOST_TEXT:
            self.unhealthy.append(found)
            self.listed += size


@define
class RenewalState:
    """One tree."""

    started: float | None = (
        None  # Unix seconds: when the last pass began, whatever it became
    )
    # Unix seconds at which the clock was first seen before that, if it still is.
    doubt: float | None = None
    cursor: str = ""  # where the pass under way continues, sealed; empty: at the root
    now: Pass | None = None  # the pass under way
    last: Pass | None = None  # the last one that came to its end

    def begin(self, now: float) -> None:
        """Begin a new pass, in the place of one that is under way."""
        self.started, self.doubt, self.cursor = now, None, ""
        self.now = Pass(now)

    def finish(self, now: float) -> Pass:
        """The pass under way came to its end; return it."""
        done = self.now
        assert done is not None
        done.ended = now
        self.last, self.now, self.cursor = done, None, ""
        return done

    def give_up(self) -> None:
        """The pass under way is not continued."""
        self.now, self.cursor = None, ""
