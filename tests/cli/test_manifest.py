"""``truckee manifest``."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests import warm
from tests.cli.grid_case import GridCase, noted
from tests.integration.deep_trees import TreeMaker, directory_of, packed_directory
from tests.processes import SharedNode, eventually

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class ManifestTests(GridCase):
    room = room

    def fill(self) -> None:
        """Store a small tree."""
        for name in ("a", "d/b", "d/e/c"):
            self.file(name, name.encode() * 100)
        self.do("cp", "-r", "a", "d", self.alias)

    def wide(self) -> None:
        """Store a directory whose list takes a while."""
        names = ((f"file {number:05}", "URI:LIT:nbuq") for number in range(4000))
        maker = TreeMaker(self.node.url)
        stored = directory_of(maker.put("", packed_directory(names)))
        maker.link(f"{quote(self.root_cap(), safe='')}/wide", stored)

    def restart(self) -> None:
        """Let the node die, and run it again at the same address."""
        port = urlsplit(self.node.url).port
        self.node.process.kill()
        self.node.process.wait()
        config = self.node.directory / "tahoe.cfg"
        config.write_text(config.read_text().replace("tcp:0:", f"tcp:{port}:"))
        self.node.start()

    def start(self, output: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that appends to *output*."""
        with output.open("ab") as file:
            return warm.start(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                cwd=self.place,
                env=self.environment(),
            )

    def test_same_as_stock(self) -> None:
        """It lists what ``tahoe manifest`` does."""
        self.fill()
        for options in ((), ("--storage-index",), ("--verify-cap",), ("--repair-cap",)):
            ours = self.do("manifest", *options, self.alias).output.split("\n")
            stock = self.stock("manifest", *options, self.alias).split("\n")
            self.assertEqual(
                [line for line in ours if line], [line for line in stock if line]
            )
        below = self.do("manifest", f"{self.alias}d").output.splitlines()
        self.assertEqual([line.split()[1:] for line in below], [[], ["b"], ["e"], ["e/c"]])

    def test_json(self) -> None:
        self.fill()
        lines = self.do("manifest", "--json", self.alias).output.splitlines()
        paths = ["/".join(json.loads(line)["path"]) for line in lines]
        self.assertEqual(paths, ["", "a", "d", "d/b", "d/e", "d/e/c"])

    def test_refused(self) -> None:
        self.fill()
        self.assertIn(
            "not a directory", self.do("manifest", f"{self.alias}a", code=1).errors
        )
        self.do("manifest", f"{self.alias}nothing", code=4)
        self.do("manifest", "-u", "http://127.0.0.1:1/", self.alias, code=3)

    def test_gateway_killed(self) -> None:
        """A gateway that dies is waited for, and the output is that of an unbroken one."""
        self.wide()
        whole = self.do("manifest", "--json", self.alias).output
        output = self.place / "output"
        process = self.start(output, "manifest", "--json", self.alias)
        eventually(lambda: output.exists() and output.stat().st_size)
        self.restart()
        self.assertEqual(process.wait(120), 0)
        self.assertEqual(output.read_text(), whole)

    def test_command_killed(self) -> None:
        """Repeated with its state after it was killed, it appends what is missing."""
        self.wide()
        whole = self.do("manifest", "--json", self.alias).output
        output, state = self.place / "output", self.place / "state"
        command = ("manifest", "--json", "--state", str(state), self.alias)
        process = self.start(output, *command)
        eventually(lambda: noted(state) or process.poll() is not None)
        process.kill()
        process.wait()
        self.assertEqual(self.start(output, *command).wait(120), 0)
        self.assertEqual(output.read_text(), whole)
        self.assertFalse(state.exists())

    def test_killed_early(self) -> None:
        """What was written before the state was noted first is known, too."""
        self.fill()
        state = self.place / "state"
        self.do("manifest", "--state", str(state), f"{self.alias}nothing", code=4)
        self.assertFalse(state.exists())  # nothing is left to continue
        whole = self.do("manifest", "--json", self.alias).output
        output = self.place / "output"
        output.write_text("before\n")
        command = ("manifest", "--json", "--state", str(state), self.alias)
        # It stands at the gateway's silence, and has noted where its output began.
        self.node.process.send_signal(signal.SIGSTOP)
        try:
            process = self.start(output, *command)
            eventually(state.exists)
            process.kill()
            process.wait()
        finally:
            self.node.process.send_signal(signal.SIGCONT)
        with output.open("a") as file:
            file.write('{"path": ["a li')
        self.assertEqual(self.start(output, *command).wait(120), 0)
        self.assertEqual(output.read_text(), f"before\n{whole}")
        self.assertFalse(state.exists())

    def test_other_state(self) -> None:
        """A state of another command, or a damaged one, is refused with what to do."""
        other = {"truckee-walk": 1, "of": "x", "cursor": "", "counts": {}, "output": 0}
        self.file("state", json.dumps(other).encode())
        told = self.do("manifest", "--state", "state", self.alias, code=1).errors
        self.assertIn("of another command", told)
        self.file("state", b"[]")
        told = self.do("manifest", "--state", "state", self.alias, code=1).errors
        self.assertIn("remove it to start over", told)
