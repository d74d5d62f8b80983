"""Ranges and conditions over real sockets, with curl and wget, against a real node."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from email import message_from_bytes
from pathlib import Path
from typing import Any
from unittest import SkipTest

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.range_cases import CASES, Case, File, parts_of, told
from tests.processes import GridProcess, Reply, Wire, ask, curl, running
from truckee.codec.caps import parse_cap
from truckee.net.http.isolation import USUAL

MIB = 1 << 20
# The last one: where bytes are fetched for the answer.
ALWAYS = {
    *("server", "date", "connection", "x-task-id"),
    *(name.decode("ascii").lower() for name in USUAL),
}
KEPT = {"etag", "cache-control"}
CONTENT = {"content-type", "content-length", "accept-ranges", "x-accel-buffering", *KEPT}
CACHE = "private, max-age=31536000, immutable"

# The headers of each answer, beside those of all answers.
HEADERS = {
    "200": CONTENT,
    "206": CONTENT | {"content-range"},
    "206 multipart": CONTENT,
    "304": KEPT,
    "400": {"content-type", "content-length", "cache-control"},
    "412": {"content-type", "content-length", "cache-control"},
    "416": {"content-type", "content-length", "cache-control", "content-range"},
    "431": {"content-type", "content-length", "cache-control"},
}


class _Case(SynchronousTestCase):
    """A grid in one process, a stored file of three segments and a literal one."""

    cleanup: contextlib.ExitStack
    grid: GridProcess
    chk: File
    literal: File

    @classmethod
    def setUpClass(cls) -> None:
        cls.cleanup = contextlib.ExitStack()
        try:
            room = Path(cls.cleanup.enter_context(tempfile.TemporaryDirectory()))
            grid = GridProcess.create(
                room / "node", needed=2, happy=2, total=3, storage_dirs=3
            )
            cls.grid = cls.cleanup.enter_context(running(grid))
            cls.chk = cls.put("CHK", 2 * MIB + 1000)
            cls.literal = cls.put("LIT", 50)
        except BaseException:
            cls.cleanup.close()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()

    @classmethod
    def put(cls, kind: str, size: int) -> File:
        """Store a file, and return it with what its head says."""
        data = random.Random(size).randbytes(size)
        cap = curl("-T", "-", f"{cls.grid.url}uri", data=data).decode("ascii")
        file = File(kind, cls.grid.url, f"uri/{cap}", data)
        etag = file.ask(Case((), "200", "HEAD")).headers["etag"]
        return evolve(file, etag=etag, stock_etag=stock_etag(cap))


def stock_etag(cap: str) -> str:
    """Return the tag that a stock gateway gives the file of *cap*."""
    verify_cap = parse_cap(cap).verify_cap()  # type: ignore[union-attr]
    return "none" if verify_cap is None else f"{str(verify_cap).split(':')[2]}-"


class TableTests(_Case):
    def wrong(self, file: File) -> list[str]:
        """Return all that is not as the table has it."""
        found = []
        for case in CASES:
            if case.only not in ("", file.kind):
                continue
            reply = file.ask(case)
            answer = told(reply, file, case.method)
            if answer != file.fill(case.answer):
                found.append(f"{case}: {answer}, not {file.fill(case.answer)}")
            else:
                found += [f"{case}: {each}" for each in self.ill_formed(reply, file, case)]
        return found

    def ill_formed(self, reply: Reply, file: File, case: Case) -> list[str]:
        """Return what is wrong with a reply whose status and ranges are right."""
        found = []
        headers, status = reply.headers, str(reply.status)
        multipart = headers.get("content-type", "").startswith("multipart/")
        expected = HEADERS[f"{status} multipart" if multipart else status]
        if set(headers) - ALWAYS != expected:
            found.append(f"headers {sorted(headers)}")
        if reply.status in (200, 206, 304):
            if headers["etag"] != file.etag or headers["cache-control"] != CACHE:
                found.append(f"{headers['etag']}, {headers['cache-control']}")
        elif headers["cache-control"] != "no-store":
            found.append(headers["cache-control"])
        size = len(file.data)
        if reply.status == 416 and headers["content-range"] != f"bytes */{size}":
            found.append(headers["content-range"])
        if reply.status in (200, 206) and headers["accept-ranges"] != "bytes":
            found.append(headers["accept-ranges"])
        if case.method == "HEAD" or reply.status == 304:
            if reply.body:
                found.append("a body")
            if reply.status == 200 and headers["content-length"] != str(size):
                found.append(f"Content-Length {headers['content-length']}")
        elif headers["content-length"] != str(len(reply.body)):
            found.append(f"Content-Length {headers['content-length']}")
        if reply.status >= 400 and case.method == "GET" and reply.body.count(b"\n") != 1:
            found.append(repr(reply.body))
        return found

    def test_stored_file(self) -> None:
        """Every request of the table gets its answer for a file that is in shares."""
        self.assertEqual(self.wrong(self.chk), [])

    def test_literal_file(self) -> None:
        """The same for a file that is in its cap."""
        self.assertEqual(self.wrong(self.literal), [])

    def test_log(self) -> None:
        """After all that, the log has no traceback."""
        self.wrong(self.literal)
        self.assertNotIn("Traceback", self.grid.log())

    def test_table(self) -> None:
        """The table is long, and has nothing twice."""
        self.assertGreater(len(CASES), 120)
        self.assertEqual(len(set(CASES)), len(CASES))


class HeaderTests(_Case):
    def test_head_is_that_of_get(self) -> None:
        """HEAD has the headers of GET, whatever the address says, and no body."""
        for file in (self.chk, self.literal):
            for more in ("", "?save=true&filename=a.png", "?filename=a%20b.tar.gz"):
                this = evolve(file, path=file.path + more)
                got = this.ask(Case((), ""))
                head = this.ask(Case((), "", "HEAD"))
                self.assertEqual((got.status, head.status), (200, 200))
                self.assertEqual((got.body, head.body), (file.data, b""))
                for headers in (got.headers, head.headers):
                    headers.pop("date")
                    headers.pop("x-task-id", None)  # of what is sent
                self.assertEqual(got.headers, head.headers)
                self.assertEqual("content-disposition" in head.headers, "save" in more)

    def test_parts_have_the_type_of_the_file(self) -> None:
        """Each part says what the file is; the whole says that it has parts."""
        for file in (self.chk, self.literal):
            path = file.path.replace("uri/", "named/") + "/a.png?save=true"
            reply = evolve(file, path=path).ask(Case(("Range: bytes=0-1,5-6",), ""))
            self.assertEqual(told(reply, file), "206 0-1 5-6")
            self.assertEqual(reply.body.count(b"\r\nContent-Type: image/png\r\n"), 2)
            self.assertIn("a.png", reply.headers["content-disposition"])

    def test_boundary(self) -> None:
        """The boundary is another one each time, and cannot be guessed."""
        kinds = {
            self.literal.ask(Case(("Range: bytes=0-1,5-6",), "")).headers["content-type"]
            for _ in range(10)
        }
        self.assertEqual(len(kinds), 10)
        for kind in kinds:
            self.assertRegex(kind, r"^multipart/byteranges; boundary=[0-9a-f]{32}$")

    def test_tags(self) -> None:
        """Files have the same tag when they are the same, at any address, and else not."""
        again = self.put("CHK", len(self.chk.data))
        other = self.put("LIT", 49)
        tags = {file.etag for file in (self.chk, again, self.literal, other)}
        self.assertEqual(len(tags), 4)  # again has a key of its own
        named = evolve(self.chk, path=self.chk.path.replace("uri/", "named/") + "/x.html")
        self.assertEqual(named.ask(Case((), "", "HEAD")).headers["etag"], self.chk.etag)
        for tag in tags:
            self.assertRegex(tag, r'^"[a-z2-7-]+"$')

    def test_answers_about_a_file(self) -> None:
        """An answer with a cap in it is kept nowhere, and knows no range or condition."""
        for kind in ("json", "uri", "readonly-uri"):
            for file in (self.chk, self.literal):
                this = evolve(file, path=f"{file.path}?t={kind}")
                plain = this.ask(Case((), ""))
                for headers in (("Range: bytes=0-1",), ("If-None-Match: <tag>",)):
                    reply = this.ask(Case(headers, ""))
                    self.assertEqual((reply.status, reply.body), (200, plain.body))
                    self.assertEqual(reply.headers["cache-control"], "no-store")
                    self.assertNotIn("etag", reply.headers)
                    self.assertNotIn("accept-ranges", reply.headers)

    def test_errors_are_not_kept(self) -> None:
        """What failed says that no cache may keep it, and nothing of the file's headers."""
        absent = f"URI:CHK:{'a' * 26}:{'a' * 52}:2:3:1000"
        for headers in ((), ("Range: bytes=0-1",), ("Range: bytes=0-1,5-6",)):
            reply = File("CHK", self.grid.url, f"uri/{absent}", b"").ask(Case(headers, ""))
            self.assertEqual(reply.status, 410)
            self.assertEqual(reply.headers["cache-control"], "no-store")
            for name in ("etag", "content-range", "accept-ranges", "content-disposition"):
                self.assertNotIn(name, reply.headers)

    def test_sizes_beyond_memory(self) -> None:
        """The ranges of a file as large as caps can say are reckoned, and asked for."""
        size = 10**20 - 1
        path = f"uri/URI:CHK:{'a' * 26}:{'a' * 52}:2:3:{size}"
        file = File("CHK", self.grid.url, path, b"")
        head = file.ask(Case((), "", "HEAD"))
        self.assertEqual(head.headers["content-length"], str(size))
        for value in ("0-", "-1", f"0-0,{size - 1}-", "0-0,-1"):
            self.assertEqual(file.ask(Case((f"Range: bytes={value}",), "")).status, 410)
        reply = file.ask(Case((f"Range: bytes={size}-",), ""))
        self.assertEqual(reply.headers["content-range"], f"bytes */{size}")


