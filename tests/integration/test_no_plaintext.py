"""Nothing readable touches the disk: not during an upload, not after, not after a crash."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import files_below
from tests.processes import (
    START_TIME,
    GridProcess,
    Wire,
    ask,
    eventually,
    opened,
    truckee,
)

MIB = 1 << 20

# Any 16 bytes of it are found in the body at many places, wherever it is cut.
CANARY = b"kanarienvogel-im-bergwerk-73190-"
BODY = CANARY * (3 * MIB // len(CANARY))
PIECE = 128 * 1024  # bytes sent at once

KEY = "0123456789abcdef0123456789abcdef"


def readable(path: Path) -> bool:
    """Return whether any part of the body is in the file at *path*."""
    try:
        return CANARY[:16] in path.read_bytes()
    except OSError:
        return False  # it went away, or is no file


class PlaintextTests(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.temporary = Path(room.name) / "temporary"
        self.temporary.mkdir()
        self.grid = GridProcess.create(
            Path(room.name) / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        self.grid.environment["TMPDIR"] = str(self.temporary)
        self.grid.start()
        self.addCleanup(lambda: self.grid.kill())

    def check_disk(self) -> int:
        """Check every file of the node and of its process; return how many there were."""
        places = [self.grid.directory, self.temporary]
        files = files_below(*places)
        if self.grid.process.poll() is None:
            # Those that are deleted and still open too.
            for entry, target in opened(self.grid.process.pid):
                if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
                    files.append(entry)
        for path in files:
            self.assertFalse(readable(path), path)
        self.assertEqual(list(self.temporary.iterdir()), [])
        return len(files)

    def stream(self, wire: Wire, send: Callable[[bytes], None]) -> None:
        """Send the body slowly and look at the disk all the while."""
        for start in range(0, len(BODY), PIECE):
            send(BODY[start : start + PIECE])
            time.sleep(0.002)
            if start // PIECE % 3 == 0:
                self.check_disk()

    def check_upload(
        self, request: str, *headers: str, before: bytes = b"", after: bytes = b""
    ) -> None:
        """Check the disk during one upload, after it, and after one that was killed."""
        length = len(before) + len(BODY) + len(after)
        chunked = any(header.startswith("Transfer-Encoding") for header in headers)
        if not chunked:
            headers = (f"Content-Length: {length}", *headers)
        with Wire(self.grid.url) as wire:
            send = wire.chunk if chunked else wire.send
            wire.request(request, *headers)
            if before:
                send(before)
            self.stream(wire, send)
            if after:
                send(after)
            if chunked:
                wire.chunk(b"")
            for _ in range(3):
                self.check_disk()
            reply = wire.reply()
        self.assertIn(reply.status, (200, 201), reply.body)
        self.check_disk()
        self.assertEqual(ask(f"{self.grid.url}uri/{reply.text}").body, BODY)
        self.check_disk()
        # The same again, up to the middle, where the process dies.
        with Wire(self.grid.url) as wire:
            send = wire.chunk if chunked else wire.send
            wire.request(request.replace(KEY, KEY[::-1]), *headers)
            if before:
                send(before)
            send(BODY[: 2 * len(BODY) // 3])
            time.sleep(0.05)
            self.assertGreater(self.check_disk(), 0)
            self.grid.kill()
        self.check_disk()
        self.grid.start()
        self.check_disk()

    def test_announced(self) -> None:
        """A PUT with a Content-Length leaves nothing readable at any time."""
        self.check_upload("PUT /uri")

    def test_chunked(self) -> None:
        """A chunked PUT leaves nothing readable at any time."""
        self.check_upload("PUT /uri", "Transfer-Encoding: chunked")

    def test_given_key(self) -> None:
        """A PUT with the client's own key leaves nothing readable at any time."""
        self.check_upload(f"PUT /uri?key={KEY}")

    def test_convergent(self) -> None:
        """The spool of a convergent upload has no name and holds nothing readable."""
        self.check_upload("PUT /uri?key=CHK")
        self.check_upload("PUT /uri?key=CHK", "Transfer-Encoding: chunked")

    def test_into_directory(self) -> None:
        """A PUT of a name in a directory leaves neither content nor name readable."""
        cap = ask("--request", "POST", f"{self.grid.url}uri?t=mkdir").text
        path = f"/uri/{cap}/{quote(CANARY)}"
        self.check_upload(f"PUT {path}", "Transfer-Encoding: chunked")

    def test_form(self) -> None:
        """A form leaves nothing readable at any time, small fields included."""
        before = (
            b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n'
            + CANARY
            + b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="'
            + CANARY
            + b'"\r\nContent-Type: text/plain\r\n\r\n'
        )
        kind = "Content-Type: multipart/form-data; boundary=b"
        self.check_upload("POST /uri?t=upload", kind, before=before, after=b"\r\n--b--\r\n")

    def test_bodies_nobody_wants(self) -> None:
        """Neither a refused body nor one sent to no address at all is kept anywhere."""
        for target in ("PUT /nowhere", "POST /uri", "PUT /uri?t=nonsense", "POST /"):
            with Wire(self.grid.url) as wire:
                wire.request(target, f"Content-Length: {len(BODY)}")
                with contextlib.suppress(ConnectionError):  # it may be refused early
                    self.stream(wire, wire.send)
                self.check_disk()

    def test_spool_is_nameless(self) -> None:
        """While a convergent body comes, its spool is open and has no name."""
        with Wire(self.grid.url) as wire:
            wire.request("PUT /uri?key=CHK", f"Content-Length: {len(BODY)}")
            wire.send(BODY[: 2 * MIB])
            spool = self.grid.directory / "tmp"

            def open_spools() -> list[str]:
                found = [target for _, target in opened(self.grid.process.pid)]
                return [name for name in found if name.startswith(str(spool))]

            eventually(open_spools)
            self.assertTrue(all(name.endswith(" (deleted)") for name in open_spools()))
            self.assertEqual(list(spool.iterdir()), [])
        eventually(lambda: not open_spools())


