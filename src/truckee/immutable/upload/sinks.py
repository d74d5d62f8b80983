"""Where ciphertext goes.  ``tests/contracts`` has the suite that every sink passes."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from zope.interface import Attribute, Interface

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Refused, TruckeeError, Unavailable
from truckee.flow.together import Work
from truckee.immutable.upload.status import UploadStatus


@define
class KeyReused(Refused):
    """
    Another file is already stored under this key. Two files under one key could be read
    without it, so nothing was stored: use another key, or key=random.
    """


@define
class NotThroughHelper(TruckeeError):
    """The helper did not store this file. Upload it with helper=no."""


@define
class FalseClaims(Unavailable):
    """
    {servers} claimed shares of this file that are not its own, so that it was not stored
    in full. Nothing more that they claim of it is believed: upload it again.
    """

    servers: str


@define
class WrongSize(Misuse):
    """The body has {found} bytes or more, and {promised} were promised."""

    found: int
    promised: int


class ICiphertextSink(Interface):
    """Takes the ciphertext of one file, whose key is not its business."""

    chunk_size: int = Attribute(
        "Bytes; chunks of exactly this size cost the least. It may be another one later."
    )

    async def write(chunk: Buffer) -> None:
        """
        Take the next bytes; returns when more can be taken.

        *chunk* may have any size and must stay unchanged from now on.
        """

    async def close() -> ChkVerifyCap:
        """
        The file is complete: return the cap that checks it, once it is stored for good.

        If this raises, ``abort`` follows.
        """

    async def abort() -> None:
        """Forget the file and free its space.  May be called at any time, and twice."""


@frozen(eq=False)
class NewFile:
    """What is known of a file before its first byte."""

    storage_index: bytes
    size: int | None  # bytes, more than a literal cap holds; None: not known yet
    most: int  # bytes it may grow to, if its size is not known
    # Its key was never used before: whoever claims to have a share of it lies.
    fresh: bool = False
    # No segment may leave that differs from what is stored under this storage index.
    guarded: bool = False
    # Whether somebody may bring the same ciphertext again, if it does not come to its end.
    _resumable: bool = False
    _given_up: Callable[[], bool] = lambda: False  # asked at the end
    direct: bool = False  # the client wants no helper
    # Looks at the UEB before any reader can see the file, and raises if it must not.
    approve: Callable[[bytes], Work[None]] | None = None
    status: UploadStatus = field(factory=UploadStatus)  # what becomes of it

    @property
    def resumable(self) -> bool:
        """Whether what is there of it is wanted again."""
        return self._resumable and not self._given_up()


class ICiphertextSinks(Interface):
    """Opens sinks.  Whoever does sees to it that nobody else writes the same file."""

    needs_known_size: bool = Attribute("Whether none can be opened now without a size.")

    async def open(file: NewFile) -> ICiphertextSink:
        """Get ready for a file.  :raises TruckeeError: when it cannot be stored now."""

    async def forget(file: NewFile) -> None:
        """
        Free what an earlier attempt left of a file that nobody will bring again.

        What cannot be reached now goes when it expires.
        """