class LargeTests(_Case):
    def test_across_segments(self) -> None:
        """Parts across segments, in any order, have their bytes, and nothing follows."""
        data = self.chk.data
        ranges = [(MIB - 10, MIB + 10), (2 * MIB - 1, 2 * MIB + 900), (0, MIB - 100)]
        value = ",".join(f"{start}-{end - 1}" for start, end in ranges)
        with Wire(self.grid.url) as wire:
            for _ in range(2):
                wire.request(f"GET /{self.chk.path}", f"Range: bytes={value}")
                reply = wire.reply()
                got = [part for _, part in parts_of(reply)]
                self.assertTrue(got == [data[start:end] for start, end in ranges])
            wire.request("GET /uri/URI:LIT:mfrgg")
            self.assertEqual(wire.reply().body, b"abc")

    def test_random(self) -> None:
        """Any ranges that do not touch come as they were asked for."""
        rng = random.Random(3)
        size = len(self.chk.data)
        for _ in range(20):
            cuts = sorted(rng.sample(range(0, size, 2), 2 * rng.randint(1, 32)))
            pairs = list(zip(cuts[::2], cuts[1::2], strict=True))
            rng.shuffle(pairs)
            spec = ",".join(f"{start}-{end - 1}" for start, end in pairs)
            reply = self.chk.ask(Case((f"Range: bytes={spec}",), ""))
            expected = " ".join(["206", *(f"{start}-{end - 1}" for start, end in pairs)])
            self.assertEqual(told(reply, self.chk), expected)


