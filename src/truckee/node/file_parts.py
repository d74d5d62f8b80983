"""What of a node those frontends stand on that show trees as files and directories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from truckee.accounts.accounts import Accounts
from truckee.codec.geometry import Encoding
from truckee.flow.cpu import Workers
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.upload.uploader import Uploader
from truckee.mutable.files import MutableFiles
from truckee.status.tasks import Tasks
from truckee.storage.directory_status import DirectoryStatus
from truckee.tree.directories import Directories


@frozen(eq=False)
class FileParts:
    """The same for all of them."""

    directories: Directories
    mutable: MutableFiles
    downloader: Downloader
    uploader: Uploader
    accounts: Accounts
    tasks: Tasks
    disk: Workers
    default_key: str
    quota: Callable[[], tuple[int, int] | None]  # see ``quota_of``


def quota_of(
    statuses: Sequence[DirectoryStatus], encoding: Encoding
) -> tuple[int, int] | None:
    """
    Return how many bytes of files there is room for, and how many are used; None: unknown.

    All directories may be on one disk, which then has all shares of a file: there is room
    for so much at least.
    """
    free = [each.free for each in statuses if each.free is not None]
    used = [
        each.size - each.free
        for each in statuses
        if each.free is not None and each.size is not None
    ]
    if not free or not used:
        return None
    share = encoding.needed / encoding.total
    return int(min(free) * share), int(max(used) * share)
