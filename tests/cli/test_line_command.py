"""``truckee check`` and ``truckee repair`` of lines, as processes at a real gateway."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import define, field

from tests import warm
from tests.cli.grid_case import GridCase, noted
from tests.integration.deep_trees import TreeMaker, directory_of, packed_directory
from tests.processes import SharedNode, eventually

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


@define(eq=False)
class Forwarder:
    """A second address of a gateway, which can break off."""

    port: int
    _socket: socket.socket = field(factory=lambda: socket.create_server(("127.0.0.1", 0)))
    url: str = field(init=False)
    _open: list[socket.socket] = field(factory=list, init=False)
    asked: int = field(default=0, init=False)  # connections

    def __attrs_post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def die(self) -> None:
        """Close all."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                self.asked += 1
                far = socket.create_connection(("127.0.0.1", self.port))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def units(text: str) -> list[dict[str, Any]]:
    """Return what is in lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


class LinesTests(GridCase):
    room = room

    def fill(self, count: int = 4) -> None:
        """Store a small tree."""
        for number in range(count):
            self.file(f"d/f{number}", b"%d" % number * 100)
        self.file("d/e/short", b"in its cap")
        self.do("cp", "-q", "-r", "d", self.alias)

    def lines(self, count: int) -> bytes:
        """Return a manifest of many objects, of which one is stored."""
        self.fill(1)
        cap = self.cap("d/f0")
        return b"".join(b"%s f%05d\n" % (cap.encode(), n) for n in range(count))

    def shares_of(self, index: str) -> list[Path]:
        """Return the shares of an object."""
        return sorted(
            share
            for place in self.node.directory.rglob(index)
            for share in place.iterdir()
            if share.is_file()
        )

    def start(self, output: Path, source: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that reads *source* and appends to *output*."""
        with output.open("ab") as file, source.open("rb") as lines:
            return warm.start(
                self.command(*arguments),
                stdin=lines,
                stdout=file,
                stderr=subprocess.PIPE,
                cwd=self.place,
                env=self.environment(),
            )

    def ended_well(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process told, which ends with 0."""
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors)
        return errors.decode()

    def test_all_forms(self) -> None:
        """A manifest, plain and as JSON, and caps alone give what a deep check gives."""
        self.fill()
        deep = units(self.do("deep-check", "--json", self.alias).output)
        for options in ((), ("--json",), ("--verify-cap",)):
            manifest = self.do("manifest", *options, self.alias).output.encode()
            done = self.do("check", data=manifest)
            found = units(done.output)
            wanted = deep
            if options == ("--verify-cap",):
                wanted = [each for each in deep if each["verifycap"]]
                for each in found:
                    self.assertEqual(each["path"], [])
            else:
                self.assertEqual(
                    [each["path"] for each in found], [each["path"] for each in deep]
                )
            self.assertEqual(
                [(u["verifycap"], u["check-results"]) for u in found],
                [(u["verifycap"], u["check-results"]) for u in wanted],
            )
            self.assertTrue(all(each["healthy"] for each in found))
            self.assertIn(f"{len(wanted)} objects: {len(wanted)} healthy", done.errors)
        keys = {*deep[0]} - {"cursor"} | {"healthy", "summary"}
        self.assertEqual({*found[0]}, keys)

    def test_check_and_repair(self) -> None:
        """What is missing or damaged is found, repaired from the results, then healthy."""
        self.fill()
        manifest = self.do("manifest", "--json", self.alias).output
        indexes = {
            "/".join(each["path"]): each["storage-index"] for each in units(manifest)
        }
        self.shares_of(indexes["d/f1"])[0].unlink()
        self.shares_of(indexes["d"])[1].unlink()
        damaged = self.shares_of(indexes["d/f2"])[2]
        data = bytearray(damaged.read_bytes())
        data[12 + 36 + 10] ^= 1  # of its first block
        damaged.write_bytes(data)
        checked = self.do("check", "--verify", "-", data=manifest.encode(), code=1)
        sick = [
            "/".join(u["path"]) for u in units(checked.output) if u["healthy"] is not True
        ]
        self.assertEqual(sick, ["d", "d/f1", "d/f2"])
        self.assertIn("8 objects: 5 healthy, 3 not healthy", checked.errors)
        repaired = self.do("repair", data=checked.output.encode())
        found = units(repaired.output)
        self.assertEqual(["/".join(each["path"]) for each in found], sick)
        for each in found:
            self.assertEqual((each["healthy-before"], each["healthy"]), (False, True))
            told = each["check-and-repair-results"]
            self.assertFalse(told["pre-repair-results"]["results"]["healthy"])
            self.assertTrue(told["post-repair-results"]["results"]["healthy"])
        self.assertIn("3 repaired, 5 were healthy and passed over", repaired.errors)
        again = self.do("check", "--verify", data=repaired.output.encode())
        self.assertIn("3 objects: 3 healthy", again.errors)

    def test_repair_of_a_path(self) -> None:
        """A path is repaired, and what cannot be is reported."""
        self.fill()
        path = f"{self.alias}d/f1"
        [unit] = units(self.do("check", "-q", data=self.cap("d/f1").encode()).output)
        shares = self.shares_of(unit["storage-index"])
        shares[0].unlink()
        self.assertIn("repaired", self.do("repair", path).output)
        self.assertIn("healthy, 3 of 3 shares", self.do("repair", path).output)
        for share in self.shares_of(unit["storage-index"])[:2]:
            share.unlink()
        done = self.do("check", "--repair", data=self.cap("d/f1").encode(), code=1)
        [unit] = units(done.output)
        self.assertEqual((unit["healthy"], unit["healthy-before"]), (False, False))
        self.assertTrue(unit["check-and-repair-results"]["repair-attempted"])
        self.assertIn("line 1", done.errors)
        self.assertIn("error", unit)

    def test_broken_lines(self) -> None:
        """Each is named by its number, in the output too, and the others are done."""
        self.fill()
        cap = self.cap("d/f1")
        text = f"{cap} d/f1\nnonsense\n\n{{\n{cap}\r\nURI:CHK:x:y:1:1:1\n{cap}"
        done = self.do("check", data=text.encode(), code=1)
        found = units(done.output)
        self.assertEqual([u.get("line") for u in found], [None, 2, 4, None, 6, None])
        for number in (2, 4, 6):
            self.assertIn(f"Error: line {number}: ", done.errors)
        self.assertIn("3 objects: 3 healthy, 3 broken lines", done.errors)
        # And so it is of lines that say so.
        done = self.do("repair", data=done.output.encode(), code=1)
        self.assertEqual([u.get("line") for u in units(done.output)], [2, 3, 5])

    def test_nothing(self) -> None:
        """No lines are no error; a terminal is not waited for."""
        self.assertIn("0 objects", self.do("check").errors)
        self.assertEqual(self.do("check", "-q", "-").errors, "")
        self.assertIn("goes with no PATH", self.do("check", "-", "a:b", code=2).errors)
        for option in ("--state", "--gateway"):
            done = self.do("repair", option, "x", f"{self.alias}d", code=2)
            self.assertIn("for lines", done.errors)
        near, far = pty.openpty()
        try:
            process = warm.start(
                self.command("check"),
                stdin=far,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(),
            )
            _, errors = process.communicate(timeout=60)
        finally:
            os.close(near)
            os.close(far)
        self.assertEqual(process.returncode, 2)
        self.assertIn(b"name a PATH, or give it lines", errors)

    def test_command_killed(self) -> None:
        """Repeated with its state after it was killed, no line is lost or comes twice."""
        source, output, state = (self.place / name for name in ("in", "out", "state"))
        source.write_bytes(self.lines(3000))
        command = ("check", "-j", "2", "--state", str(state), "--json")
        process = self.start(output, source, *command)
        eventually(lambda: noted(state) or process.poll() is not None)
        process.kill()
        process.communicate()
        self.assertNotIn("URI", state.read_text())
        source.write_bytes(source.read_bytes() + b"nonsense\n")
        process = self.start(output, source, *command)
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1)
        found = units(output.read_text())
        paths = [f"f{n:05}" for n in range(3000)]
        self.assertEqual(["/".join(u.get("path", [])) for u in found], [*paths, ""])
        self.assertEqual(found[-1]["line"], 3001)
        self.assertFalse(state.exists())

    def test_other_state(self) -> None:
        """A state goes with the same options, the same lines and the same output."""
        source, output, state = (self.place / name for name in ("in", "out", "state"))
        source.write_bytes(self.lines(3000))
        command = ("check", "-j", "2", "--state", str(state))
        process = self.start(output, source, *command)
        eventually(lambda: noted(state) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 130, errors)

        def refused(*arguments: str) -> str:
            process = self.start(output, source, *arguments)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1)
            return errors.decode()

        self.assertIn("of another command", refused(*command, "--verify"))
        written = output.read_bytes()
        output.write_bytes(written[:10])
        self.assertIn("the output is shorter", refused(*command))
        output.write_bytes(written)
        source.write_bytes(source.read_bytes().replace(b"f00000", b"g00000"))
        self.assertIn("other lines", refused(*command))
        self.assertEqual(output.read_bytes(), written)

    def test_gateway_killed(self) -> None:
        """A gateway that dies is waited for, and the output is that of an unbroken one."""
        source, output = self.place / "in", self.place / "out"
        source.write_bytes(self.lines(1500))
        process = self.start(output, source, "check")
        eventually(lambda: output.exists() and output.stat().st_size)
        port = urlsplit(self.node.url).port
        self.node.process.kill()
        self.node.process.wait()
        config = self.node.directory / "tahoe.cfg"
        config.write_text(config.read_text().replace("tcp:0:", f"tcp:{port}:"))
        self.node.start()
        errors = self.ended_well(process)
        self.assertIn("does not answer", errors)
        self.assertIn("answers again", errors)
        found = units(output.read_text())
        self.assertEqual(
            [each["path"] for each in found], [[f"f{n:05}"] for n in range(1500)]
        )
        self.assertTrue(all(each["healthy"] for each in found))

    def test_several_gateways(self) -> None:
        """They share the work; one that dies is left out, and its lines are done."""
        port = urlsplit(self.node.url).port
        assert port is not None
        source, output = self.place / "in", self.place / "out"
        source.write_bytes(self.lines(1500))
        others = [Forwarder(port), Forwarder(port)]
        named = [part for each in others for part in ("--gateway", each.url)]
        process = self.start(output, source, "check", "-j", "3", *named)
        eventually(lambda: output.exists() and output.stat().st_size)
        others[0].die()
        errors = self.ended_well(process)
        self.assertIn(f"{others[0].url} does not answer", errors)
        self.assertIn("the others do its part", errors)
        self.assertGreater(others[1].asked, 1)
        found = units(output.read_text())
        self.assertEqual(
            [each["path"] for each in found], [[f"f{n:05}"] for n in range(1500)]
        )
        others[1].die()

    def test_gateways_are_named(self) -> None:
        """Without one of its own a command uses those that are named."""
        data = self.lines(1)
        command = ["check", "-q", "--gateway", self.node.url]
        done = self.ended(self.bare(command), data, {})
        self.assertEqual(done.code, 0, done)
        done = self.ended(self.bare(["check", "--gateway", "nonsense"]), data, {})
        self.assertIn("--gateway: 'nonsense' is no address", done.errors)
        done = self.ended(
            self.bare(["check", "--gateway", "http://127.0.0.1:1/"]), data, {}
        )
        self.assertEqual(done.code, 3)

    def bare(self, arguments: Sequence[str]) -> list[str]:
        """Return a command without a node directory."""
        command = self.command("check")
        return [*command[: command.index("check")], *arguments]

    def test_reader_gone(self) -> None:
        """A reader that has enough ends it, without a word."""
        source = self.place / "in"
        source.write_bytes(self.lines(3000))
        with source.open("rb") as lines:
            process = warm.start(
                self.command("check", "-q"),
                stdin=lines,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(),
            )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(60), 1)
        self.assertEqual(process.stderr.read().decode(), "")
        process.stderr.close()

    def test_interrupted(self) -> None:
        """A signal ends it soon, also while it waits for lines, or for a slow reader."""
        data = self.lines(2000)
        for name, given in (("waits for lines", b""), ("slow reader", data)):
            process = warm.start(
                self.command("check"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(),
            )
            assert process.stdin and process.stdout and process.stderr
            first = data[: data.index(b"\n") + 1]
            process.stdin.write(first + given[:100_000])
            process.stdin.flush()
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 130, name)
            self.assertEqual(process.stderr.read(), b"", name)
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def test_as_a_tree(self) -> None:
        """A pipe from a manifest of a large directory goes through."""
        names = ((f"file {number:05}", "URI:LIT:nbuq") for number in range(3000))
        maker = TreeMaker(self.node.url)
        stored = directory_of(maker.put("", packed_directory(names)))
        maker.link(f"{quote(self.root_cap(), safe='')}/wide", stored)
        manifest = warm.start(
            self.command("manifest", self.alias),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self.environment(),
        )
        process = warm.start(
            self.command("check"),
            stdin=manifest.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        )
        assert manifest.stdout is not None
        manifest.stdout.close()
        output, errors = process.communicate(timeout=120)
        self.assertEqual((process.returncode, manifest.wait(60)), (0, 0))
        self.assertIn(b"3,002 objects: 3,002 healthy", errors)
        self.assertEqual(len(output.splitlines()), 3002)
