"""Files that an administrator makes for the user that a node runs as."""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner_of(like: Path, path: Path) -> None:
    """Give *path* to the owner of *like*, if this process is root's.  :raises OSError:"""
    if os.geteuid() == 0:
        owner, given = os.stat(like), os.stat(path)
        if (owner.st_uid, owner.st_gid) != (given.st_uid, given.st_gid):
            os.chown(path, owner.st_uid, owner.st_gid)