class ClientTests(_Case):
    def test_curl_with_several_ranges(self) -> None:
        """What curl -r 0-1,5-6 gets is MIME, whose parts are the ranges."""
        for file in (self.chk, self.literal):
            reply = ask("--range", "0-1,5-6", f"{file.url}{file.path}?filename=a.bin")
            self.assertEqual(reply.status, 206)
            self.assertEqual(reply.headers["content-length"], str(len(reply.body)))
            head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
            message = message_from_bytes(head + reply.body)
            self.assertEqual(message.get_content_type(), "multipart/byteranges")
            self.assertEqual(message.defects, [])
            parts: Any = message.get_payload()
            self.assertEqual(len(parts), 2)
            for part, start in zip(parts, (0, 5), strict=True):
                self.assertEqual(part.get_content_type(), "application/octet-stream")
                said = f"bytes {start}-{start + 1}/{len(file.data)}"
                self.assertEqual(part["Content-Range"], said)
                data = part.get_payload(decode=True)
                self.assertEqual(data, file.data[start : start + 2])

    def resume(self, file: File, have: int, *command: str) -> tuple[int, bytes]:
        """Run a client where the first *have* bytes are; return its code, what is there."""
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "file"
            path.write_bytes(file.data[:have])
            done = subprocess.run(
                [*command, str(path), file.url + file.path], check=False, timeout=60
            )
            return done.returncode, path.read_bytes()

    def test_curl_resumes(self) -> None:
        """curl -C - goes on where it was cut off, also when nothing is missing."""
        for file in (self.chk, self.literal):
            size = len(file.data)
            for have in (0, 1, size // 2, size - 1, size):
                code, data = self.resume(file, have, "curl", "-s", "-C", "-", "-o")
                self.assertTrue(data == file.data, have)
                self.assertEqual(code, 0, have)

    def test_wget_resumes(self) -> None:
        """wget -c does too."""
        if shutil.which("wget") is None:
            raise SkipTest("wget is not installed")
        for file in (self.chk, self.literal):
            size = len(file.data)
            for have in (0, 1, size // 2, size):
                code, data = self.resume(file, have, "wget", "--quiet", "-c", "-O")
                self.assertTrue(data == file.data, have)
                self.assertEqual(code, 0, have)

    def test_curl_keeps_tags(self) -> None:
        """curl --etag-save and --etag-compare find that the file is there already."""
        with tempfile.TemporaryDirectory() as place:
            for file in (self.chk, self.literal):
                tag = Path(place) / f"tag-{file.kind}"
                url = file.url + file.path
                self.assertEqual(curl("--etag-save", str(tag), url), file.data)
                reply = ask("--etag-compare", str(tag), url)
                self.assertEqual((reply.status, reply.body), (304, b""))