class TracedTests(SynchronousTestCase):
    def test_files_created(self) -> None:
        """
        In a PUT files are made for shares and for the journal only, and for a convergent
        one a spool without a name.
        """
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        trace = Path(room.name) / "trace"
        probe = subprocess.run(
            [strace, "-o", trace, "true"], check=False, capture_output=True
        )
        if probe.returncode != 0:
            raise SkipTest("strace is not permitted to trace")
        node = Path(room.name) / "node"
        grid = GridProcess.create(node, needed=2, happy=2, total=3, storage_dirs=3)
        calls = "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,"
        calls += "link,linkat,symlink,symlinkat,mknod,mknodat,memfd_create"
        with (node / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    strace,
                    "-ff",
                    "-s4096",
                    "-e",
                    calls,
                    "-o",
                    trace,
                    *truckee("run", str(node)),
                ],
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait, 30)
        self.addCleanup(self.end_traced, node)
        eventually((node / "node.url").exists, START_TIME)
        eventually(lambda: (node / "node.url").read_text().strip())
        grid.url = (node / "node.url").read_text().strip()
        # One file for each thread.  Its last line may be half there.
        begin = {
            path: path.read_bytes().rfind(b"\n") + 1
            for path in trace.parent.glob("trace.*")
        }
        for query in ("", f"?key={KEY}", "?key=CHK"):
            upload = ["--request", "PUT", "--data-binary", "@-", f"{grid.url}uri{query}"]
            self.assertEqual(ask(*upload, data=BODY).status, 200)
            self.assertEqual(ask("-T", "-", f"{grid.url}uri", data=BODY).status, 200)
            form = ["--form", "file=@-", f"{grid.url}uri"]
            self.assertEqual(ask(*form, data=BODY).status, 200)
        wanted = {"shares/incoming", "shares", "journal", "tmp without a name"}

        def made() -> set[str | None]:
            lines = [
                line
                for path in trace.parent.glob("trace.*")
                for line in path.read_bytes()[begin.get(path, 0) :].decode().splitlines()
            ]
            return {_place(line, node) for line in lines if _makes(line)} - {None}

        eventually(lambda: made() >= wanted)
        self.assertEqual(made(), wanted)

    def end_traced(self, node: Path) -> None:
        """Stop the node; strace ends with it."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            os.kill(int((node / "running.process.lock").read_text()), signal.SIGTERM)


def _makes(line: str) -> bool:
    """Return whether a traced call succeeded and made something with a name, or a file."""
    if re.search(r" = -1 | = \?", line):
        return False
    opens = line.startswith("open")
    return not opens or re.search("O_CREAT|O_TMPFILE", line) is not None


def _place(line: str, node: Path) -> str | None:
    """Return where in the node a traced call made something; None for our own shares."""
    names = re.findall(r'"([^"]*)"', line)
    name = names[-1] if names else line
    inside = os.path.relpath(name, node) if names else name
    if inside == "tmp" and "O_TMPFILE" in line:
        return "tmp without a name"
    for pattern, place in (
        (r"storage/\d/shares/incoming(/.*)?", "shares/incoming"),
        (r"storage/\d/shares/../[a-z2-7]{26}(/\d+)?", "shares"),
        (r"storage/\d/shares/..", "shares"),
        (r"storage/journal/[0-9a-f]{32}(\.new)?", "journal"),
    ):
        if re.fullmatch(pattern, inside):
            return place
    return line
