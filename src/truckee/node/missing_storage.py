"""A storage directory that is not there, or has another one in its place."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from attrs import define

from truckee.errors import Unavailable
from truckee.node.directory_record import RECORD, Remembered


@define
class StorageMissing(Unavailable):
    """{reason}. Mount its disk, or correct {setting} in tahoe.cfg{remedy}"""

    reason: str
    setting: str
    remedy: str = ""


class OtherStorage(StorageMissing):
    """{reason}. Mount the right disk, or correct {setting} in tahoe.cfg{remedy}"""


def check_place(
    path: Path, identity: bytes, remembered: Remembered, used: Collection[Path]
) -> None:
    """:raises OtherStorage: when *identity* was replaced, or another one is at *path*."""
    setting = "[grid] storage_dirs"
    remedy = f", or remove {RECORD} from the node directory if it is meant."
    if remembered.replacement(identity, used) is not None:
        reason = "The storage directory is one that was replaced"
        raise OtherStorage(reason, setting, remedy)
    if remembered.is_other(path, identity):
        raise OtherStorage(
            "The storage directory is another one than it was", setting, remedy
        )
