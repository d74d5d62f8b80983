"""A repository of git-annex, with a remote of type tahoe on any gateway."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from attrs import frozen

from tests.integration.stock import TAHOE

INSTALLED = shutil.which("git-annex") is not None
# git-annex makes a client node of its own, which wants an introducer; nothing connects.
_FURL = f"pb://{'a' * 32}@127.0.0.1:1/introducer"
# It starts and stops that node: here a gateway is there, and the node learns where.
_TAHOE = """\
#!/bin/sh
for word; do case "$word" in
start) for place; do [ -d "$place" ] && echo {url} > "$place/node.url"; done; exit 0 ;;
stop) exit 0 ;;
esac; done
exec {tahoe} "$@"
"""


@frozen
class Repository:
    """It, and all that git-annex keeps beside it, in *room*."""

    room: Path

    @property
    def place(self) -> Path:
        """Where its files are."""
        return self.room / "repository"

    def create(self, url: str) -> None:
        """Make it, with the remote ``grid`` on the gateway at *url*."""
        self.place.mkdir(parents=True)
        program = self.room / "bin" / "tahoe"
        program.parent.mkdir()
        program.write_text(
            _TAHOE.format(url=shlex.quote(url), tahoe=shlex.quote(str(TAHOE)))
        )
        program.chmod(0o755)
        self.git("init", "-q")
        self.git("config", "user.email", "somebody@localhost")
        self.git("config", "user.name", "somebody")
        self.git("annex", "init", "here")
        self.git(
            *("annex", "initremote", "grid", "type=tahoe", "encryption=none"),
            *("embedcreds=yes", "shared-convergence-secret=aaaa"),
            f"introducer-furl={_FURL}",
        )

    def git(self, *arguments: str, check: bool = True) -> str:
        """
        Return what ``git`` prints.

        :raises AssertionError: with all that it said, where *check* and it fails.
        """
        done = subprocess.run(
            ["git", *arguments],
            check=False,
            cwd=self.place,
            env=os.environ
            | {
                "HOME": str(self.room),
                "PATH": f"{self.room / 'bin'}:{os.environ['PATH']}",
                "TAHOE_FURL": _FURL,
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"git {arguments}: {done.stdout}{done.stderr}")
        return done.stdout
