"""
Which trees have their leases renewed, and how often.  Pure.

Source: ``docs/reference/node-directory.md``, "Lease renewal".
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from attrs import frozen

from truckee.flow.durations import parse_duration

USUAL = 7 * 86400.0  # seconds
SHORTEST = 3600.0  # seconds
MOST_TREES = 50
# Of the name of a file, which the name of an alias is a part of.
_LONGEST_NAME = 200  # bytes
_EVERY = "every "


@frozen
class RenewedTree:
    """One tree."""

    alias: str
    every: float  # seconds from the start of one pass to that of the next

    @property
    def file_name(self) -> str:
        """What its state is called on disk."""
        return f"{quote(self.alias, safe='')}.json"


@frozen
class RenewalPlan:
    """What the operator wants to be renewed."""

    trees: Sequence[RenewedTree] = ()
    repair: bool = False  # what is unhealthy


def parse_trees(text: str) -> list[RenewedTree]:
    """
    Return what the lines of *text* name: ``ALIAS``, or ``ALIAS, every 7 days``.

    :raises ValueError: with a sentence for whoever wrote it; no cap is in it.
    """
    trees = [_parse(line.strip()) for line in text.splitlines() if line.strip()]
    if len(trees) > MOST_TREES:
        raise ValueError(f"it names {len(trees)} trees; {MOST_TREES} is the most")
    names = [tree.alias for tree in trees]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice: one line for each alias")
    return trees


def _parse(line: str) -> RenewedTree:
    name, comma, rest = line.partition(",")
    name = name.strip().removesuffix(":")
    if name.upper().startswith("URI:"):
        raise ValueError(
            "a cap belongs into private/ alone, where nobody else can read it. Give it a "
            "name with truckee alias add NAME -, and write NAME here"
        )
    if not name or ":" in name:
        raise ValueError(
            "it takes the name of an alias in each line, as in: tahoe, every 7 days"
        )
    every = USUAL
    if comma:
        words = " ".join(rest.split())
        if not words.lower().startswith(_EVERY):
            raise ValueError(
                f"{words!r} is no interval: write {name}, every 7 days (or 12 hours)"
            )
        every = parse_duration(words[len(_EVERY) :])
    if every < SHORTEST:
        raise ValueError(
            f"{name}: leases last for weeks, so once an hour is the most often that they "
            "can be renewed. Write every 1 hour or more; every 7 days is usual"
        )
    tree = RenewedTree(name, every)
    if len(tree.file_name) > _LONGEST_NAME:
        raise ValueError(f"the alias {name} is too long: give it a shorter one, too")
    return tree
