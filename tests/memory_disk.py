"""
Where the directories of tests are: in memory, where there is room for them.

Nothing there survives a power cut, but no test cuts the power of this machine; and a test
of a node waits for hundreds of small files until a disk has them.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/dev/shm")
# Bytes.  Tests have up to half a gigabyte at a time, and their processes as much again.
ROOM = 8 << 30
# What says how many bytes this group of processes may have.
_GROUP = Path("/sys/fs/cgroup/memory.max")


def choose() -> tempfile.TemporaryDirectory[str] | None:
    """
    Let temporary directories be made in memory, from now on, also by child processes.

    Return what is to be cleaned up at the end; None where TMPDIR says where they are to
    be, or there is no room.
    """
    if os.environ.get("TMPDIR") or room_in(MEMORY) < ROOM:
        return None
    try:
        made = tempfile.TemporaryDirectory(
            prefix="truckee-tests-", dir=MEMORY, ignore_cleanup_errors=True
        )
    except OSError:
        return None
    # Some tests are another user.
    Path(made.name).chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = made.name
    return made


def room_in(memory: Path) -> int:
    """Return the bytes that can be kept in a file system in memory (Linux)."""
    try:
        status = os.statvfs(memory)
        told = Path("/proc/meminfo").read_text("ascii").split()
        room = [status.f_bavail * status.f_frsize]
        room.append(int(told[told.index("MemAvailable:") + 1]) * 1024)
    except (OSError, ValueError):
        return 0
    with suppress(OSError, ValueError):  # "max", or no groups
        room.append(int(_GROUP.read_text("ascii")))
    return min(room)
