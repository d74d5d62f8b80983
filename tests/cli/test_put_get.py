"""``truckee put`` and ``truckee get``, as processes, beside a gateway that runs."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.helper_line import Line
from tests.processes import GridProcess, ask, eventually, truckee

MIB = 1 << 20


def content(size: int, seed: int = 0) -> bytes:
    """Return *size* bytes that look like nothing."""
    return random.Random(seed).randbytes(size)


class Slow:
    """A gateway that tells its name at once, and the rest only when it is let go."""

    def __init__(self, answer: bytes) -> None:
        self.asked: list[bytes] = []
        self.go = Event()
        asked, go = self.asked, self.go

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path}".encode())
                if self.path != "/?t=json":
                    go.wait(120)
                body = b'{"truckee": {}}' if self.path == "/?t=json" else answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


class PutGetTests(SynchronousTestCase):
    room: ClassVar[tempfile.TemporaryDirectory[str]]
    place: ClassVar[Path]
    grid: ClassVar[GridProcess]

    @classmethod
    def setUpClass(cls) -> None:
        cls.room = tempfile.TemporaryDirectory()
        cls.place = Path(cls.room.name)
        cls.grid = GridProcess.create(
            cls.place / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        cls.grid.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.grid.stop()
        cls.room.cleanup()

    def command(self, *arguments: str) -> list[str]:
        """Return a command for this grid."""
        name, *rest = arguments
        return truckee(name, "-u", self.grid.url, *rest)

    def do(
        self, *arguments: str, data: bytes = b"", code: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command, which ends with *code*."""
        done = warm.run(
            self.command(*arguments),
            input=data,
            capture_output=True,
            check=False,
            timeout=60,
            env=self.environment(),
        )
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn(b"Traceback", done.stderr)
        return done

    def environment(self) -> dict[str, str]:
        """Return one where notes are kept here."""
        return {**os.environ, "XDG_STATE_HOME": str(self.place / "state")}

    def notes(self) -> list[Path]:
        """Return the notes of uploads that can be gone on with."""
        return list((self.place / "state" / "truckee").glob("put-*"))

    def file(self, data: bytes, name: str = "file") -> str:
        """Return the path of a file with *data* in it."""
        path = self.place / name
        path.write_bytes(data)
        return str(path)

    def test_round_trips(self) -> None:
        """A file comes back as it was, from a file, and by standard input and output."""
        for size in (0, 56, 3 * MIB + 5):
            data = content(size)
            cap = self.do("put", self.file(data)).stdout.decode().strip()
            self.assertTrue(cap.startswith("URI:"), cap)
            self.assertEqual(self.do("get", cap).stdout, data)
        cap = self.do("put", "--key", "CHK", data=data).stdout.decode()
        self.assertEqual(
            self.do("put", "--key", "CHK", self.file(data)).stdout.decode(), cap
        )
        target = self.place / "target"
        done = self.do("get", "-", str(target), data=cap.encode())
        self.assertEqual((target.read_bytes(), done.stdout), (data, b""))
        self.assertFalse(target.with_name("target.part").exists())

    def test_ranges(self) -> None:
        """Parts of a file are those bytes."""
        data = content(3 * MIB)
        cap = self.do("put", data=data).stdout.decode().strip()
        for wanted, part in (
            ("0-99", data[:100]),
            ("2000000-", data[2000000:]),
            ("-70000", data[-70000:]),
        ):
            self.assertEqual(self.do("get", "--range", wanted, cap).stdout, part)
        self.do("get", "--range", "x", cap, code=2)
        self.do("get", "--range", "9000000-", cap, code=1)

    def test_get_resumed(self) -> None:
        """What is there is kept, a torn end is cut off, and another file is not touched."""
        data = content(4 * MIB)
        cap = self.do("put", data=data).stdout.decode().strip()
        target, part = self.place / "resumed", self.place / "resumed.part"
        for there in (
            b"",
            data[: 2 * MIB],
            data[: 2 * MIB] + bytes(1000),
            data,
            data + b"more",
        ):
            part.write_bytes(there)
            self.do("get", "--resume", cap, str(target))
            self.assertEqual(target.read_bytes(), data)
            self.assertFalse(part.exists())
        part.write_bytes(bytes(MIB))
        done = self.do("get", "--resume", cap, str(target), code=1)
        self.assertIn(b"another file", done.stderr)
        self.assertEqual(part.read_bytes(), bytes(MIB))

    def test_put_resumed(self) -> None:
        """A command that was killed goes on where it was, and sends only the rest."""
        data = content(96 * MIB)
        path = self.file(data, "large")
        killed = warm.start(
            self.command("put", "--resume", path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment(),
        )
        eventually(self.notes)
        [note] = self.notes()
        self.assertEqual(note.stat().st_mode & 0o777, 0o600)
        place = f"{self.grid.url}upload/{note.read_text().strip()}"
        eventually(lambda: self.offset(place) > MIB)
        killed.kill()
        killed.wait()
        self.assertLess(self.offset(place), len(data))
        cap = self.do("put", "--resume", path).stdout.decode().strip()
        self.assertEqual(self.notes(), [])
        self.assertEqual(self.offset(place), len(data))
        self.assertEqual(ask(f"{self.grid.url}uri/{cap}").body, data)

    def test_put_stopped(self) -> None:
        """A Ctrl-C leaves nothing at the gateway that nobody would go on with."""
        path = self.file(content(64 * MIB, 1), "stopped")
        put = warm.start(
            self.command("put", path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        )
        eventually(lambda: any(task["stored"] > MIB for task in self.active()))
        put.send_signal(signal.SIGINT)
        out, errors = put.communicate(timeout=30)
        self.assertEqual((put.returncode, out), (130, b""), errors)
        self.assertNotIn(b"Traceback", errors)
        self.assertEqual(self.active(), [])
        self.assertEqual(self.grid.incoming(), [])

    def test_put_stopped_early(self) -> None:
        """A Ctrl-C while an upload is being opened waits for its handle, and removes it."""
        with Slow(b"handle") as gateway:
            put = warm.start(
                truckee("put", "-u", gateway.url, self.file(b"x" * 99)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            eventually(lambda: b"POST /upload/open?key=random&size=99" in gateway.asked)
            put.send_signal(signal.SIGINT)
            time.sleep(0.3)
            gateway.go.set()
            out = put.communicate(timeout=30)
        self.assertEqual((put.returncode, out[0]), (130, b""))
        self.assertIn(b"Nothing of the file is stored", out[1])
        self.assertEqual(
            gateway.asked,
            [
                b"GET /?t=json",
                b"POST /upload/open?key=random&size=99",
                b"DELETE /upload/handle",
            ],
        )

    def test_put_stopped_twice(self) -> None:
        """A second signal does not wait for a gateway that says nothing."""
        for first, second in (
            (signal.SIGINT, signal.SIGINT),
            (signal.SIGTERM, signal.SIGINT),
            (signal.SIGINT, signal.SIGTERM),
        ):
            with Slow(b"handle") as gateway:
                put = warm.start(
                    truckee("put", "-u", gateway.url, self.file(b"x" * 99)),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                eventually(lambda asked=gateway.asked: len(asked) > 1)  # type: ignore[misc]
                put.send_signal(first)
                eventually(lambda pid=put.pid: _awaits_second(pid))  # type: ignore[misc]
                put.send_signal(second)
                out = put.communicate(timeout=30)
                self.assertEqual((put.returncode, out), (130, (b"", b"")))

    def test_pipe_stopped(self) -> None:
        """A pipe in which nothing comes is waited for, and a Ctrl-C is heard meanwhile."""
        before = len(self.grid.shares())
        with warm.start(
            self.command("put"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as put:
            assert put.stdin is not None
            put.stdin.write(content(3 * MIB))
            put.stdin.flush()
            eventually(lambda: any(task["stored"] > MIB for task in self.active()))
            put.send_signal(signal.SIGINT)
            self.assertEqual(put.wait(60), 130)
            assert put.stdout is not None and put.stderr is not None
            self.assertEqual(put.stdout.read(), b"")
            self.assertIn(b"Nothing is stored", put.stderr.read())
        eventually(lambda: not self.grid.incoming())
        self.assertEqual(len(self.grid.shares()), before)

    def test_put_resumable_stopped(self) -> None:
        """A Ctrl-C says how much is kept, and which command goes on."""
        path = self.file(content(64 * MIB, 3), "a film.mp4")
        put = warm.start(
            self.command("put", "--resume", path, "-o", str(self.place / "film.cap")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        )
        eventually(lambda: any(task["stored"] > MIB for task in self.active()))
        put.send_signal(signal.SIGINT)
        out, errors = put.communicate(timeout=60)
        self.assertEqual((put.returncode, out), (130, b""), errors)
        [line] = errors.decode().splitlines()
        self.assertRegex(line, r"^Stopped\. [0-9.]+ MB of 67\.1 MB are at the gateway")
        self.assertIn(f"truckee put --resume -u {self.grid.url} -o ", line)
        self.assertTrue(line.endswith(f"'{path}'"), line)
        self.assertFalse((self.place / "film.cap").exists())
        self.do(*shlex.split(line.partition(": truckee ")[2]))
        cap = (self.place / "film.cap").read_text().strip()
        self.assertEqual(ask(f"{self.grid.url}uri/{cap}").body, Path(path).read_bytes())

    def test_cap_in_file(self) -> None:
        """-o leaves the cap in a file, for its owner alone, or in what is no file."""
        path = self.file(b"x" * 1000)
        target = self.place / "caps" / "x.cap"
        target.parent.mkdir()
        (target.parent / "x.cap.new").write_bytes(b"mine")
        (target.parent / "link").symlink_to("x.cap")
        old = "old"
        for name in ("x.cap", "link", "x.cap"):
            done = self.do("put", path, "-o", str(target.parent / name))
            self.assertEqual((done.stdout, target.stat().st_mode & 0o777), (b"", 0o600))
            cap = target.read_text()
            self.assertRegex(cap, r"^URI:CHK:[^ ]*\n$")
            self.assertNotEqual(cap, old)
            old = cap
        self.assertTrue((target.parent / "link").is_symlink())
        self.do("put", "--key", "abc", path, "-o", str(target), code=1)
        self.assertEqual(target.read_text(), old)
        self.assertEqual(sorted(os.listdir(target.parent)), ["link", "x.cap", "x.cap.new"])
        self.assertEqual((target.parent / "x.cap.new").read_bytes(), b"mine")
        self.assertIn(b"URI:CHK:", self.do("put", path, "-o", "/dev/stdout").stdout)
        done = self.do("put", path, "-o", "/dev/full", code=1)
        again = done.stderr.decode().strip().partition(": truckee ")[2]
        self.assertIn("--resume", again)
        # The file is stored: no byte of it is sent again for its cap.
        again = again.replace("/dev/full", str(self.place / "late.cap"))
        self.do(*shlex.split(again))
        cap = (self.place / "late.cap").read_text().strip()
        self.assertEqual(ask(f"{self.grid.url}uri/{cap}").body, b"x" * 1000)
        self.assertEqual(self.notes(), [])

    def test_put_without_gateway(self) -> None:
        """It says that it tries again, and since when; and that it goes on."""
        with tempfile.TemporaryDirectory() as place:
            grid = GridProcess.create(
                Path(place) / "node", needed=1, happy=1, total=1, storage_dirs=1
            )
            grid.start()
            port = int(grid.url.rstrip("/").rpartition(":")[2])
            with Line(port) as line:
                line.rate = 4 * MIB
                data = content(12 * MIB, 4)
                with warm.start(
                    truckee(
                        "put", "-u", f"http://127.0.0.1:{line.port}", self.file(data, "y")
                    ),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self.environment(),
                ) as put:
                    assert put.stderr is not None and put.stdout is not None
                    eventually(lambda: line.sent > 2 * MIB)
                    grid.kill()
                    told = put.stderr.readline().decode()
                    self.assertRegex(
                        told,
                        r"^The gateway does not answer \(.*\) since \d\d:\d\d:\d\d\.",
                    )
                    grid.start()
                    line.target = int(grid.url.rstrip("/").rpartition(":")[2])
                    line.rate = 0
                    told = put.stderr.readline().decode()
                    self.assertRegex(told, "^The gateway answers again: .* of 12.6 MB")
                    cap = put.stdout.read().decode().strip()
                    self.assertEqual(put.wait(60), 0)
                    self.assertEqual(put.stderr.read(), b"")
                self.assertEqual(ask(f"{grid.url}uri/{cap}").body, data)
            grid.stop()

    def test_put_over_cut_line(self) -> None:
        """So it is when the line is cut, for a moment or for longer; nothing is lost."""
        port = int(self.grid.url.rstrip("/").rpartition(":")[2])
        data = content(12 * MIB, 5)
        for away in (False, True):
            with Line(port) as line:
                line.rate = 4 * MIB
                address = f"http://127.0.0.1:{line.port}"
                with warm.start(
                    truckee("put", "-u", address, self.file(data, f"cut-{away}")),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self.environment(),
                ) as put:
                    assert put.stderr is not None and put.stdout is not None
                    eventually(lambda sender=line: sender.sent > 2 * MIB)  # type: ignore[misc]
                    if away:
                        line.target = 1  # where nothing listens
                    line.reset()
                    if away:
                        told = put.stderr.readline().decode()
                        self.assertRegex(
                            told, r"^The gateway does not answer \(.*\) since "
                        )
                        line.target = port
                    line.rate = 0
                    cap = put.stdout.read().decode().strip()
                    errors = put.stderr.read().decode()
                    self.assertEqual(put.wait(60), 0, errors)
                if away:
                    self.assertRegex(errors, "^The gateway answers again: .*\n$")
                self.assertNotIn("Error", errors)
                self.assertEqual(ask(f"{self.grid.url}uri/{cap}").body, data)

    def active(self) -> list[dict[str, Any]]:
        """Return what the gateway is doing."""
        active: list[dict[str, Any]] = json.loads(
            ask(f"{self.grid.url}status?t=json").body
        )["active"]
        return active

    def offset(self, place: str) -> int:
        """Return how much the gateway has; to ask with HEAD would cut the sender off."""
        return int(json.loads(ask(f"{place}?t=json").body)["offset"])

    def test_gateway_away(self) -> None:
        """Who finds no gateway hears so, with a code of its own."""
        done = warm.run(
            truckee("put", "-u", "http://127.0.0.1:1/", self.file(b"x")),
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"does not answer", done.stderr)

    def test_errors(self) -> None:
        """What is wrong is said in a sentence, without the cap."""
        gone = "URI:CHK:" + "a" * 26 + ":" + "a" * 52 + ":2:3:1000"
        for cap in (gone, "nonsense"):
            done = self.do("get", cap, code=4)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertNotIn(cap.encode(), done.stderr)
        self.assertIn(b"No such file", self.do("put", "/nowhere/x", code=1).stderr)
        self.do("put", "--key", "abc", self.file(b"x"), code=1)
        self.do("put", "--resume", "-", code=2)
        began = time.monotonic()
        self.do("get", "--resume", gone, code=2)
        self.assertLess(time.monotonic() - began, 60)


def _awaits_second(pid: int) -> bool:
    """Whether a process that got a signal has handled it; there is no other sign of it."""
    time.sleep(0.3)
    status = Path(f"/proc/{pid}/status").read_text()
    pending = [line.split()[1] for line in status.splitlines() if "Pnd:" in line]
    return all(int(each, 16) == 0 for each in pending)
