"""What can be wrong with a request to an upload that is open."""

from __future__ import annotations

from attrs import define

from truckee.errors import Misuse, Refused, TruckeeError, Unavailable


@define
class UnknownHandle(Misuse):
    """
    No upload has this handle (any more): it was aborted, or it expired. Open a new one
    with: POST /upload/open
    """


@define
class NotOpenYet(Unavailable):
    """
    What was received of this upload is on a disk that cannot be written to now. Nothing is
    lost: try again later.
    """


@define
class TooManyOpen(Unavailable):
    """
    {count} uploads are open, and no more can be. Close or abort one, or try again later.
    """

    count: int


@define
class NoRoomForOpen(Unavailable):
    """
    The uploads that are open have the {limit} bytes of this gateway's disk that they may
    have. What was received is stored: try again when one of them is stored or aborted, or
    raise [client] upload.spool-limit in tahoe.cfg.
    """

    limit: int


@define
class WrongOffset(Refused):
    """
    This chunk begins at {given}, but the upload has {offset} bytes so far. Go on from
    there.
    """

    given: int
    offset: int


@define
class NotAllThere(Refused):
    """
    The upload was opened for {size} bytes and has {offset} so far. It is still open: send
    the rest, then close it.
    """

    offset: int
    size: int


@define
class NotTheEnd(Refused):
    """
    The upload has {offset} bytes, and the last piece ends at {end}. It is still open: look
    what is wrong, and close it at its end or abort it.
    """

    end: int
    offset: int


@define
class PastTheEnd(Refused):
    """
    This chunk goes beyond byte {end}, where the upload ends. Nothing behind that was
    taken.
    """

    end: int


@define
class OtherSize(Refused):
    """The upload has a size already: {size} bytes, and {offset} of them have come."""

    size: int | None
    offset: int


@define
class OnlyAPart(Refused):
    """This upload is a part of another one, and has no cap of its own."""


@define
class PartUsedUp(Refused):
    """
    A part is in {most} files already, and a part can be in no more. Send its bytes again
    as a new part.
    """

    most: int


@define
class TakenOver(Refused):
    """Another request resumed this upload, so this request was ended."""


@define
class UploadAborted(Refused):
    """This upload was aborted, and nothing of it is kept. Open a new one."""


@define
class AlreadyStored(Refused):
    """The file is stored, and cannot be aborted any more."""


@define
class FailedBefore(Refused):
    """{reason}"""

    reason: str  # as it was told when it happened, in another process


@define
class UploadBroke(TruckeeError):
    """
    The upload failed inside the gateway, whose log says how. Nothing of it is kept: open a
    new one.
    """
