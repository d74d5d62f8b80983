"""Directories of SFTP that are mounted here, by sshfs and by rclone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest

from tests.integration.sftp_clients import Account
from tests.processes import eventually

TIME = 300.0  # seconds for one command


def need(*programs: str) -> None:
    """:raises SkipTest: when a program is not installed."""
    for each in programs:
        if shutil.which(each) is None:
            raise SkipTest(f"needs {each}")


def need_mounts() -> None:
    """:raises SkipTest: when nothing can be mounted here."""
    need("sshfs", "fusermount3")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise SkipTest("needs /dev/fuse")


@contextmanager
def sshfs(account: Account, *options: str) -> Iterator[Path]:
    """Give where the directory of *account* is mounted."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        command = ["sshfs", "-p", str(account.port), f"{account.name}@127.0.0.1:/", name]
        for each in (*account.options, *options):
            command += ["-o", each]
        done(command)
        try:
            yield place
        finally:
            unmount(place)


def unmount(place: Path) -> None:
    """Unmount it, whoever still uses it."""
    if subprocess.run(["fusermount3", "-u", str(place)], check=False).returncode:
        subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False)


@contextmanager
def rclone_mount(remote: str, *options: str) -> Iterator[Path]:
    """Give where *remote* is mounted by rclone; all is stored at the end."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place, cache = Path(name) / "mount", Path(name) / "cache"
        place.mkdir()
        command = [*RCLONE, "mount", "--devname", "grid", remote, str(place)]
        command += ["--cache-dir", str(cache)]
        log = Path(name) / "log"
        with log.open("wb") as said:
            process = subprocess.Popen([*command, *options], stdout=said, stderr=said)
        try:
            eventually(lambda: process.poll() is not None or place.is_mount())
            if process.poll() is not None:
                raise AssertionError(f"rclone mounted nothing: {log.read_text()}")
            yield place
        finally:
            unmount(place)
            process.wait(TIME)


RCLONE: Sequence[str] = ("rclone", "--config", os.devnull, "--retries", "1")


def done(
    command: Sequence[str], check: bool = True, seconds: float = TIME, **more: object
) -> str:
    """Return what a command prints; an error is one."""
    ended = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        **more,  # type: ignore[call-overload]
    )
    output = ended.stdout.decode("utf-8", "replace")
    if check and ended.returncode:
        raise AssertionError(f"{command[0]}: {ended.returncode}\n{output}")
    return str(output)
