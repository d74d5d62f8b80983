"""Mutable files over the web API: curl and raw sockets against one real node."""

from __future__ import annotations

import json
import random
import re
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import PRIVATE_KEY, write_cap
from tests.processes import Reply, SharedNode, ask, opened
from truckee.codec.caps import MutableReadCap, MutableWriteCap, parse_cap

FORMATS = {"SDMF": "URI:SSK:", "MDMF": "URI:MDMF:"}
SEGMENT = 131_072  # of MDMF with 2 needed shares
SIZES = (0, 1, 2, 55, 1000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 5)


room = SharedNode(happy=3, total=5)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def content(size: int) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size).randbytes(size)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url

    def put(self, path: str, data: bytes, *options: str) -> Reply:
        """Store *data* at *path*, which begins without a slash."""
        options = ("--request", "PUT", "--data-binary", "@-", *options)
        return ask(*options, self.url + path, data=data)

    def make(self, data: bytes, format: str = "SDMF") -> str:
        """Return the write cap of a new file."""
        reply = self.put(f"uri?format={format}", data)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.text

    def get(self, cap: object, *options: str, query: str = "") -> Reply:
        """Return what is at /uri/CAP."""
        return ask(*options, f"{self.url}uri/{quote(str(cap), safe='')}{query}")

    def check_content(self, cap: object, data: bytes) -> None:
        """Who has *cap* reads *data*."""
        reply = self.get(cap)
        self.assertEqual((reply.status, reply.body), (200, data))

    def check_error(self, reply: Reply, status: int, text: str) -> None:
        """An error is a sentence."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertIn(text, reply.body.decode("utf-8"))
        self.assertNotIn("Traceback", reply.body.decode("utf-8"))


def write_cap_in(text: str) -> MutableWriteCap:
    """Return the write cap that *text* is."""
    cap = parse_cap(text)
    assert isinstance(cap, MutableWriteCap)
    return cap


class MakeTests(_Case):
    """New files."""

    def test_sizes(self) -> None:
        for format, start in FORMATS.items():
            for size in SIZES:
                data = content(size)
                cap = write_cap_in(self.make(data, format))
                self.assertTrue(str(cap).startswith(start))
                self.check_content(cap, data)
                self.check_content(cap.read_cap(), data)

    def test_other_ways(self) -> None:
        data = content(1000)
        chunked = ask("-T", "-", f"{self.url}uri?format=mdmf", data=data)
        mutable = self.put("uri?mutable=true", data)
        form = ask("--form", "file=@-", f"{self.url}uri?t=upload&format=SDMF", data=data)
        field = ask(
            "--form", "format=MDMF", "--form", "file=@-", f"{self.url}uri", data=data
        )
        kinds = ("URI:MDMF:", "URI:SSK:", "URI:SSK:", "URI:MDMF:")
        for reply, kind in zip((chunked, mutable, form, field), kinds, strict=True):
            self.assertEqual(reply.status, 200, reply.body)
            self.assertTrue(reply.text.startswith(kind), reply.text)
            self.check_content(reply.text, data)

    def test_key_of_the_client(self) -> None:
        given = urlsafe_b64encode(PRIVATE_KEY).decode("ascii")
        reply = self.put(f"uri?format=SDMF&private-key={given}", b"first")
        self.assertEqual(reply.text, str(write_cap()))
        again = self.put(f"uri?format=SDMF&private-key={given}", b"second")
        self.check_error(again, 409, "private key")
        self.check_content(write_cap(), b"first")

    def test_bad_keys(self) -> None:
        small = generate_private_key(65537, 1024).private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        short = urlsafe_b64encode(small).decode("ascii")
        before = self.grid.shares()
        for key in (short, "AAAA", "%25%25", "a", ""):
            reply = self.put(f"uri?format=SDMF&private-key={key}", b"text")
            self.check_error(reply, 400, "2048-bit RSA key")
        self.assertEqual(self.grid.shares(), before)

    def test_bad_format(self) -> None:
        self.check_error(self.put("uri?format=TDMF", b"text"), 400, "format=")

    def test_nothing_in_the_clear(self) -> None:
        """A long body is on no disk of the gateway, neither while it comes nor later."""
        secret = b"all that is secret " * 7000
        cap = self.make(secret, "MDMF")
        self.check_content(cap, secret)
        for path in self.grid.directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret[:64], path.read_bytes(), path)
        spools = [path for path, _ in opened(self.grid.process.pid) if "spool" in str(path)]
        self.assertEqual(spools, [])


class ReadTests(_Case):
    """Reading, as a whole and in ranges."""

    def test_ranges(self) -> None:
        for format in FORMATS:
            data = content(3 * SEGMENT + 5)
            cap = self.make(data, format)
            for start, end in (
                (0, 0),
                (SEGMENT - 1, SEGMENT),
                (SEGMENT - 10, 3 * SEGMENT + 1),
                (3 * SEGMENT, 3 * SEGMENT + 4),
            ):
                reply = self.get(cap, "--range", f"{start}-{end}")
                self.assertEqual((reply.status, reply.body), (206, data[start : end + 1]))
            beyond = self.get(cap, "--range", f"{len(data)}-")
            self.assertEqual(beyond.status, 416)

    def test_tags(self) -> None:
        """The tag is that of a version, and says nothing of who asks."""
        cap = write_cap_in(self.make(b"one"))
        tag = self.get(cap).headers["etag"]
        self.assertEqual(self.get(cap.read_cap()).headers["etag"], tag)
        same = self.get(cap, "--header", f"If-None-Match: {tag}")
        self.assertEqual((same.status, same.body), (304, b""))
        self.put(f"uri/{cap}", b"two")
        other = self.get(cap, "--header", f"If-None-Match: {tag}")
        self.assertEqual((other.status, other.body), (200, b"two"))
        self.assertNotEqual(other.headers["etag"], tag)
        self.assertIn("no-cache", other.headers["cache-control"])

    def test_head(self) -> None:
        cap = self.make(content(1000))
        reply = ask("--head", f"{self.url}uri/{cap}")
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-length"], "1000")

    def test_about(self) -> None:
        for format in FORMATS:
            cap = write_cap_in(self.make(content(1000), format))
            read_cap = cap.read_cap()
            told = {
                "mutable": True,
                "format": format,
                "size": 1000,
                "rw_uri": str(cap),
                "ro_uri": str(read_cap),
                "verify_uri": str(cap.verify_cap()),
            }
            self.assertEqual(
                json.loads(self.get(cap, query="?t=json").body), ["filenode", told]
            )
            del told["rw_uri"]
            self.assertEqual(
                json.loads(self.get(read_cap, query="?t=json").body), ["filenode", told]
            )
            self.assertEqual(self.get(cap, query="?t=uri").text, str(cap))
            self.assertEqual(self.get(cap, query="?t=readonly-uri").text, str(read_cap))
            page = self.get(cap, query="?t=info").body.decode("utf-8")
            self.assertIn(str(cap), page)
            self.assertIn("1,000 bytes", page)

    def test_overwritten_on_its_page(self) -> None:
        """Who may change it can do so on the page about it, and comes back there."""
        cap = write_cap_in(self.make(b"old"))
        for each, count in ((cap, 1), (cap.read_cap(), 0)):
            page = self.get(each, query="?t=info").body.decode("utf-8")
            actions = re.findall('action="([^"]*t=upload[^"]*)"', page)
            self.assertEqual(len(actions), count)
            for action in actions:
                url = self.url + unescape(action).removeprefix("../")
                reply = ask("--form", "file=@-", url, data=b"new")
                self.assertEqual(reply.status, 302, reply.body)
                self.assertEqual(reply.headers["location"], "?t=info")
        self.assertEqual(self.get(cap).body, b"new")

    def test_page_links_to_no_authority(self) -> None:
        """The content is opened under the cap that reads it: a page in it sees its URL."""
        cap = write_cap_in(self.make(b"<html>"))
        page = self.get(cap, query="?t=info").body.decode("utf-8")
        links = [line for line in page.split('"') if "/@@named=" in line]
        self.assertEqual(len(links), 1)
        self.assertIn(quote(str(cap.read_cap()), safe=""), links[0])
        self.assertNotIn(quote(str(cap), safe=""), links[0])

    def test_names(self) -> None:
        cap = quote(self.make(b"text"), safe="")
        reply = ask(f"{self.url}file/{cap}/@@named=/image.png")
        self.assertEqual(reply.body, b"text")
        self.assertTrue(reply.headers["content-type"].startswith("image/png"))
        found = ask(f"{self.url}uri?uri={cap}")
        self.assertEqual(found.status, 302)

    def test_absent(self) -> None:
        cap = MutableReadCap("SSK", b"r" * 16, b"f" * 32)
        self.check_error(self.get(cap), 410, "UnrecoverableFileError")
        told = json.loads(self.get(cap, query="?t=json").body)[1]
        self.assertNotIn("size", told)

    def test_child(self) -> None:
        cap = self.make(b"text")
        self.check_error(self.get(f"{cap}", query="/x"), 400, "no children")


class WriteTests(_Case):
    """New versions of files that are there."""

    def test_overwrite(self) -> None:
        for format in FORMATS:
            cap = self.make(content(SEGMENT + 10), format)
            for size in (0, 5, 2 * SEGMENT + 1, 100):
                reply = self.put(f"uri/{cap}", content(size))
                self.assertEqual((reply.status, reply.text), (200, cap))
                self.check_content(cap, content(size))

    def test_form(self) -> None:
        cap = self.make(b"before")
        url = f"{self.url}uri/{cap}?t=upload"
        reply = ask("--form", "file=@-", url, data=b"after")
        self.assertEqual((reply.status, reply.text), (200, cap))
        self.check_content(cap, b"after")

    def test_offset(self) -> None:
        for format in FORMATS:
            data = bytearray(content(SEGMENT + 10))
            cap = self.make(bytes(data), format)
            for offset, size in ((0, 1), (SEGMENT - 3, 10), (SEGMENT + 10, 20)):
                piece = content(size)
                reply = self.put(f"uri/{cap}?offset={offset}", piece)
                self.assertEqual((reply.status, reply.text), (200, cap))
                data[offset : offset + size] = piece
                self.check_content(cap, bytes(data))

    def test_bad_offsets(self) -> None:
        cap = self.make(b"text")
        for offset in ("5", "-1", "x", "", "1" * 30):
            reply = self.put(f"uri/{cap}?offset={offset}", b"more")
            self.assertEqual(reply.status, 400, offset)
        self.check_content(cap, b"text")

    def test_read_only(self) -> None:
        cap = write_cap_in(self.make(b"text"))
        for query in ("", "?offset=0"):
            reply = self.put(f"uri/{cap.read_cap()}{query}", b"other")
            self.check_error(reply, 403, "cannot change")
        self.check_content(cap, b"text")

    def test_conditions(self) -> None:
        cap = self.make(b"one")
        tag = self.get(cap).headers["etag"]
        fails = self.put(f"uri/{cap}", b"new", "--header", "If-None-Match: *")
        self.assertEqual(fails.status, 412)
        self.assertEqual(
            self.put(f"uri/{cap}", b"two", "--header", f"If-Match: {tag}").status, 200
        )
        late = self.put(f"uri/{cap}", b"three", "--header", f"If-Match: {tag}")
        self.assertEqual(late.status, 412)
        self.check_content(cap, b"two")

    def test_lost(self) -> None:
        cap = MutableWriteCap("SSK", b"w" * 16, b"f" * 32)
        self.check_error(self.put(f"uri/{cap}", b"text"), 410, "UnrecoverableFileError")

    def test_many_at_once(self) -> None:
        """Of writers of one gateway each gets through, and one of them was last."""
        cap, texts = self.make(b"first"), [b"text %d" % number for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda text: self.put(f"uri/{cap}", text), texts))
        self.assertEqual({reply.status for reply in replies}, {200})
        self.assertIn(self.get(cap).body, texts)
