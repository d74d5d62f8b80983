"""Requests that nobody would send: none ends in a 500, and none says more than it may."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, Reply, Wire, ask, curl, running
from tests.soak.fuzz_requests import fuzz, make_node, tracebacks
from truckee.codec.caps import LiteralCap
from truckee.frontends.http.content_types import KINDS

# In a suite that has minutes; the command sends thousands.
REQUESTS = 300


@cache
def node() -> tuple[GridProcess, Callable[[], None]]:
    """Return a node, started once, and what ends it."""
    with ExitStack() as cleanup:
        place = cleanup.enter_context(tempfile.TemporaryDirectory())
        grid = cleanup.enter_context(running(make_node(Path(place))))
        return grid, cleanup.pop_all().close
    raise AssertionError


def tearDownModule() -> None:
    """End the node."""
    if node.cache_info().currsize:
        node()[1]()


class OddCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = node()[0]
        self.url = self.grid.url
        before = tracebacks(self.grid.log())
        self.addCleanup(
            lambda: self.assertEqual(tracebacks(self.grid.log()), before, self.grid.log())
        )

    def send(self, first: str, *headers: bytes) -> Reply:
        """Return the answer to a head without a body."""
        lines = [f"{first} HTTP/1.1".encode(), b"Host: 127.0.0.1", *headers, b"", b""]
        with Wire(self.url) as wire:
            wire.send(b"\r\n".join(lines))
            return wire.reply(first.startswith("HEAD"))


class FuzzTests(OddCase):
    def test_any(self) -> None:
        """Requests of a grammar with mistakes, over all addresses: no 500."""
        done = fuzz(self.grid, REQUESTS, 7)
        self.assertEqual(done.failures, [])
        self.assertEqual(done.statuses["nothing in time"], 0)

    def test_head(self) -> None:
        """HEAD of what only takes POST is 405."""
        for path in ("/upload/open", "/tus/", "/tus"):
            self.assertEqual(self.send(f"HEAD {path}").status, 405, path)

    def test_no_text(self) -> None:
        """Bytes that are no UTF-8 make a header wrong, or mean nothing in it."""
        handle = curl("-X", "POST", f"{self.url}upload/open").decode()
        for name in (
            *(b"Content-Type", b"Upload-Complete", b"Upload-Offset", b"Upload-Length"),
            *(b"Upload-Metadata", b"Upload-Concat", b"Upload-Checksum", b"X-Task-Id"),
            *(b"Tus-Resumable", b"X-HTTP-Method-Override", b"Accept", b"User-Agent"),
            *(b"Range", b"If-Match", b"If-None-Match", b"If-Range", b"Cookie", b"Expect"),
            *(b"Origin", b"Sec-Fetch-Site", b"Sec-Fetch-Dest", b"Accept-Encoding"),
        ):
            for first in (
                *("GET /", "GET /metrics", "GET /uri/URI:LIT:mfrgg?filename=a.pdf"),
                *("POST /tus/", f"PATCH /tus/{handle}", f"PATCH /upload/{handle}"),
                *("PUT /uri", "POST /uri", f"PUT /upload/{handle}", "POST /upload/open"),
            ):
                status = self.send(first, name + b": \xff\xfe").status
                self.assertLess(status, 500, (first, name))


class NameTests(OddCase):
    def setUp(self) -> None:
        super().setUp()
        self.cap = curl("-T", "-", f"{self.url}uri", data=b"x" * 100).decode()

    def test_type(self) -> None:
        """A name gives a type of the table, whatever it says."""
        for name in (
            *("data:text/html,x", "data:text/html;charset=utf-7,x", "data:;base64,x.html"),
            *("data:multipart/x-mixed-replace;boundary=b,", "http://x/?a.html", "a.html?"),
            *(
                "data:text/html%0d%0aX-Evil:%20y,",
                "a.%0d%0ahtml",
                "%00.html",
                "a.js",
                ".html",
            ),
            *("a.html%00", "a.xsl", "a.css", "a.swf", "a.mht", "a.hta", "a.manifest", "a."),
        ):
            for cap in (self.cap, "URI:LIT:mfrgg"):
                got = self.send(f"GET /uri/{cap}?filename={name}")
                self.assertEqual(got.status, 200)
                self.assertIn(got.headers["content-type"], KINDS)
                self.assertNotIn("javascript", got.headers["content-type"])
                self.assertNotIn("x-evil", got.headers)
                if name.startswith("data:t"):
                    self.assertEqual(got.headers["content-type"], "text/plain")

    def test_parts(self) -> None:
        """No line of a name is one of an answer, nor of a part's head."""
        evil = "data:a/b%0d%0aX-Evil:%20y%0d%0a%0d%0a<script>,"
        for place in (f"/uri/{self.cap}?filename={evil}&", f"/file/{self.cap}/{evil}?"):
            for more in ("", "save=true"):
                got = self.send(f"GET {place}{more}", b"Range: bytes=0-1,5-6")
                self.assertEqual(got.status, 206)
                head, _, _ = got.body.partition(b"\r\n\r\n")
                self.assertNotIn("x-evil", got.headers)
                kind = rb"Content-Type: text/plain\r\nContent-Range: [^\r]*"
                self.assertRegex(head, rb"^--[0-9a-f]{32}\r\n" + kind + rb"$")
                said = got.headers.get("content-disposition", "")
                self.assertTrue(said.isascii() and said.isprintable())

    def test_saved_name(self) -> None:
        """A name to save under has no paths, no control characters and no overrides."""
        name = "..%2F..%5Ca%0d%0a%1b%e2%80%aetxt.exe"
        got = self.send(f"HEAD /uri/{self.cap}?save=true&filename={name}")
        said = got.headers["content-disposition"]
        self.assertTrue(said.startswith('attachment; filename=".._.._a____txt.exe"'), said)
        self.assertIsNone(re.search(r"%[01]|%2F|%5C|%E2|/|\\", said), said)


