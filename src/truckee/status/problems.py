"""
What is wrong with a node now, by name.

Whoever finds a problem reports it, and whoever finds it solved resolves it::

    problems.report("cache", "The cache cannot be used: the disk is full.")
    problems.resolve("cache")

All pages show the same list.  A text names files below the node directory and nothing
outside of it, since people other than the operator may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, evolve, field, frozen

# More would not be read; the log has all of them.
MOST = 100


@frozen
class Problem:
    """Something that is wrong now."""

    name: str  # the same as long as it lasts
    text: str  # sentences for the operator
    since: float  # Unix seconds


@define(eq=False)
class Problems:
    """The problems of one node, the oldest first."""

    _now: Callable[[], float]  # Unix seconds
    # Hears of each one: whether it began (or has another text now), or is solved.
    on_change: list[Callable[[Problem, bool], None]] = field(factory=list)
    changes: int = field(default=0, init=False)
    _current: dict[str, Problem] = field(factory=dict, init=False)
    _more: float | None = field(default=None, init=False)  # since there are too many

    def report(self, name: str, text: str) -> None:
        """Note that something is wrong, or why it still is."""
        before = self._current.get(name)
        if before is not None and before.text == text:
            return
        if before is None:
            problem = Problem(name, text, self._now())
            if len(self._current) >= MOST:
                self._more = self._now() if self._more is None else self._more
                self._tell(problem, True)
                return
        else:
            problem = evolve(before, text=text)
        self._current[name] = problem
        self._tell(problem, True)

    def resolve(self, name: str) -> None:
        """Note that it is solved, if it was a problem."""
        problem = self._current.pop(name, None)
        if problem is not None:
            self._more = None
            self._tell(problem, False)

    def _tell(self, problem: Problem, begins: bool) -> None:
        self.changes += 1
        for hear in self.on_change:
            hear(problem, begins)

    def __contains__(self, name: str) -> bool:
        return name in self._current

    def __len__(self) -> int:
        return len(self._current) + (self._more is not None)

    def __iter__(self) -> Iterator[Problem]:
        yield from list(self._current.values())
        if self._more is not None:
            yield Problem(
                "more", "There are more problems than these: see the log.", self._more
            )
