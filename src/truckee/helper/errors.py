"""
What goes wrong with a helper, and the codes by which its two ends tell each other.

Source: ``docs/formats/helper-push.md``, "Objects".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, frozen

from truckee.errors import Corrupt, Misuse, TruckeeError, Unavailable
from truckee.grid.selection import NotEnoughServers
from truckee.helper import wire
from truckee.immutable.upload.acceptance import DamagedShares, NotProved
from truckee.immutable.upload.sinks import NotThroughHelper
from truckee.storage.interfaces import NoSpace

_MOST_TOLD = 1000  # bytes of the detail beside a code
_MOST_SHOWN = 500  # characters of a detail that are shown to a client
_MOST_DIGITS = 9  # of a number in a detail


@define
class HelperFull(Unavailable):
    """
    The helper has no space left for ciphertext. Try again later, upload with helper=no, or
    have its operator free some space or raise [helper] spool-limit.
    """


@define
class HelperBusy(Unavailable):
    """The helper has as many uploads under way as it takes. Try again soon."""


@define
class HelperRefuses(Misuse):
    """The file, or a segment of it, is larger than the helper takes. Use helper=no."""


@define
class Gap(Misuse):
    """The helper has {held} bytes of this file, and those that follow are missing."""

    held: int


@define
class UploadOver(Unavailable):
    """This upload is over at the helper: begin it again."""


@define
class ContentDiffers(Unavailable):
    """
    What the helper had of this file was not its content, and was deleted. Upload the
    file again.
    """


@define
class HelperFailed(Unavailable):
    """
    The helper could not store the file: {reason}. Try again, or upload with helper=no.
    """

    reason: str


@define
class HelperSilent(Unavailable):
    """
    The helper said nothing of this file for {seconds:.0f} seconds. Try again, or upload
    with helper=no.
    """

    seconds: float


@define
class HelperLied(Corrupt, NotThroughHelper):
    """
    The helper stored something else than this file, so there is no cap. Use another
    helper, or upload with helper=no.
    """


@frozen
class _Meaning:
    """One row of the table: an error at the helper, and what the gateway makes of it."""

    kind: type[Exception]
    code: bytes
    # What is told beside the code, in UTF-8.
    detail: Callable[[Any], str] = lambda error: ""
    # The error that the gateway raises for a detail; None: not one of these, because a
    # gateway that is told so opens the upload again, or another row has the same code.
    read: Callable[[str], Exception] | None = None


def _counts(error: NotEnoughServers | DamagedShares | NotProved) -> str:
    return f"{error.found} {error.needed}"


def _read_counts(detail: str) -> Exception:
    numbers = detail.split()
    if len(numbers) != 2 or not all(each.isascii() and each.isdigit() for each in numbers):
        return _failed(wire.NO_SERVERS, detail)
    found, needed = (int(each[:_MOST_DIGITS]) for each in numbers)
    return NotEnoughServers(found, needed)


# The first row that fits counts, whichever way the table is read.
_MEANINGS = (
    _Meaning(HelperFull, wire.FULL, read=lambda _: HelperFull()),
    _Meaning(HelperBusy, wire.BUSY, read=lambda _: HelperBusy()),
    _Meaning(HelperRefuses, wire.TOO_LARGE, read=lambda _: HelperRefuses()),
    _Meaning(Gap, wire.GAP),
    _Meaning(UploadOver, wire.CLOSED),
    _Meaning(ContentDiffers, wire.DIFFERS, read=lambda _: ContentDiffers()),
    _Meaning(NotEnoughServers, wire.NO_SERVERS, _counts, _read_counts),
    _Meaning(DamagedShares, wire.NO_SERVERS, _counts),
    _Meaning(NotProved, wire.NO_SERVERS, _counts),
    _Meaning(
        NoSpace,
        wire.NO_SPACE,
        lambda error: error.where,
        lambda detail: NoSpace(_harmless(detail)),
    ),
    _Meaning(TruckeeError, wire.FAILED, str),
    # Its words are not for strangers: they may name files of this machine.
    _Meaning(Exception, wire.FAILED),
)


def code_of(error: Exception) -> tuple[bytes, bytes]:
    """
    Return how an error is told to a gateway: its code, and at most 1000 bytes of detail.
    """
    row = next(each for each in _MEANINGS if isinstance(error, each.kind))
    return row.code, row.detail(error).encode("utf-8")[:_MOST_TOLD]


def error_of(code: bytes, detail: bytes = b"") -> Exception:
    """Return the error that a helper's *code*, which may be any bytes, means."""
    text = detail.decode("utf-8", "replace")
    for row in _MEANINGS:
        if row.code == code and row.read is not None:
            return row.read(text)
    return _failed(code, text)


def _failed(code: bytes, detail: str) -> HelperFailed:
    return HelperFailed(_harmless(detail or code.decode("ascii", "replace")))


def _harmless(text: str) -> str:
    """Return what a peer said as it may be shown: printable, and not long."""
    return ascii(text)[1:-1][:_MOST_SHOWN]
