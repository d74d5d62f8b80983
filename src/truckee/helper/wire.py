"""
What the two ends of a helper's protocols tell each other, as values.  Pure.

``protocol`` has the same as foolscap checks it.  What ``from_wire`` takes was checked, so
types and lengths are right; what it says may be a lie.

Source: ``docs/formats/helper-push.md`` and ``docs/formats/helper-stock.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from truckee.codec.geometry import Encoding

# Keys of the answers to get_version.
HELPER = b"http://allmydata.org/tahoe/protocols/helper/v1"
CHK_UPLOAD = b"http://allmydata.org/tahoe/protocols/helper/chk-upload/v1"
PUSH = b"truckee/helper-push/v1"
PUSH_OWNED = b"truckee/helper-push/v2"  # as v1, and uploads have secrets
# Pushes may go over share channels; see ``docs/formats/share-channel.md``.
PUSH_CHANNELS = b"truckee/helper-push/channels"
SOFTWARE = b"application-version"

LARGEST_PUSH = 1 << 20  # bytes of one message
LARGEST_WINDOW = 8 << 20  # bytes that a gateway has in flight on one connection
LARGEST_PIECE = 256 * 1024  # bytes that a stock client is asked for at once
MOST_PIECES = 64  # in which they come

# What open_push answers first.
PRESENT, RECEIVE, REFUSED = b"present", b"receive", b"refused"

# Codes of answers; all is well without one.
OK = b""
FULL = b"full"
BUSY = b"busy"
TOO_LARGE = b"too-large"
GAP = b"gap"
CLOSED = b"closed"
DIFFERS = b"differs"
NO_SERVERS = b"no-servers"
NO_SPACE = b"no-space"
FAILED = b"failed"

# After these the upload is opened again: one end lost what the other has, or left.
OPEN_AGAIN = frozenset((GAP, CLOSED))

_LONGEST_NAME = 100  # characters of what a peer calls itself


@frozen
class Version:
    """What a helper says of itself in its answer to ``get_version``."""

    pushes: bool  # it has open_push
    owns: bool  # and open_push_v2, where uploads have secrets
    software: str  # printable, at most 100 characters
    has_channels: bool = False  # to push beside foolscap

    @classmethod
    def ours(cls, version: str, has_channels: bool = False) -> Version:
        """Return that of a helper of ours in this *version*."""
        return cls(True, True, f"truckee/{version}", has_channels)

    @classmethod
    def from_wire(cls, answer: Mapping[bytes, object]) -> Version:
        """
        Return what a helper's *answer* says, a stock one's too.

        :raises ValueError: when the name of its software is no text.
        """
        told = answer.get(SOFTWARE, b"?")
        if not isinstance(told, bytes):
            raise ValueError("a helper says what it is in bytes")
        software = ascii(str(told, "ascii", "replace")[:_LONGEST_NAME])[1:-1]
        return cls(PUSH in answer, PUSH_OWNED in answer, software, PUSH_CHANNELS in answer)

    def to_wire(self) -> dict[bytes, object]:
        """Return it as foolscap carries it."""
        pushes: dict[bytes, object] = {PUSH: {}} if self.pushes else {}
        owns: dict[bytes, object] = {PUSH_OWNED: {}} if self.owns else {}
        channels: dict[bytes, object] = {PUSH_CHANNELS: {}} if self.has_channels else {}
        software = self.software.encode("ascii")
        return {HELPER: {}, **pushes, **owns, **channels, SOFTWARE: software}


@frozen
class Parameters:
    """
    How a client wants its file to be stored.

    :raises ValueError: when no file is stored like that.
    """

    needed: int  # k
    happy: int
    total: int  # N
    segment_size: int  # bytes, a multiple of k

    def __attrs_post_init__(self) -> None:
        Encoding(self.needed, self.total, self.segment_size)
        if self.segment_size % self.needed or not 1 <= self.happy <= self.total:
            raise ValueError("no file is stored like that")

    @property
    def encoding(self) -> Encoding:
        """The same without happiness."""
        return Encoding(self.needed, self.total, self.segment_size)

    @classmethod
    def from_wire(cls, told: tuple[int, int, int, int]) -> Parameters:
        """Return what a client told.  :raises ValueError: see the class."""
        needed, happy, total, segment_size = told
        return cls(needed, happy, total, segment_size)

    def to_wire(self) -> tuple[int, int, int, int]:
        """Return it as foolscap carries it."""
        return self.needed, self.happy, self.total, self.segment_size


@frozen
class Opened:
    """What a helper answers to ``open_push``: one of the three that can be made here."""

    state: bytes
    code: bytes  # why it is refused
    held: int  # bytes from the start that the helper has
    digest: bytes = field(repr=False)  # SHA-256 of these, 32 bytes; empty of no bytes
    upload: Any = field(repr=False)  # what takes the rest; None unless there is one
    ueb: bytes = field(repr=False)  # of the file that is present

    @classmethod
    def present(cls, ueb: bytes) -> Opened:
        """The file of *ueb* is on the grid."""
        return cls(PRESENT, OK, 0, b"", None, ueb)

    @classmethod
    def receive(cls, held: int, digest: bytes, upload: Any) -> Opened:
        """*upload* takes what follows the first *held* bytes, whose SHA-256 is *digest*."""
        return cls(RECEIVE, OK, held, digest, upload, b"")

    @classmethod
    def refused(cls, code: bytes) -> Opened:
        """The helper does not take it."""
        return cls(REFUSED, code, 0, b"", None, b"")

    @classmethod
    def from_wire(cls, answer: tuple[bytes, bytes, int, bytes, Any, bytes]) -> Opened:
        """Return what a helper answered."""
        state, code, held, digest, upload, ueb = answer
        return cls(state, code, held, digest, upload, ueb)

    def to_wire(self) -> tuple[bytes, bytes, int, bytes, Any, bytes]:
        """Return it as foolscap carries it."""
        return self.state, self.code, self.held, self.digest, self.upload, self.ueb


@frozen
class Pushed:
    """What a helper answers to ``push``."""

    held: int  # bytes from the start that it has
    code: bytes = OK

    @classmethod
    def from_wire(cls, answer: tuple[int, bytes]) -> Pushed:
        """Return what a helper answered."""
        held, code = answer
        return cls(held, code)

    def to_wire(self) -> tuple[int, bytes]:
        """Return it as foolscap carries it."""
        return self.held, self.code


# Names of the servers of each share, in UTF-8, for people.
Shares = dict[int, list[bytes]]


@frozen
class Finished:
    """What a helper answers to ``finish``."""

    code: bytes
    detail: bytes = b""  # in UTF-8
    ueb: bytes = field(default=b"", repr=False)  # of the file that is stored
    shares: Shares = field(factory=dict)

    @classmethod
    def from_wire(cls, answer: tuple[bytes, bytes, bytes, Shares]) -> Finished:
        """Return what a helper answered."""
        code, detail, ueb, shares = answer
        return cls(code, detail, ueb, shares)

    def to_wire(self) -> tuple[bytes, bytes, bytes, Shares]:
        """Return it as foolscap carries it."""
        return self.code, self.detail, self.ueb, self.shares


@frozen
class PullOpened:
    """What a helper answers to ``upload_chk``: one of the two, or results and nothing."""

    results: Any  # of a file that is there, as ``pull_results`` reads it; None: not known
    upload: Any  # what pulls the file; None: it is there

    @classmethod
    def from_wire(cls, answer: tuple[Any, Any]) -> PullOpened:
        """Return what a helper answered."""
        results, upload = answer
        return cls(results, upload)

    def to_wire(self) -> tuple[Any, Any]:
        """Return it as foolscap carries it."""
        return self.results, self.upload
