"""
What a storage server does for its clients, whatever the transport.

``tests/contracts`` has one suite that every implementation passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from attrs import define, frozen
from zope.interface import Attribute, Interface

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Misuse, TruckeeError, Unavailable


@define
class NoSpace(Unavailable):
    """There is no space left on {where}. Free some, or add a storage directory."""

    where: str


@define
class NotWritable(NoSpace):
    """{where} cannot be written to: {reason}. Mend its disk, or add a storage directory."""

    reason: str


@define
class ShareTooLarge(Misuse):
    """A write of share {share} ends at byte {end}, past the {size} bytes it was given."""

    share: int
    end: int
    size: int


@define
class ShareClosed(Misuse):
    """Share {share} is closed and takes no more bytes."""

    share: int


class IShareWriter(Interface):
    """
    A share in progress.

    Whoever was given it closes or aborts it.  Until it is closed no reader sees it.
    """

    async def write(offset: int, parts: Sequence[Buffer]) -> None:
        """
        Store *parts*, one behind the other, at *offset*.

        Any order; writing the same bytes again is allowed.  The parts must stay
        unchanged until this returns.  :raises NoSpace: :raises ShareTooLarge:
        """

    async def close(size: int) -> None:
        """
        Show the share, *size* bytes long, to readers; it is durable then.

        *size* is the allocated size, or at most that if the allocation was open-ended.
        """

    async def abort() -> None:
        """Forget the share and free its space.  May be called at any time, and twice."""


# What a read may raise: our own errors from elsewhere, the system's from our disks.
ReadError = (OSError, TruckeeError)


class IShareReader(Interface):
    """A finished share."""

    async def read(offset: int, length: int) -> bytes:
        """
        Return the bytes at *offset*: fewer, or none, past the end of the share.

        It raises one of ``ReadError`` and nothing else.
        """


@frozen
class Allocation:
    """What a server answered to the wish to store shares."""

    already: Set[int]  # finished shares it holds of this file, asked for or not
    writers: Mapping[int, IShareWriter]  # shares it takes now

    # A share number in neither was refused: no space, or somebody else is writing it.


class IStorageServer(Interface):
    """A place for shares."""

    name: str = Attribute("How people and results call it.")
    permutation_seed: bytes = Attribute("Its place in the order of servers for a file.")
    lease_seed: bytes = Attribute("20 bytes that go into its lease secrets.")
    takes_open_ends: bool = Attribute(
        "Whether it takes shares whose final size is not known yet."
    )

    async def available_space() -> int:
        """Return the bytes it would take now; 0 when it is read-only or full."""

    async def allocate(
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """
        Ask it to take *shares* of *size* bytes each, at most that if *open_ended*.

        The leases of all finished shares of the file are renewed.  *shares* may be
        empty.
        """

    async def buckets(storage_index: bytes) -> Mapping[int, IShareReader]:
        """Return the finished shares it holds of a file."""

    async def add_lease(storage_index: bytes, secrets: LeaseSecrets) -> None:
        """Add or renew a lease on all finished shares it holds of a file."""

    async def advise_corrupt(storage_index: bytes, share: int, reason: str) -> None:
        """Tell its operator that a share is not what it should be."""