class CapTests(OddCase):
    def test_errors_show_no_cap(self) -> None:
        """An error says nothing of the cap, or key, or handle in its request."""
        cap = curl("-T", "-", f"{self.url}uri", data=b"y" * 100).decode()
        key = cap.split(":")[2]
        lost = cap[:-3] + "999"
        for path in (
            *(f"uri/{cap}/x", f"uri/{cap}?t={cap}", f"uri/{cap}?save={cap}", f"uri/x{cap}"),
            *(f"uri/{cap}x", f"uri/{cap}:", f"uri/{lost}", f"{cap}", f"file/{cap[:-4]}/x"),
            *(f"uri/URI:SSK:{key}:{key}", f"uri?uri=x{cap}", f"uri/URI:DIR2-CHK:{cap[8:]}"),
            *(f"uri?t={key}", f"uri?size-limit={key}", f"uri?key={cap}", f"uri?save={key}"),
            *(f"upload/open?size={key}", f"uri?output={key}", f"uri?ophandle={key}!"),
            *(f"operations/{key}", f"upload/{key}", f"tus/{key}", f"static/{key}"),
            *(
                f"status?t={key}",
                f"?t={key}",
                f"uri/URI:LIT:{key * 9}",
                f"uri/URI:CHK:{key}",
            ),
            *(
                f"helper_status?t={key}",
                f"uri/{cap}?filename=a&t=info&x={key}",
                f"cap/{key}",
            ),
        ):
            for method in ("GET", "POST", "PUT", "DELETE"):
                got = ask("-X", method, f"{self.url}{path}")
                if got.status < 400:
                    continue
                told = got.body.decode() + str(got.headers)
                self.assertNotIn(key, told, (method, path))

    def test_long_literals(self) -> None:
        """A cap that holds more than writers put into one is refused."""
        for size, status in ((55, 200), (56, 400), (3000, 400)):
            cap = LiteralCap(b"x" * size)
            for top in ("uri", "file", "cap", "named"):
                self.assertEqual(ask(f"{self.url}{top}/{cap}").status, status, size)
            got = ask(f"{self.url}uri?uri={cap}").status
            self.assertEqual(got, 302 if status == 200 else 400)
