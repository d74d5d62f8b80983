"""
What goes wrong with a helper, and what its codes mean.

Source: ``docs/formats/helper-push.md``, "Objects".
"""

from __future__ import annotations

from attrs import define

from truckee.errors import Corrupt, Unavailable
from truckee.grid.selection import NotEnoughServers
from truckee.helper import protocol
from truckee.helper.server.ciphertext_file import HelperFull
from truckee.helper.server.registry import HelperBusy, HelperRefuses
from truckee.helper.server.upload import ContentDiffers
from truckee.immutable.upload.sinks import NotThroughHelper
from truckee.storage.interfaces import NoSpace

_LONGEST = 500  # characters of what it says of an error


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


def error_of(code: bytes, detail: bytes = b"") -> Exception:
    """Return the error that a helper's *code* means."""
    text = detail.decode("utf-8", "replace")
    simple: dict[bytes, type[Exception]] = {
        protocol.FULL: HelperFull,
        protocol.BUSY: HelperBusy,
        protocol.TOO_LARGE: HelperRefuses,
        protocol.DIFFERS: ContentDiffers,
    }
    if code in simple:
        return simple[code]()
    if code == protocol.NO_SPACE:
        return NoSpace(_harmless(text))
    numbers = text.split()
    if code == protocol.NO_SERVERS and len(numbers) == 2 and all(map(_is_number, numbers)):
        return NotEnoughServers(int(numbers[0][:9]), int(numbers[1][:9]))
    return HelperFailed(_harmless(text or code.decode("ascii", "replace")))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _harmless(text: str) -> str:
    return ascii(text)[1:-1][:_LONGEST]
