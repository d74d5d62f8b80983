"""
The names in a node directory, and the right to use it.

Source: ``docs/reference/node-directory.md``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import define, field, frozen

from truckee.errors import Misuse, Unavailable
from truckee.flow.locked_directory import AlreadyLocked, LockedDirectory

# Where a node is made and looked for if nobody says where.
DEFAULT_NODEDIR = "truckee-node"


@define
class NoNodeDirectory(Misuse):
    """
    There is no node in {path} (it has no tahoe.cfg). Make one with: truckee create-grid
    {path} (or create-client, create-helper, create-storage).
    """

    path: Path


@define
class DirectoryInUse(Unavailable):
    """
    Another process{who} is running the node in {path}. Stop it first, or use another
    directory.
    """

    path: Path
    who: str


def _absolute(path: Path | str) -> Path:
    return Path(path).absolute()


@frozen
class NodeDirectory:
    """Where the parts of a node are."""

    path: Path = field(converter=_absolute)

    @property
    def config(self) -> Path:
        """What the operator says."""
        return self.path / "tahoe.cfg"

    @property
    def private(self) -> Path:
        """Keys and secrets, for the owner's eyes only."""
        return self.path / "private"

    @property
    def spool(self) -> Path:
        """Files without a name, encrypted, that end with the process."""
        return self.path / "tmp"

    @property
    def cache(self) -> Path:
        """Ciphertext that was read, which the servers have too."""
        return self.path / "cache"

    @property
    def upload_records(self) -> Path:
        """What is known of uploads that are open; secrets."""
        return self.private / "uploads"

    @property
    def renewal(self) -> Path:
        """How far the renewal of leases is, and what was unhealthy; paths of files."""
        return self.private / "renewal"

    @property
    def webdav_locks(self) -> Path:
        """Who has locked what, by hashes; with what clients say of themselves."""
        return self.private / "webdav-locks.json"

    @property
    def upload_logs(self) -> Path:
        """Their bytes, encrypted."""
        return self.path / "uploads"

    @property
    def helper(self) -> Path:
        """Ciphertext that was brought to our helper."""
        return self.path / "helper"

    @property
    def journal(self) -> Path:
        """Notes of what is being shown to readers on our own disks."""
        return self.path / "storage" / "journal"

    @property
    def seqnum(self) -> Path:
        """The number of our last announcement."""
        return self.path / "announcement-seqnum"

    @property
    def storage_record(self) -> Path:
        """Which storage directory we offer to others."""
        return self.path / "storage-server-id"

    @property
    def client_port(self) -> Path:
        """Where other nodes reach this one, when it had to choose a port."""
        return self.path / "client.port"

    @property
    def incidents(self) -> Path:
        """What users reported, with the log before it."""
        return self.path / "logs" / "incidents"

    @property
    def url(self) -> Path:
        """Where the web API is, for command-line clients."""
        return self.path / "node.url"

    @property
    def sftp_url(self) -> Path:
        """Where SFTP is, for clients on this machine."""
        return self.path / "sftp.url"

    @property
    def api_token(self) -> Path:
        """What lets programs on this machine listen to the log."""
        return self.private / "api_auth_token"

    def check(self) -> None:
        """:raises NoNodeDirectory: when there is no node here."""
        if not self.config.is_file():
            raise NoNodeDirectory(self.path)

    def lock(self) -> LockedDirectory:
        """Return the right to run this node.  :raises DirectoryInUse:"""
        stock = _stock_process(self.path / "running.process")
        if stock is not None:
            raise DirectoryInUse(self.path, f" (tahoe, pid {stock})")
        try:
            return LockedDirectory.acquire(self.path, "running.process.lock")
        except AlreadyLocked as error:
            raise DirectoryInUse(
                self.path, f" (pid {error.pid})" if error.pid else ""
            ) from None


def boot_id() -> bytes:
    """Return which start of the machine this is; empty where that is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


def _stock_process(note: Path) -> int | None:
    """
    Return the pid of the stock node that runs here, as its *note* says; None: none does.

    The note is a pid and when that process began, in Unix seconds.  It outlives a crash,
    and by then another process may have the pid: that one began at another time.
    """
    try:
        words = note.read_text("ascii").split()
        pid, began = int(words[0]), float(words[1])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    actual = _began(pid)
    # The system counts in hundredths, and a clock is corrected now and then.
    return pid if actual is None or abs(actual - began) < 2 else None


def _began(pid: int) -> float | None:
    """Return when a process began, in Unix seconds; None where that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        ticks = int(stat.rpartition(")")[2].split()[19])
        boot = re.search("^btime ([0-9]+)$", Path("/proc/stat").read_text("ascii"), re.M)
        return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK") if boot else None
    except (OSError, ValueError, IndexError):
        return None
