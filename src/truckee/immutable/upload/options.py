"""How one file is to be stored.  Pure."""

from __future__ import annotations

from attrs import field, frozen

from truckee.immutable.upload.keys import KeyChoice, RandomKey


@frozen
class UploadOptions:
    """
    What the owner of a file asks for; nothing of who asks, nor of how the bytes come.

    *size* is the file's length in bytes where it is known beforehand.  Where it is not,
    *max_size* is the most that the file may have, less or more than usual.
    """

    key: KeyChoice = field(factory=RandomKey, repr=False)
    size: int | None = None  # bytes
    max_size: int | None = None  # bytes
    use_helper: bool = True  # if the gateway has one
