"""
The versions of a mutable file that servers were found to have.  Pure.

Source: ``docs/formats/mutable.md``, "Versions".  A version is named by its prefix, which
its owner signed: a server can hide a version or show an old one, and cannot make one up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.rsa_keys import SigningKey
from truckee.storage.interfaces import IStorageServer


@frozen
class Place:
    """A server and the number of a share on it."""

    server: IStorageServer
    number: int


@frozen(eq=False)
class DamagedShare:
    """A share that belongs to no version: what a writer needs to replace it."""

    place: Place
    head: bytes = field(repr=False)  # its first bytes as they were read, at most 75
    reason: str


@define(eq=False)
class Versions:
    """What is known of one file, at one time."""

    shares: dict[Place, VerifiedShare] = field(factory=dict)
    damaged: dict[Place, DamagedShare] = field(factory=dict)
    empty: list[IStorageServer] = field(factory=list)  # answered, and have no share
    failed: dict[IStorageServer, str] = field(factory=dict)  # why there was no answer
    # Whether every server there is was asked.  Else there may be versions that nobody saw.
    asked_all: bool = False
    # The block of a short SDMF share, which came with the map.  It is not verified.
    blocks: dict[Place, bytes] = field(factory=dict, repr=False)
    private_key: SigningKey | None = field(default=None, repr=False)

    def by_prefix(self) -> Mapping[Prefix, Mapping[Place, VerifiedShare]]:
        """Return the shares of each version."""
        found: dict[Prefix, dict[Place, VerifiedShare]] = {}
        for place, share in self.shares.items():
            found.setdefault(share.header.prefix, {})[place] = share
        return found

    def of(self, prefix: Prefix) -> Mapping[Place, VerifiedShare]:
        """Return the shares of one version; none of one that was not seen."""
        return self.by_prefix().get(prefix, {})

    @property
    def recoverable(self) -> list[Prefix]:
        """The versions of which k distinct shares were found, the best first."""
        found = [
            prefix
            for prefix, shares in self.by_prefix().items()
            if len(numbers_of(shares)) >= prefix.geometry.needed
        ]
        return sorted(found, key=_rank, reverse=True)

    @property
    def unrecoverable(self) -> list[Prefix]:
        """The other ones, the newest first."""
        others = self.by_prefix().keys() - set(self.recoverable)
        return sorted(others, key=_rank, reverse=True)

    @property
    def best(self) -> Prefix | None:
        """The version that readers get: the newest that is recoverable."""
        return next(iter(self.recoverable), None)

    @property
    def hidden(self) -> list[Prefix]:
        """The versions newer than the best one that cannot be read."""
        best = self.best
        least = -1 if best is None else best.sequence
        return [prefix for prefix in self.unrecoverable if prefix.sequence > least]

    @property
    def is_forked(self) -> bool:
        """Whether two recoverable versions have the best one's sequence number."""
        first = self.recoverable[:2]
        return len({prefix.sequence for prefix in first}) < len(first)

    @property
    def next_sequence(self) -> int:
        """The sequence number of the version to be written: above all that were seen."""
        seen = (share.header.prefix.sequence for share in self.shares.values())
        return 1 + max(seen, default=0)

    @property
    def is_healthy(self) -> bool:
        """Whether all shares of one version are there, and none of another."""
        best = self.best
        if best is None or self.unrecoverable or len(self.recoverable) > 1:
            return False
        return len(numbers_of(self.of(best))) == best.geometry.total


def numbers_of(places: Iterable[Place]) -> set[int]:
    """Return the distinct share numbers among *places*."""
    return {place.number for place in places}


def _rank(prefix: Prefix) -> tuple[int, bytes]:
    return prefix.sequence, prefix.root
