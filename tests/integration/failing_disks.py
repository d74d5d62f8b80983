"""Nodes on file systems that are made full, read-only or missing.  All on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest

from attrs import define, field

from tests import warm
from tests.ports import free_ports
from tests.processes import Reply, ask, eventually, truckee

ROOM = 24 << 20  # bytes of a file system

Fault = Literal["full", "read-only", "missing"]


@define(eq=False)
class Disk:
    """A small file system in memory, mounted at *path*."""

    path: Path

    @classmethod
    def mount(cls, path: Path, cleanup: ExitStack, size: int = ROOM) -> Disk:
        """Mount one; skips where it cannot be had."""
        if os.geteuid() != 0:
            raise SkipTest("mounting a small file system takes root")
        path.mkdir(parents=True, exist_ok=True)
        options = f"size={size},mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
            check=False,
            capture_output=True,
        )
        if done.returncode != 0:
            raise SkipTest(f"cannot mount: {done.stderr.decode().strip()}")
        cleanup.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
        return cls(path)

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """Let it have *fault* inside this context."""
        begin, end = {
            "full": (self._fill, self._empty),
            "read-only": (self._freeze, self._thaw),
            "missing": (self._hide, self._show),
        }[fault]
        begin()
        try:
            yield
        finally:
            end()

    @property
    def _filler(self) -> Path:
        # Nodes remove files that they do not know from some directories.
        return self.path / "filler"

    def _fill(self) -> None:
        self._filler.mkdir()
        for size in (1 << 16, 512):
            with (
                contextlib.suppress(OSError),
                (self._filler / "bytes").open("ab", buffering=0) as file,
            ):
                while True:
                    file.write(bytes(size))

    def _empty(self) -> None:
        shutil.rmtree(self._filler)

    def _freeze(self) -> None:
        # A node that writes at this moment makes it busy.
        def frozen() -> bool:
            command = ["mount", "-o", "remount,ro", str(self.path)]
            return subprocess.run(command, check=False, capture_output=True).returncode == 0

        eventually(frozen)

    def _thaw(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", str(self.path)], check=True)

    @property
    def _elsewhere(self) -> Path:
        return self.path.with_name(self.path.name + ".elsewhere")

    def _hide(self) -> None:
        # What is below a mount point is there in place of the disk, and empty.
        self._elsewhere.mkdir(exist_ok=True)
        command = ["mount", "--move", str(self.path), str(self._elsewhere)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            # A parent that shares its mounts permits no move; a second mount is hidden.
            subprocess.run(
                ["mount", "--bind", str(self.path), str(self._elsewhere)], check=True
            )
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def _show(self) -> None:
        command = ["mount", "--move", str(self._elsewhere), str(self.path)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            subprocess.run(
                ["mount", "--bind", str(self._elsewhere), str(self.path)], check=True
            )
            subprocess.run(["umount", "--lazy", str(self._elsewhere)], check=True)


@define(eq=False)
class Gateway:
    """A process that runs a node; its log is not on the node's disk."""

    directory: Path
    port: int
    log: Path
    environment: dict[str, str] = field(factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where its web API is, with a slash at its end."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator[Gateway]:
        """Run it inside this context; it answers when that begins."""
        with self.log.open("ab") as log:
            self._process = warm.start(
                truckee("run", str(self.directory)),
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        try:
            eventually(self._answers)
            yield self
        finally:
            self._process.terminate()
            self._process.wait(120)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"it did not start:\n{self.log.read_text()[-3000:]}")
        with contextlib.suppress(ConnectionError, ValueError):
            return bool(self.document())
        return False

    def document(self, path: str = "?t=json") -> dict[str, Any]:
        """Return what one of its addresses says."""
        found: dict[str, Any] = json.loads(ask(f"{self.url}{path}").body)
        return found

    def problems(self) -> dict[str, str]:
        """Return what is wrong with it, by name."""
        told = self.document()["truckee"]["problems"]
        return {each["name"]: each["text"] for each in told}

    def put(self, data: bytes) -> Reply:
        """Have *data* stored."""
        return ask("-T", "-", f"{self.url}uri", data=data)

    def get(self, cap: str) -> bytes:
        """Return the file of *cap*, or what is said instead."""
        return ask(f"{self.url}uri/{cap}").body


def make_grid(directory: Path, log: Path) -> Gateway:
    """Make an embedded 2-of-3 grid."""
    [port] = free_ports(1)
    warm.run(
        truckee(
            "create-grid",
            f"--webport=tcp:{port}:interface=127.0.0.1",
            "--storage-dirs=3",
            str(directory),
        ),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with (directory / "tahoe.cfg").open("a") as file:
        file.write("\n[grid]\nreserved_space = 0\n")
    return Gateway(directory, port, log)


def new_room(cleanup: ExitStack) -> Path:
    """Return a directory for one test."""
    return Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
