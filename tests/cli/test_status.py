"""``truckee status``, as a process, beside a gateway that works."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from os import terminal_size
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests import warm
from tests.processes import GridProcess, Wire, curl, eventually, run, running, truckee
from truckee.cli import status
from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.status import Screen, is_task, line_of, look

MIB = 1 << 20
TASK = {
    "type": "upload",
    "number": 3,
    "size": 10_000_000,
    "stored": 2_500_000,
    "progress": 0.25,
    "rate": 1_000_000.0,
    "eta": 67.5,
    "ended": None,
    "phase": "storing",
    "route": "helper",
    "error": None,
}


class LineTests(SynchronousTestCase):
    def test_under_way(self) -> None:
        """A line has a bar, how much is safe, the rate, and the time that is left."""
        self.assertEqual(
            line_of(TASK),
            "upload 3       [#####               ]  25%  2.5 MB of 10.0 MB  1.0 MB/s  "
            "1:07 left  storing, through the helper",
        )

    def test_unknown_size(self) -> None:
        """Nothing is made up that is not known."""
        task = {**TASK, "size": None, "progress": None, "eta": None, "rate": None}
        self.assertEqual(
            line_of(task), "upload 3       2.5 MB  storing, through the helper"
        )

    def test_over(self) -> None:
        """Of what failed it tells why, and no text moves the cursor."""
        task = {**TASK, "ended": 1.0, "phase": "failed", "error": "no\x1b[2J way"}
        self.assertEqual(
            line_of(task),
            "upload 3       2.5 MB of 10.0 MB  failed, through the helper: no?[2J way",
        )

    def test_of_stock(self) -> None:
        """What a gateway of Tahoe-LAFS tells of an upload is shown, too."""
        task = {
            "type": "upload",
            "total-size": 4_000_000,
            "progress-hash": 1.0,
            "progress-ciphertext": 0.5,
            "progress-encode-push": 0.25,
            "status": "Pushing",
        }
        self.assertEqual(
            line_of(task),
            "upload         [#####               ]  25%  1.0 MB of 4.0 MB  Pushing",
        )

    def test_plausible(self) -> None:
        """What is no task is not taken for one; NaN and infinity are no numbers."""
        self.assertTrue(is_task(TASK))
        for odd in ("NaN", "1e999", '"x"', "[]", "{}", '""'):
            for name in ("size", "total-size", "progress", "rate", "eta", "stored"):
                self.assertFalse(is_task({**TASK, name: json.loads(odd)}), (name, odd))
        self.assertFalse(is_task({**TASK, "phase": 3}))
        self.assertFalse(is_task([TASK]))
        self.assertIn(f"[{'#' * 20}] 100%", line_of({**TASK, "progress": 1e300}))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ScreenTests(SynchronousTestCase):
    def screen(self, lines: int) -> tuple[Screen, Terminal]:
        """Return a screen of so many *lines*."""
        terminal = Terminal()
        room = terminal_size((80, lines))
        return Screen(terminal, False, True, True, lambda: room), terminal

    def test_again(self) -> None:
        """Each state takes the place of the last, and no line goes on in the next."""
        screen, terminal = self.screen(24)
        screen.show({"active": [TASK, TASK], "recent": []})
        screen.show({"active": [], "recent": []})
        _, _, second = terminal.getvalue().partition("\x1b[4F\x1b[J")
        self.assertEqual(second, "\x1b[?7lNothing is under way.\n\nOver:\n\x1b[?7h")

    def test_too_many(self) -> None:
        """What has no room is counted, for it could not be drawn again."""
        screen, terminal = self.screen(6)
        screen.show({"active": [TASK] * 9, "recent": []})
        self.assertEqual(terminal.getvalue().count("\n"), 5)
        self.assertIn("\n... and 7 lines more\n", terminal.getvalue())
        screen.tell("It is away.")
        self.assertTrue(
            terminal.getvalue().endswith("\x1b[5F\x1b[J\x1b[?7lIt is away.\n\x1b[?7h")
        )


class LookTests(TestCase):
    def listening(self) -> tuple[socket.socket, Gateway]:
        """Return a gateway on a socket that a test answers for."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        return listening, Gateway(url, reactor)

    async def test_silent(self) -> None:
        """A gateway that says nothing is not waited for for ever."""
        self.patch(status, "_PATIENCE", 0.3)
        _, gateway = self.listening()
        with self.assertRaises(Unreachable) as caught:
            await look(gateway)
        self.assertIn("silent", caught.exception.message)

    async def test_others(self) -> None:
        """What another program answers is a sentence, whatever it is."""
        listening, gateway = self.listening()
        for body in (b"<html>", b"[]", b'{"active": 1}', b'{"active":[3],"recent":[]}'):
            asking = Deferred.fromCoroutine(look(gateway))
            line = await deferToThread(listening.accept)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            line[0].sendall(head.encode() + body)
            with self.assertRaises(Problem) as caught:
                await asking
            self.assertIn("no truckee", caught.exception.message)
            line[0].close()


class StatusTests(SynchronousTestCase):
    def test_status(self) -> None:
        """It shows what is under way, and goes on showing it until it is told to stop."""
        with ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory())
            grid = GridProcess.create(
                Path(place) / "node", needed=2, happy=2, total=3, storage_dirs=3
            )
            stack.enter_context(running(grid))
            named = ("-d", str(grid.directory))
            self.assertEqual(run("status", *named).output, "Nothing is under way.\n")
            cap = curl("-T", "-", f"{grid.url}uri", data=bytes(1000)).decode()
            wire = stack.enter_context(Wire(grid.url))
            wire.request("PUT /uri", f"Content-Length: {8 * MIB}")
            wire.send(bytes(3 * MIB))
            eventually(grid.incoming)
            eventually(lambda: "upload 2 " in run("status", *named).output)
            line = run("status", *named).output
            self.assertRegex(line, r"^upload 2 .*\] .*% .* of 8\.4 MB .*to the servers\n$")
            done = run("status", "--all", *named)
            self.assertIn("upload 1 ", done.output.partition("Over:")[2])
            self.assertNotIn(cap, done.output)
            [task] = json.loads(run("status", "--json", *named).output)["active"]
            self.assertEqual((task["type"], task["size"]), ("upload", 8 * MIB))
            watching = warm.start(
                truckee("status", "--watch", "--json", *named),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.callback(watching.kill)
            assert watching.stdout is not None
            for _ in range(2):
                self.assertEqual(len(json.loads(watching.stdout.readline())["active"]), 1)
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate(timeout=30)
            self.assertEqual((watching.returncode, errors), (0, b""))
            # As "| head -1" does.
            watching = warm.start(
                truckee("status", "--watch", "--json", *named),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.callback(watching.kill)
            assert watching.stdout is not None and watching.stderr is not None
            watching.stdout.readline()
            watching.stdout.close()
            self.assertEqual((watching.wait(120), watching.stderr.read()), (1, b""))

    def test_no_gateway(self) -> None:
        """It says what is wrong when there is no gateway, or not one of ours."""
        with tempfile.TemporaryDirectory() as place:
            done = run("status", "-d", place)
            self.assertEqual((done.code, done.output), (1, ""))
            self.assertIn("-u URL", done.errors)
        done = run("status", "-u", "http://127.0.0.1:1/")
        self.assertEqual((done.code, done.output), (3, ""))
        self.assertIn("Does it run?", done.errors)
