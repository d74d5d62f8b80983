"""
A home directory in which the commands of one page are run, one after the other.

A page's commands are run as they stand, by one bash, with its own HOME.  What cannot be
had on a machine that others use is put in its place beforehand: ports, the machines
``introducer.example`` and ``helper.example``, and the directories /mnt and /srv.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen

from tests.documents import TOP, Block, Command, commands
from tests.integration.page_programs import Programs

_MARK = "\x1e"  # begins and ends what a line of ours says
_TIME = 240.0  # seconds for a page, on a machine that is busy

_CURL = """\
#!/bin/bash
for each; do
    case $each in -f*) exec {curl} "$@" ;; esac
done
exec {curl} --fail-with-body --silent --show-error --max-time 120 "$@"
"""
# There is no network here, and what they would install is what the tests run.
_PIP = """\
#!/bin/bash
case "$*" in
    "install ." | "install .[test]" | "install .[tor]" | "install --upgrade .") exit 0 ;;
esac
echo "pip $*: not known to the tests" >&2
exit 1
"""
_PYTHON = """\
#!/bin/bash
case "$*" in "-m venv .venv") exit 0 ;; esac
exec {python} "$@"
"""


@frozen
class Places:
    """What names of the pages stand for."""

    web_port: int
    introducer: str = "none"  # furls
    helper: str = "none"
    ports: tuple[int, int] = (0, 0)  # of storage servers and helpers that pages make

    def placed(self, text: str, top: Path) -> str:
        """Return shell of a page with them in place."""
        text = re.sub(r"pb://[^\s'\"]*helper\.example[^\s'\"]*", self.helper, text)
        text = re.sub(
            r"pb://(?:…|[^\s'\"]*introducer\.example[^\s'\"]*)", self.introducer, text
        )
        for port, other in zip(("8099", "8098"), self.ports, strict=True):
            text = text.replace(
                f"--port=tcp:{port}", f"--port=tcp:{other}:interface=127.0.0.1"
            )
            text = text.replace(port, str(other))
        text = re.sub(r"\b(storage|helper)\.example\b", "127.0.0.1", text)
        text = re.sub(r"(?<![\w/.])/(mnt|srv)(?=/)", rf"{top}/\1", text)
        return text.replace("3456", str(self.web_port))


@frozen
class Outcome:
    """What a command of a page did."""

    block: Block
    command: Command
    output: str
    code: int | None  # None: it did not end


@define(eq=False)
class Sandbox:
    """A place for the commands of one page."""

    top: Path
    places: Places
    node_url: str = ""  # of a gateway that runs already
    programs: Programs = field(init=False)

    def __attrs_post_init__(self) -> None:
        for name in ("bin", "home/you/truckee/.venv", "mnt", "srv"):
            (self.top / name).mkdir(parents=True)
        self.programs = Programs(self.top / "socket", self.places.web_port)
        self.programs.install(self.top / "bin")
        curl, python = shutil.which("curl"), shutil.which("python3")
        for name, text in (
            ("curl", _CURL.format(curl=curl)),
            ("pip", _PIP),
            ("python3", _PYTHON.format(python=python)),
        ):
            (self.top / "bin" / name).write_text(text)
            (self.top / "bin" / name).chmod(0o755)
        (self.checkout / ".venv" / "bin").symlink_to(self.top / "bin")
        shutil.copy(TOP / "README.md", self.checkout)
        shutil.copytree(TOP / "docs", self.checkout / "docs")

    @property
    def checkout(self) -> Path:
        """What stands for a copy of the repository."""
        return self.home / "truckee"

    @property
    def home(self) -> Path:
        """The home directory."""
        return self.top / "home" / "you"

    def close(self) -> None:
        """End what runs in it."""
        self.programs.close()

    def run(self, blocks: Sequence[Block], directory: Path) -> list[Outcome]:
        """Run blocks of a page from *directory*, until the first command that fails."""
        typed = [(block, command) for block in blocks for command in commands(block)]
        lines = ["exec 2>&1", "set -eo pipefail", f"cd '{directory}'"]
        for number, (block, command) in enumerate(typed):
            if command == commands(block)[0]:
                lines += [self.places.placed(each, self.top) for each in block.first]
            lines.append(f"printf '{_MARK}%s{_MARK}' {number}")
            lines.append(self.places.placed(command.text, self.top))
        lines.append(f"printf '{_MARK}end{_MARK}'")
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self._environment(),
            timeout=_TIME,
        )
        printed = done.stdout.decode(errors="replace")
        before, *parts = printed.split(_MARK)
        assert parts, f"what comes before the first command failed:\n{before}"
        found = []
        for mark, output in zip(parts[::2], parts[1::2], strict=True):
            if mark != "end":
                block, command = typed[int(mark)]
                found.append(Outcome(block, command, self._shown(output), 0))
        if "end" not in parts:
            last = found.pop()
            found.append(Outcome(last.block, last.command, last.output, done.returncode))
        return found

    def _shown(self, output: str) -> str:
        """Return output with the names that pages have."""
        return output.replace(str(self.top), "")

    def _environment(self) -> dict[str, str]:
        chosen = {
            "HOME": str(self.home),
            "PATH": f"{self.top / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "USER": "you",
        }
        if self.node_url:
            chosen["TRUCKEE_NODE_URL"] = self.node_url
        kept = {
            name: value for name, value in os.environ.items() if name != "XDG_STATE_HOME"
        }
        return kept | chosen


_NAMES = (
    (re.compile(r"URI:[\w-]+:\S*"), "CAP"),
    (re.compile(r"\bpub-v0-[a-z2-7]+"), "KEY"),
    (re.compile(r"\b[a-z2-7]{8}\b"), "ID"),
    (re.compile(r"\d[\d.]*"), "0"),
    (re.compile(r"\b0 [kKMGTP]?i?B\b"), "0 B"),
)


def pattern_of(line: str) -> str:
    """Return what a line of output must have in common with one of a page."""
    for form, name in _NAMES:
        line = form.sub(name, line)
    return " ".join(line.split())


def missing(expected: Sequence[str], output: str) -> list[str]:
    """
    Return the lines of a page that the output does not have, in their order.

    Numbers, sizes, ids and caps may differ; ``…`` stands for any text, and a line of its
    own (or ``...``) for any lines.
    """
    given = [pattern_of(line) for line in output.splitlines()]
    lost = []
    for line in expected:
        if line.strip() in ("", "…", "..."):
            continue
        form = re.compile(".*".join(map(re.escape, pattern_of(line).split("…"))))
        found = next((n for n, each in enumerate(given) if form.fullmatch(each)), None)
        if found is None:
            lost.append(line)
        else:
            given = given[found + 1 :]
    return lost
