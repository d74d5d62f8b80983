"""What tests of the commands for files and directories have in common."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.stock import TAHOE
from tests.processes import Done, SharedNode, ask, truckee

_COUNT = itertools.count()


def noted(state: Path) -> bool:
    """Tell whether a command has noted in its state that something is done."""
    try:
        return bool(json.loads(state.read_bytes())["cursor"])
    except FileNotFoundError:
        return False


class GridCase(SynchronousTestCase):
    """Tests at one node, each with an alias of its own to an empty directory."""

    room: ClassVar[SharedNode]

    def setUp(self) -> None:
        """Make a place for files, and the alias."""
        place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.node = self.room()
        self.alias = f"t{next(_COUNT)}:"
        self.do("alias", "create", self.alias)

    def command(self, *arguments: str) -> list[str]:
        """Return a command for this node."""
        groups = ("account", "alias")
        names = arguments[:2] if arguments[0] in groups else arguments[:1]
        rest = arguments[len(names) :]
        return truckee(*names, "-d", str(self.node.directory), *rest)

    def do(
        self,
        *arguments: str,
        data: bytes | None = None,
        code: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Return what a command did, which ends with *code*."""
        done = self.ended(self.command(*arguments), data, env)
        self.assertEqual(done.code, code, (arguments, done))
        return done

    def stock(self, *arguments: str, code: int = 0) -> str:
        """Return what ``tahoe`` prints, which ends with *code*."""
        done = self.ended(self.tahoe(*arguments), None, {})
        self.assertEqual(done.code, code, (arguments, done))
        return done.output

    def tahoe(self, *arguments: str) -> list[str]:
        """Return a command of Tahoe-LAFS for this node."""
        return [str(TAHOE), "-d", str(self.node.directory), *arguments]

    def ended(
        self, command: list[str], data: bytes | None, env: Mapping[str, str] | None
    ) -> Done:
        """Return what a process did."""
        done = warm.run(
            command,
            input=data if data is not None else b"",
            capture_output=True,
            check=False,
            timeout=120,
            cwd=self.place,
            env=self.environment() | dict(env or {}),
        )
        errors = done.stderr.decode("utf-8", "replace")
        self.assertNotIn("Traceback", errors)
        self.assertNotIn("URI:DIR2:", errors)
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), errors)

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command, and do not wait."""
        return warm.start(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.place,
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        """Return one where notes are kept here."""
        return {**os.environ, "XDG_STATE_HOME": str(self.place / ".state")}

    def file(self, name: str, data: bytes = b"some bytes") -> Path:
        """Make a file, and the directories above it."""
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def cap(self, path: str = "") -> str:
        """Return the cap of something below the alias."""
        place = quote(f"{self.root_cap()}/{path}".rstrip("/"))
        return ask(f"{self.node.url}uri/{place}?t=uri").text

    def root_cap(self) -> str:
        """Return the cap of the alias."""
        aliases = (self.node.directory / "private" / "aliases").read_text()
        [line] = [each for each in aliases.splitlines() if each.startswith(self.alias)]
        return line.partition(": ")[2]

    def names(self, path: str = "") -> list[str]:
        """Return what is in a directory, as tahoe lists it."""
        return self.stock("ls", f"{self.alias}{path}").splitlines()
