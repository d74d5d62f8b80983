"""
What a storage server does for its clients, whatever the transport.

``tests/contracts`` has one suite that every implementation passes.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from attrs import define, field, frozen
from zope.interface import Attribute, Interface

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Corrupt, Misuse, Refused, TruckeeError, Unavailable


@define
class NotConnected(Unavailable):
    """There is no connection to {server} now."""

    server: str


@define
class CallFailed(Unavailable):
    """{server} did not do what it was asked ({call}): {reason}"""

    server: str
    call: str
    reason: str
    kind: str = ""  # the class of the error over there, in its own words


@define
class BadAnswer(Corrupt):
    """{server} answered {call} with something that is no answer."""

    server: str
    call: str


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


@define
class OtherKind(Misuse):
    """
    This storage index is in use for {kind} shares; ask for them with the operations for
    {kind} shares.
    """

    kind: str  # "immutable" or "mutable"


@define
class BadWriteEnabler(Refused):
    """The write enabler was recorded by nodeid '{nodeid}'."""

    # The sentence is that of stock servers.  When it is not the server's own nodeid, the
    # share was moved here by hand.
    nodeid: str  # base32; "?": the server that refuses does not say


@define
class BadSlotRequest(Misuse):
    """This request for a slot cannot be served: {reason}."""

    reason: str


@define
class SlotAnswerTooLong(Unavailable):
    """The shares of this slot grow while they are read. Try again later."""


@define
class SlotTooLarge(Misuse):
    """A write ends at byte {end} of share {share}, past what a share may have here."""

    share: int
    end: int


@define
class SlotDamaged(Corrupt):
    """
    Share {share} is damaged on the disk of the server and cannot be replaced; its operator
    finds the file named in the log and can remove it.
    """

    share: int


@define
class BadKeptRequest(Misuse):
    """This request for a share in progress cannot be served: {reason}."""

    reason: str


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


class ILocalWriter(IShareWriter):
    """A share in progress in this process."""

    def write_here(offset: int, parts: Sequence[Buffer]) -> bool:
        """
        Write like ``write``, in the thread that calls; blocks.

        Return whether ``note`` is to be called soon.
        """

    def note() -> None:
        """Take what was written off what is promised; in the event loop."""


class IKeptWriter(IShareWriter):
    """
    A share in progress that outlives its writer.

    Whoever was given it closes, aborts or leaves it.  Somebody with the same upload secret
    may take it over at any time: then it is closed.
    """

    length: int = Attribute("Bytes up to the last that was there when it was opened.")

    async def hashes(offset: int, piece: int, count: int) -> Sequence[bytes]:
        """
        Return the block hashes of *count* pieces of *piece* bytes, from *offset* on.

        Of a share that ends before, those of the whole pieces.  :raises BadKeptRequest:
        """

    async def leave() -> None:
        """Write no more for now; the server keeps it.  May be called twice."""


# What a read may raise: our own errors from elsewhere, the system's from our disks.
ReadError = (OSError, TruckeeError)


class IShareReader(Interface):
    """A finished share."""

    async def read(offset: int, length: int) -> bytes:
        """
        Return the bytes at *offset*: fewer, or none, past the end of the share.

        It raises one of ``ReadError`` and nothing else.
        """


class ILocalReader(IShareReader):
    """A finished share in this process."""

    def read_here(offset: int, length: int) -> bytes:
        """Read like ``read``, in the thread that calls; blocks."""


@frozen
class Allocation:
    """What a server answered to the wish to store shares."""

    already: Set[int]  # finished shares it holds of this file, asked for or not
    writers: Mapping[int, IShareWriter]  # shares it takes now

    # A share number in neither was refused: no space, or somebody else is writing it.


class IDirectShares(Interface):
    """
    Shares that are stored and read in one call each, without writers and readers.

    Source: ``docs/formats/storage-foolscap.md``, "Shares in one call".
    """

    far: bool = Attribute("Whether each call to it costs a round trip.")

    async def read(storage_index: bytes, share: int, offset: int, length: int) -> bytes:
        """
        Return *length* bytes at *offset* of a finished share.

        There are fewer at its end, and none where there is no such share.  Nobody gets more
        than ``MAX_DIRECT_SHARE`` of them.
        """

    async def store(
        storage_index: bytes, secrets: LeaseSecrets, share: int, data: bytes
    ) -> bool:
        """
        Store a share, of at most ``MAX_DIRECT_SHARE`` bytes, and show it to readers.

        Return whether that was done; it is durable then.  It is not done where there is no
        room, and where there is such a share or somebody writes it.  No lease of other
        shares is renewed.
        """


class IStorageServer(Interface):
    """A place for shares."""

    name: str = Attribute("How people and results call it.")
    permutation_seed: bytes = Attribute("Its place in the order of servers for a file.")
    lease_seed: bytes = Attribute("20 bytes that go into its lease secrets.")
    durable: bool = Attribute(
        "Whether it promises that a share it has closed outlives a power cut."
    )
    takes_open_ends: bool = Attribute(
        "Whether it takes shares whose final size is not known yet."
    )
    slots: ISlotServer | None = Attribute(
        "Its shares of mutable files; None: it serves none, or was not reached yet."
    )
    kept: IKeptShares | None = Attribute(
        "Its shares that outlive their writers; None: it keeps none, or is not reached yet."
    )
    direct: IDirectShares | None = Attribute(
        "Its shares, in one call each; None: it has no such calls, or is not reached yet."
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


# Of a share that is stored in one call, and of what is read in one.  Until it is sent it is
# in memory, and of a longer one the bytes cost more than the calls.
MAX_DIRECT_SHARE = 32 << 10  # bytes

# The bounds of one question for hashes, and of the size of a share.
MAX_KEPT_HASHES = 4096
MAX_HASHED = 64 << 20  # bytes
MAX_KEPT_SIZE = 1 << 62  # bytes


@frozen
class Opened(Allocation):
    """What a server answered to the wish to begin kept shares, or to continue them."""

    writers: Mapping[int, IKeptWriter]


class IKeptShares(Interface):
    """
    Shares in progress that outlive connections and processes.

    Source: ``docs/formats/kept-shares.md``.  An upload secret has 32 bytes.
    """

    far: bool = Attribute("Whether a line to it can be cut, or its process alone end.")

    async def unfinished(storage_index: bytes, upload_secret: bytes) -> Mapping[int, int]:
        """Return the shares of an upload that are kept, with the length of each."""

    async def open(
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        """
        Begin *shares*, or continue what is kept of them; see ``IStorageServer.allocate``.

        *brief* ones expire half an hour after their last byte: nobody continues them once
        the process of their writer has ended.  A writer that has one of them with the same
        secret loses it.
        :raises BadKeptRequest: for a size that no share has
        """


# The bounds of one request for a slot, whatever the transport.
MAX_SLOT_READS = 1024  # entries of a read vector; stock clients over HTTPS send 30
MAX_SLOT_TESTS = 1024  # entries of all test vectors
MAX_SLOT_WRITES = 16_384  # entries of all write vectors: an MDMF share has one a segment
MAX_SLOT_DATA = 64 << 20  # bytes that are written, and bytes that are answered
MAX_SLOT_SHARES = 256
# What a range of an answer takes in memory beside its bytes; so much for all there may be.
SLOT_RANGE_COST = 64
MAX_SLOT_ANSWER = MAX_SLOT_DATA + SLOT_RANGE_COST * MAX_SLOT_READS * MAX_SLOT_SHARES


@frozen
class SlotRead:
    """A range of bytes of a share; what is past its end is left out of the answer."""

    offset: int
    length: int


@frozen
class SlotTest:
    """The condition that a share has *specimen* at a range of bytes."""

    offset: int
    length: int
    specimen: bytes = field(repr=False)


@frozen
class SlotWrite:
    """Bytes to store in a share; a gap before them is filled with zeros."""

    offset: int
    data: Buffer = field(repr=False)


@frozen
class SlotChange:
    """What is asked of one share.  A share that is not there tests as an empty one."""

    tests: Sequence[SlotTest] = ()
    writes: Sequence[SlotWrite] = ()
    new_length: int | None = None  # cut to this after the writes; 0: delete the share


@frozen
class SlotSecrets:
    """What a client shows one server to write a slot."""

    write_enabler: bytes = field(repr=False)
    leases: LeaseSecrets


@frozen
class SlotAnswer:
    """What became of a request to write a slot."""

    success: bool  # all tests held, and all was written
    data: Mapping[int, Sequence[bytes]]  # of every share, as it was before the writes


class ISlotServer(Interface):
    """
    A place for the shares of mutable files.

    The shares of one storage index are a slot; all of them have one write enabler.
    """

    max_share_size: int = Attribute("The longest share it takes, in bytes.")

    async def shares(storage_index: bytes) -> Set[int]:
        """Return the numbers of the shares it holds; none of a file nobody stored."""

    async def read(
        storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """
        Return what *reads* find in each of *shares* that it holds; no *shares*: in all.

        A long answer of a server somewhere else comes in parts, between which the shares
        may change.  :raises BadSlotRequest:  :raises OtherKind: when it holds none, and
        immutable ones; over HTTPS there is nothing then
        """

    async def test_and_write(
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """
        Make *changes* if all their tests hold; answer what *reads* found before.

        Each share is changed wholly or not at all, durably, and its lease renewed or
        added.  Shares that are not there are made, with this write enabler.
        :raises BadWriteEnabler: :raises OtherKind: :raises BadSlotRequest:
        :raises SlotTooLarge: :raises SlotDamaged: :raises NoSpace:
        """

    async def add_lease(storage_index: bytes, secrets: LeaseSecrets) -> None:
        """
        Add or renew a lease on all shares it holds.  :raises NoSpace: :raises Refused:
        """

    async def advise_corrupt(storage_index: bytes, share: int, reason: str) -> None:
        """Tell its operator that a share is not what it should be."""


class ISlotReader(IShareReader):
    """
    A share of a slot as it was when it was opened, whatever is written since.

    Whoever opened it closes it.
    """

    length: int = Attribute("Bytes of the share.")

    async def close() -> None:
        """Let go of it; may be called twice."""


class ILocalSlots(ISlotServer):
    """
    One in this process.

    It says what an answer takes in memory, before it is there, and opens shares.
    """

    async def open(storage_index: bytes, share: int) -> ISlotReader | None:
        """Return one share; None: it is not here.  :raises OtherKind:"""

    async def measure(
        storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, int]:
        """
        Return for each share that ``read`` would find how much memory an answer takes.

        It may be another one when it is read.
        :raises OtherKind: :raises BadSlotRequest:
        """

    async def read(
        storage_index: bytes,
        shares: Set[int],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``.  :raises SlotAnswerTooLong: it takes more than *most*"""

    async def test_and_write(
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> SlotAnswer:
        """
        See ``ISlotServer``.

        :raises SlotAnswerTooLong: when the answer takes more than *most*; then nothing
            was changed.
        """
