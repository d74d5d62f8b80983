"""The web API for files: curl and raw sockets against one real node."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import random
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import (
    Reply,
    SharedNode,
    Wire,
    ask,
    eventually,
    opened,
)
from truckee.codec.caps import ChkReadCap, parse_cap

MIB = 1 << 20
MAX_SIZE = 80 * MIB  # [client] upload.max-size of the node

# Where something changes: literal caps at 55, 2-of-3 segments at 1 MiB.
SIZES = (0, 1, 54, 55, 56, 57, 4095, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 3)

ABSENT = f"URI:CHK:{'a' * 26}:{'a' * 52}:2:3:1000"
DIRECTORY = f"URI:DIR2:{'a' * 26}:{'a' * 52}"
VERIFIER = f"URI:SSK-Verifier:{'a' * 26}:{'a' * 52}"


room = SharedNode(happy=2, config=f"\n[client]\nupload.max-size = {MAX_SIZE}\n")


# From a table of ours: machines without /etc/mime.types know few of them.
FILMS = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mkv": "video/matroska",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "mov": "video/quicktime",
    "ogv": "video/ogg",
    "MP3": "audio/mpeg",
    "m4a": "audio/mp4",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
}


def tearDownModule() -> None:
    """End the node."""
    room.close()


def content(size: int) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size).randbytes(size)


def base32(data: bytes) -> str:
    """Return *data* as caps spell it."""
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url

    def put(self, data: bytes, query: str = "", *options: str) -> str:
        """Store *data* with an announced length; return the cap."""
        options = ("--request", "PUT", "--data-binary", "@-", *options)
        reply = ask(*options, f"{self.url}uri{query}", data=data)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.text

    def get(self, path: str, *options: str) -> Reply:
        """Return what is at *path*, which begins without a slash."""
        reply = ask(*options, self.url + path)
        self.check_headers(reply)
        return reply

    def check_headers(self, reply: Reply) -> None:
        """Every answer forbids frames, but a file those of our own pages, and Referers."""
        file = reply.headers.get("accept-ranges") == "bytes" and reply.status < 300
        known = reply.status == 304
        frames = "SAMEORIGIN" if file or known else "DENY"
        self.assertEqual(reply.headers["x-frame-options"], frames)
        self.assertEqual(reply.headers["referrer-policy"], "no-referrer")

    def check_error(self, reply: Reply, status: int, text: str = "") -> None:
        """An error is one sentence of plain text, without HTML or a traceback."""
        self.assertEqual(reply.status, status, reply.body)
        self.check_headers(reply)
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
        said = reply.body.decode("utf-8")
        self.assertIn(text, said)
        self.assertGreater(len(said), 10)
        self.assertNotIn("<html", said.lower())
        self.assertNotIn("Traceback", said)
        self.assertNotIn("truckee.", said)
        self.assertNotIn("{", said)
        self.assertEqual(said.count("\n"), 1)

    def check_nothing_left(self, shares: int) -> None:
        """Check that an upload that broke off is gone, soon."""
        eventually(lambda: not self.grid.incoming())
        self.assertEqual(len(self.grid.shares()), shares)


class RoundTripTests(_Case):
    def test_announced(self) -> None:
        """A PUT of any size gives a cap, bare; the cap gives the same bytes."""
        for size in SIZES:
            data = content(size)
            reply = ask(
                "--request", "PUT", "--data-binary", "@-", f"{self.url}uri", data=data
            )
            self.assertEqual(reply.status, 200)
            self.check_headers(reply)
            cap = parse_cap(reply.text)
            self.assertEqual(reply.text, str(cap))
            self.assertEqual(reply.text.startswith("URI:LIT:"), size <= 55)
            got = self.get(f"uri/{reply.text}")
            self.assertEqual((got.status, got.body), (200, data))
            self.assertEqual(got.headers["content-length"], str(size))

    def test_chunked(self) -> None:
        """A body of unknown length does the same."""
        for size in SIZES:
            data = content(size)
            reply = ask("-T", "-", f"{self.url}uri", data=data)
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.text.startswith("URI:LIT:"), size <= 55)
            self.assertEqual(self.get(f"uri/{reply.text}").body, data)

    def test_chunks_of_any_size(self) -> None:
        """Chunks of one byte and chunks across segments are one body."""
        data = content(MIB + 100)
        with Wire(self.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            cuts = [*range(60), 1000, MIB - 1, len(data)]
            for start, end in itertools.pairwise(cuts):
                wire.chunk(data[start:end])
            wire.chunk(b"")
            reply = wire.reply()
        self.assertEqual(self.get(f"uri/{reply.text}").body, data)

    def test_form(self) -> None:
        """A form with the file in the field "file" does the same, with or without t=."""
        for size in SIZES:
            data = content(size)
            for query in ("", "?t=upload"):
                reply = ask("--form", "file=@-", f"{self.url}uri{query}", data=data)
                self.assertEqual(reply.status, 200, reply.body)
                self.assertEqual(self.get(f"uri/{reply.text}").body, data)

    def test_many_on_one_connection(self) -> None:
        """Uploads and downloads follow each other on one connection."""
        with Wire(self.url) as wire:
            for size in (0, 10, 100, 2 * MIB, 100):
                data = content(size)
                wire.request("PUT /uri", f"Content-Length: {size}")
                wire.send(data)
                cap = wire.reply().text
                wire.request(f"GET /uri/{cap}")
                self.assertEqual(wire.reply().body, data)

    def test_query_of_the_client(self) -> None:
        """Arguments of other versions that change nothing here are left alone."""
        data = content(100)
        cap = self.put(data, "?format=CHK&mutable=false&replace=true")
        self.assertEqual(self.get(f"uri/{cap}").body, data)


class ReadingTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.data = content(2 * MIB + 1000)
        self.cap = self.put(self.data, f"?key={'7' * 32}")

    def test_addresses(self) -> None:
        """/uri and /cap, /file and /named are the same; raw and quoted caps are too."""
        quoted = quote(self.cap, safe="")
        for path in (
            f"uri/{self.cap}",
            f"uri/{quoted}",
            f"cap/{quoted}",
            f"file/{quoted}",
            f"named/{quoted}",
            f"file/{quoted}/@@named=/some.txt",
            f"named/{quoted}/some.txt",
        ):
            got = self.get(path)
            self.assertEqual(got.status, 200, path)
            self.assertTrue(got.body == self.data, path)

    def test_go_to_a_cap(self) -> None:
        """GET /uri?uri=CAP leads to the file and keeps the other arguments."""
        quoted = quote(self.cap, safe="")
        got = self.get(f"uri?uri={quoted}&save=true&filename=a%26b")
        self.assertEqual(got.status, 302)
        self.assertEqual(got.headers["location"], f"/uri/{quoted}?save=true&filename=a%26b")
        self.check_error(self.get("uri"), 400, "uri=")
        self.check_error(self.get("uri?uri=nonsense"), 400)

    def test_content_type(self) -> None:
        """The name after the cap or filename= gives the type; else it is plain text."""
        for path, kind in (
            (f"uri/{self.cap}", "text/plain"),
            (f"file/{self.cap}/@@named=/a.html", "text/html"),
            (f"named/{self.cap}/a.png", "image/png"),
            (f"uri/{self.cap}?filename=a.jpg", "image/jpeg"),
            (f"named/{self.cap}/a.png?filename=a.jpg", "image/jpeg"),
            (f"named/{self.cap}/a.tar.gz", "application/gzip"),
            *((f"named/{self.cap}/a.{end}", kind) for end, kind in FILMS.items()),
        ):
            got = self.get(path, "--head")
            self.assertEqual(got.headers["content-type"], kind)
            self.assertNotIn("content-encoding", got.headers)

    def test_save(self) -> None:
        """save=true has browsers keep the file under its name, whatever is in the name."""
        got = self.get(f"uri/{self.cap}?save=true&filename=a.txt", "--head")
        said = got.headers["content-disposition"]
        self.assertTrue(said.startswith('attachment; filename="a.txt"'))
        got = self.get(f"named/{self.cap}/b.txt?save=1", "--head")
        self.assertIn('filename="b.txt"', got.headers["content-disposition"])
        got = self.get(f"uri/{self.cap}?save=t", "--head")
        self.assertEqual(got.headers["content-disposition"], "attachment")
        self.assertNotIn(
            "content-disposition", self.get(f"uri/{self.cap}", "--head").headers
        )
        evil = quote('ü"\r\nSet-Cookie: a=b', safe="")
        for path in (f"uri/{self.cap}?filename={evil}&", f"named/{self.cap}/{evil}?"):
            got = self.get(f"{path}save=on", "--head")
            self.assertNotIn("set-cookie", got.headers)
            self.assertNotIn('""', got.headers["content-disposition"])
        self.check_error(self.get(f"uri/{self.cap}?save=perhaps"), 400, "save")

    def test_head(self) -> None:
        """HEAD gives the head of GET and no body, for literal files as well."""
        for data in (b"", b"abc", self.data):
            cap = self.put(data)
            with Wire(self.url) as wire:
                wire.request(f"HEAD /uri/{cap}")
                status, head = wire.head()
                self.assertEqual((status, head["content-length"]), (200, str(len(data))))
                self.assertEqual(head["accept-ranges"], "bytes")
                wire.request(f"GET /uri/{cap}")
                got = wire.reply()
            self.assertEqual(got.body, data)
            for name in ("content-type", "content-length", "accept-ranges"):
                self.assertEqual(got.headers[name], head[name])

    def test_head_asks_no_server(self) -> None:
        """HEAD of a file without shares is answered, as its cap has all that is needed."""
        got = self.get(f"uri/{ABSENT}", "--head")
        self.assertEqual((got.status, got.headers["content-length"]), (200, "1000"))

    def test_etag(self) -> None:
        """A stored file has a quoted ETag, which begins with its storage index."""
        cap = parse_cap(self.cap)
        assert isinstance(cap, ChkReadCap)
        got = self.get(f"uri/{self.cap}", "--head")
        index = base32(cap.storage_index)
        self.assertRegex(got.headers["etag"], f'^"{index}-[a-z2-7]{{26}}"$')

    def test_not_modified(self) -> None:
        """A client that has the file already is told so, range or not: 304, no body."""
        tag = self.get(f"uri/{self.cap}", "--head").headers["etag"]
        bare = tag.strip('"')
        for known in (tag, bare, f"W/{tag}", f'"x", {tag}', f"x {bare}", "*"):
            with Wire(self.url) as wire:
                for more in ([], ["Range: bytes=0-9"]):
                    wire.request(f"GET /uri/{self.cap}", f"If-None-Match: {known}", *more)
                    status, head = wire.head()
                    self.assertEqual((status, head["etag"]), (304, tag), known)
                wire.request("GET /uri/URI:LIT:mfrgg", f"If-None-Match: {known}")
                reply = wire.reply()
                self.assertEqual(reply.body, b"" if known == "*" else b"abc")
        for unknown in ('"x"', f'"{bare}x"', ""):
            got = self.get(f"uri/{self.cap}", "--header", f"If-None-Match: {unknown}")
            self.assertEqual((got.status, got.body == self.data), (200, True))

    def test_json(self) -> None:
        """t=json tells kind, size and caps."""
        kind, facts = json.loads(self.get(f"uri/{self.cap}?t=json").body)
        self.assertEqual(kind, "filenode")
        cap = parse_cap(self.cap)
        assert isinstance(cap, ChkReadCap)
        self.assertEqual(
            facts,
            {
                "mutable": False,
                "format": "CHK",
                "size": len(self.data),
                "ro_uri": self.cap,
                "verify_uri": str(cap.verify_cap()),
            },
        )
        kind, facts = json.loads(self.get("uri/URI:LIT:mfrgg?t=json").body)
        self.assertEqual(kind, "filenode")
        self.assertEqual(
            facts,
            {"mutable": False, "format": "CHK", "size": 3, "ro_uri": "URI:LIT:mfrgg"},
        )

    def test_caps_of_a_cap(self) -> None:
        """t=uri and t=readonly-uri give the cap; another t= is an error."""
        for kind in ("uri", "readonly-uri"):
            for path in ("uri", "named"):
                got = self.get(f"{path}/{self.cap}?t={kind}")
                self.assertEqual((got.status, got.text), (200, self.cap))
        self.check_error(self.get(f"uri/{self.cap}?t=nonsense"), 400, "t=")

    def test_range(self) -> None:
        """A single range is honoured, clipped at the end, and refused beyond it."""
        size = len(self.data)
        for asked, start, end in (
            ("0-9", 0, 10),
            ("0-0", 0, 1),
            (f"{MIB - 5}-{MIB + 5}", MIB - 5, MIB + 6),
            (f"{MIB}-", MIB, size),
            ("-10", size - 10, size),
            (f"-{size + 99}", 0, size),
            (f"{size - 10}-{size + 99}", size - 10, size),
            (f"{size - 1}-", size - 1, size),
        ):
            got = self.get(f"uri/{self.cap}", "--range", asked)
            self.assertEqual(got.status, 206, asked)
            self.assertTrue(got.body == self.data[start:end], asked)
            self.assertEqual(
                got.headers["content-range"], f"bytes {start}-{end - 1}/{size}"
            )
            self.assertEqual(got.headers["content-length"], str(end - start))
            head = self.get(f"uri/{self.cap}", "--range", asked, "--head")
            self.assertEqual(head.status, 200)
            self.assertEqual(head.headers["content-length"], str(size))

    def test_range_beyond_the_end(self) -> None:
        """A range without a byte of the file is refused with the file's size: 416."""
        size = len(self.data)
        for asked in (f"{size}-", f"{size}-{size + 1}", "99999999999-", "-0"):
            got = self.get(f"uri/{self.cap}", "--range", asked)
            self.check_error(got, 416, str(size))
            self.assertEqual(got.headers["content-range"], f"bytes */{size}")

    def test_range_of_nothing(self) -> None:
        """An empty file has no byte to begin at; its end, however long, is all of it."""
        self.assertEqual(self.get("uri/URI:LIT:").status, 200)
        for asked in ("0-", "0-5", "-0"):
            self.check_error(self.get("uri/URI:LIT:", "--range", asked), 416)
        for asked in ("-3", "0-,-3"):
            got = self.get("uri/URI:LIT:", "--range", asked)
            self.assertEqual((got.status, got.body), (200, b""))

    def test_range_of_a_literal(self) -> None:
        """Ranges work for literal files too."""
        got = self.get("uri/URI:LIT:mfrgg", "--range", "1-1")
        self.assertEqual((got.status, got.body), (206, b"b"))

    def test_range_nobody_understands(self) -> None:
        """Another unit and nonsense give the whole file."""
        cap = self.put(b"0123456789")
        for asked in ("bytes=5-4", "bytes=abc", "items=0-1", "bytes=0-1,4", "bytes=-"):
            got = self.get(f"uri/{cap}", "--header", f"Range: {asked}")
            self.assertEqual((got.status, got.body), (200, b"0123456789"), asked)

    def test_main_page(self) -> None:
        """The page at / is HTML with forms for uploads and downloads."""
        got = ask(self.url)
        self.assertEqual(got.status, 200)
        self.assertEqual(got.headers["x-frame-options"], "DENY")
        self.assertIn(got.headers["referrer-policy"], ("no-referrer", "same-origin"))
        self.assertIn("text/html", got.headers["content-type"])
        self.assertIn(b"multipart/form-data", got.body)


class KeyTests(_Case):
    def test_random(self) -> None:
        """Without a key, and with key=random, each upload has a key of its own."""
        data = content(1000)
        caps = [self.put(data, query) for query in ("", "", "?key=random", "?key=")]
        self.assertEqual(len(set(caps)), len(caps))

    def test_convergent(self) -> None:
        """With key=CHK the same content has the same cap, however it comes."""
        for size in (56, 1000, MIB, 2 * MIB + 5):
            data = content(size)
            first = self.put(data, "?key=CHK")
            before = len(self.grid.shares())
            others = {
                self.put(data, "?key=chk"),
                ask("-T", "-", f"{self.url}uri?key=CHK", data=data).text,
                ask("--form", "file=@-", f"{self.url}uri?key=CHK", data=data).text,
                ask(
                    "--form", "key=CHK", "--form", "file=@-", f"{self.url}uri", data=data
                ).text,
            }
            self.assertEqual(others, {first})
            self.assertEqual(len(self.grid.shares()), before)
            self.assertEqual(self.get(f"uri/{first}").body, data)

    def test_given(self) -> None:
        """A client's own key, as 32 hex digits or 26 base32 characters, is the cap's."""
        key = hashlib.sha256(b"test_given").digest()[:16]
        data = content(2 * MIB + 9)
        for text in (key.hex(), key.hex().upper(), base32(key)):
            cap = self.put(data, f"?key={text}")
            self.assertTrue(cap.startswith(f"URI:CHK:{base32(key)}:"), cap)
        self.assertEqual(self.get(f"uri/{cap}").body, data)

    def test_given_for_a_short_file(self) -> None:
        """A short file is its own cap, whatever key is given."""
        self.assertEqual(self.put(b"abc", f"?key={'0' * 32}"), "URI:LIT:mfrgg")

    def test_used_twice(self) -> None:
        """A key that has another content already is refused: 409; the first file stays."""
        key = hashlib.sha256(b"test_used_twice").hexdigest()[:32]
        data = content(MIB + 1)
        cap = self.put(data, f"?key={key}")
        before = len(self.grid.shares())
        other = data[:-1] + bytes([data[-1] ^ 1])
        self.check_error(ask("-T", "-", f"{self.url}uri?key={key}", data=other), 409)
        self.check_nothing_left(before)
        self.assertEqual(self.get(f"uri/{cap}").body, data)

    def test_wrong(self) -> None:
        """Any other key is refused before the body: 400."""
        for key in ("x", "0" * 31, "0" * 33, "g" * 32, "a" * 25 + "b", "A" * 26, "1" * 26):
            with Wire(self.url) as wire:
                wire.request(
                    f"PUT /uri?key={key}", "Content-Length: 1000", "Expect: 100-continue"
                )
                status, head = wire.head()
                self.assertEqual(status, 400, key)
                body = wire.read(int(head["content-length"]))
                self.check_error(Reply(status, head, body), 400, "key=")
                self.assertNotIn(key.encode(), body if len(key) > 1 else b"")


def part(name: str, data: bytes, more: str = "") -> bytes:
    """Return one part of a form whose boundary is b."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + data + b"\r\n"


FORM = "Content-Type: multipart/form-data; boundary=b"
END = b"--b--\r\n"


class SizeLimitTests(_Case):
    """size-limit=, how large a file of unknown length may become."""

    def test_passed(self) -> None:
        """A file that grows past it is refused, and nothing is left of it."""
        before = len(self.grid.shares())
        for limit, size in (("0", 1), ("1k", 1001), ("2Mi", 2 * MIB + 1)):
            for key in ("random", "CHK"):
                url = f"{self.url}uri?key={key}&size-limit={limit}"
                reply = ask("-T", "-", url, data=content(size))
                self.check_error(reply, 413, f"{size - 1} bytes")
                self.check_nothing_left(before)

    def test_kept(self) -> None:
        """Up to it the file is stored; more than the gateway takes is as if nothing."""
        for limit, size in (("0", 0), ("1k", 1000), ("2Mi", 2 * MIB), ("1E", 2 * MIB)):
            data = content(size)
            reply = ask("-T", "-", f"{self.url}uri?size-limit={limit}", data=data)
            self.assertEqual(self.get(f"uri/{reply.text}").body, data)

    def test_announced(self) -> None:
        """A PUT with a Content-Length has said how large it is."""
        data = content(1000)
        cap = self.put(data, "?size-limit=10")
        self.assertEqual(self.get(f"uri/{cap}").body, data)

    def test_wrong(self) -> None:
        """What is no size is refused before the body: 400."""
        for limit in ("", "x", "-1", "1.5G", "1Z"):
            for method in ("PUT", "POST"):
                with Wire(self.url) as wire:
                    wire.request(
                        f"{method} /uri?size-limit={limit}",
                        "Content-Length: 500000",
                        FORM,
                        "Expect: 100-continue",
                    )
                    self.check_error(wire.reply(), 400, "size-limit=")


class FormTests(_Case):
    def post(self, form: bytes, query: str = "", *headers: str, cut: int = 0) -> Reply:
        """Post a form, in two pieces cut at *cut* if it is given."""
        with Wire(self.url) as wire:
            wire.request(
                f"POST /uri{query}", f"Content-Length: {len(form)}", *(headers or (FORM,))
            )
            wire.send(form[:cut])
            if cut:
                time.sleep(0.01)
            wire.send(form[cut:])
            return wire.reply()

    def test_fields_around_the_file(self) -> None:
        """Fields before the file and after it count; the query counts more."""
        data = content(MIB)
        file = part("file", data, '; filename="a"')
        done = part("when_done", b"/done?%(uri)s")
        for form, query in (
            (done + file + END, ""),
            (file + done + END, ""),
            (part("when_done", b"/x") + file + END, "?when_done=/done%3F%25(uri)s"),
        ):
            reply = self.post(form, query)
            self.assertEqual(reply.status, 302, reply.body)
            self.assertEqual(
                reply.headers["location"], f"/done?{quote(reply.text, safe='')}"
            )
            self.assertEqual(self.get(f"uri/{reply.text}").body, data)

    def test_key_in_the_form(self) -> None:
        """key= counts before the file; behind it, it comes too late and is refused."""
        data = content(5000)
        key = hashlib.sha256(b"test_key_in_the_form").digest()[:16]
        file, field = part("file", data), part("key", key.hex().encode())
        reply = self.post(field + file + END)
        self.assertTrue(reply.text.startswith(f"URI:CHK:{base32(key)}:"))
        before = len(self.grid.shares())
        for field in (part("key", b"CHK"), part("size-limit", b"1M")):
            self.check_error(self.post(file + field + END), 400, "before the file")
        self.check_nothing_left(before)

    def test_size_limit(self) -> None:
        """size-limit= counts before the file; the query counts more."""
        file, field = part("file", content(5000)), part("size-limit", b"4999")
        before = len(self.grid.shares())
        self.check_error(self.post(field + file + END), 413, "4999")
        self.check_error(self.post(file + END, "?size-limit=4999"), 413, "4999")
        self.check_error(
            self.post(part("size-limit", b"x") + file + END), 400, "size-limit"
        )
        self.check_nothing_left(before)
        reply = self.post(field + file + END, "?size-limit=5k")
        self.assertEqual(self.get(f"uri/{reply.text}").body, content(5000))

    def test_any_pieces(self) -> None:
        """Wherever the network cuts a form, it is the same form."""
        data = b"\r\n--a\r" + content(300) + b"\r\n--"
        form = part("t", b"upload") + part("file", data) + part("other", b"x") + END
        caps = set()
        for cut in range(1, len(form), 17):
            reply = self.post(form, "?key=CHK", cut=cut)
            self.assertEqual(reply.status, 200, reply.body)
            caps.add(reply.text)
        (cap,) = caps
        self.assertEqual(self.get(f"uri/{cap}").body, data)

    def test_chunked_form(self) -> None:
        """A form may be chunked."""
        form = part("file", content(100_000)) + END
        with Wire(self.url) as wire:
            wire.request("POST /uri", "Transfer-Encoding: chunked", FORM)
            for start in range(0, len(form), 999):
                wire.chunk(form[start : start + 999])
            wire.chunk(b"")
            reply = wire.reply()
        self.assertEqual(self.get(f"uri/{reply.text}").body, content(100_000))

    def test_no_file(self) -> None:
        """A form without the field "file" is refused, with what to do."""
        for form in (END, part("t", b"upload") + END, part("File", b"x") + END):
            self.check_error(self.post(form), 400, '"file"')

    def test_broken(self) -> None:
        """A form that breaks off, or is none, is refused and leaves nothing."""
        before = len(self.grid.shares())
        data = content(MIB + 1)
        for form in (
            part("file", data),
            part("file", data)[:-2],
            part("file", data) + b"--b\r\nContent-Dispo",
            b"nonsense",
            b"--b\r\nno header\r\n\r\n\r\n" + END,
            b"",
        ):
            self.check_error(self.post(form), 400)
        self.check_nothing_left(before)

    def test_other_types(self) -> None:
        """A POST whose body is no form with a boundary is refused before the body."""
        form = part("file", b"x") + END
        for kind in (
            "X-Nothing: 1",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Type: multipart/form-data",
            "Content-Type: multipart/mixed; boundary=b",
            "Content-Type: \xff",
        ):
            self.check_error(self.post(form, "", kind), 400)

    def test_huge_fields(self) -> None:
        """Fields larger than 64 KiB together, or many, are refused; memory stays."""
        file = part("file", b"x")
        for form in (
            part("a", bytes(65537)) + file + END,
            part("a", bytes(40_000)) + part("b", bytes(40_000)) + file + END,
            file + part("a", bytes(70_000)) + END,
            part("a", b"") * 100 + file + END,
            part("a" * 10_000, b"") + file + END,
        ):
            reply = self.post(form)
            self.assertEqual(reply.status, 400, reply.body)
        before = self.grid.memory()[0]
        with Wire(self.url) as wire:
            wire.request("POST /uri", f"Content-Length: {70 * MIB}", FORM)
            wire.send(part("a", b"")[:-2])
            with contextlib.suppress(ConnectionError):
                for _ in range(60):
                    wire.send(bytes(MIB))
            self.assertEqual(wire.reply().status, 400)
        self.assertLess(self.grid.memory()[0] - before, 8 * MIB)

    def test_when_done(self) -> None:
        """when_done= cannot bring a header of its own."""
        for target in (b"/a\r\nSet-Cookie: a=b", b"/a\nb", b"/a\x00"):
            reply = self.post(part("when_done", target) + part("file", b"x") + END)
            self.check_error(reply, 400, "when_done")

    def test_other_sites(self) -> None:
        """A form that a page of another site sends is refused before its body: 403."""
        form = part("file", b"x") + END
        for origin in (
            "http://evil.example",
            "https://127.0.0.1.evil.example",
            "null",
            "http://[",
        ):
            with Wire(self.url) as wire:
                wire.request(
                    "POST /uri",
                    f"Content-Length: {len(form)}",
                    FORM,
                    f"Origin: {origin}",
                    "Expect: 100-continue",
                )
                status, head = wire.head()
                body = wire.read(int(head["content-length"]))
                self.check_error(Reply(status, head, body), 403)
        reply = self.post(form, "", FORM, "Origin: http://127.0.0.1")
        self.assertEqual(reply.status, 200, reply.body)


class ErrorTests(_Case):
    def test_unusable_caps(self) -> None:
        """A cap that is malformed, unknown or of another kind of object gives 400."""
        for cap in (
            "nonsense",
            "URI:CHK:",
            ABSENT[:-4] + "x",
            ABSENT.replace(":2:3:", ":3:2:"),
            ABSENT.replace(":2:3:", ":0:3:"),
            ABSENT.replace(":1000", ":0"),
            ABSENT.replace(":1000", ":" + "9" * 400),
            ABSENT + ":1",
            "URI:LIT:1",
            "URI:NEW:abc",
            DIRECTORY.replace("DIR2", "DIR2-Verifier"),
            DIRECTORY.replace(":DIR2:", ":DIR2:x"),
            VERIFIER,
            "%FF%FE",
            "%00",
        ):
            for place in ("uri", "file", "named"):
                for method in ("GET", "HEAD"):
                    with Wire(self.url) as wire:
                        wire.request(f"{method} /{place}/{cap}", "Connection: close")
                        status, head = wire.head()
                        body = wire.read(9999)
                    self.assertEqual(status, 400, cap)
                    if method == "GET":
                        self.check_error(Reply(status, head, body), 400)
                        self.assertNotIn(b"a" * 26, body)

    def test_no_shares(self) -> None:
        """A file of which there are too few shares is gone: 410."""
        for path in (f"uri/{ABSENT}", f"named/{ABSENT}/x", f"file/{ABSENT}?save=true"):
            reply = self.get(path)
            self.check_error(reply, 410, "shares")
            for name in ("content-range", "content-disposition", "etag"):
                self.assertNotIn(name, reply.headers)
        self.check_error(self.get(f"uri/{ABSENT}", "--range", "0-5"), 410)

    def test_too_few_shares(self) -> None:
        """The same once shares were lost after the upload."""
        cap = self.put(content(100_000))
        parsed = parse_cap(cap)
        assert isinstance(parsed, ChkReadCap)
        shares = [
            path
            for path in self.grid.shares()
            if path.parent.name == base32(parsed.storage_index)
        ]
        self.assertEqual(len(shares), 3)
        shares[0].unlink()
        self.assertEqual(self.get(f"uri/{cap}").body, content(100_000))
        shares[1].unlink()
        self.check_error(self.get(f"uri/{cap}"), 410, "1 good shares")
        shutil.rmtree(shares[2].parent)

    def test_methods(self) -> None:
        """Another method gives 405 and names all that would do, with a body or without."""
        for path, allowed in (
            ("uri", {"GET", "HEAD", "PUT", "POST"}),
            (f"uri/{ABSENT}", {"GET", "HEAD", "POST"}),
            ("uri/URI:LIT:mfrgg", {"GET", "HEAD", "POST"}),
            (f"named/{ABSENT}/x", {"GET", "HEAD"}),
            ("", {"GET", "HEAD"}),
        ):
            for method in ("DELETE", "PATCH", "NONSENSE", "PUT", "POST"):
                if method in allowed:
                    continue
                for more in ([], ["--data-binary", "body"]):
                    reply = ask("--request", method, *more, self.url + path)
                    self.check_error(reply, 405, method)
                    self.assertEqual(set(reply.headers["allow"].split(", ")), allowed, path)

    def test_nothing_there(self) -> None:
        """An address that does not exist gives 404, whatever the method."""
        for path in (
            "x",
            "status/x",
            "x/y/z",
            "favicon.ico",
            "file",
        ):
            for method in ("GET", "PUT", "POST", "DELETE"):
                reply = ask("--request", method, self.url + path)
                if (path, method) != ("file", "PUT") or reply.status != 405:
                    self.assertIn(reply.status, (404, 405), path)
                if method == "GET":
                    self.check_error(reply, 404)

    def test_arguments(self) -> None:
        """An argument that asks for what cannot be done is refused before the body."""
        for query in (
            "t=mkdir&format=CHK",
            "t=x",
            "format=X",
            "format=SDMF&private-key=x",
            "mutable=x",
            "%FF=1",
        ):
            for method in ("PUT", "POST"):
                with Wire(self.url) as wire:
                    wire.request(
                        f"{method} /uri?{query}",
                        "Content-Length: 500000",
                        FORM,
                        "Expect: 100-continue",
                    )
                    status, head = wire.head()
                    body = wire.read(int(head["content-length"]))
                self.check_error(Reply(status, head, body), 400)

    def test_too_large(self) -> None:
        """An announced body above the limit is refused, with no 100 Continue: 413."""
        for more in (["Expect: 100-continue"], []):
            with Wire(self.url) as wire:
                wire.request("PUT /uri", f"Content-Length: {MAX_SIZE + 1}", *more)
                status, head = wire.head()
                body = wire.read(int(head["content-length"]))
                self.check_error(Reply(status, head, body), 413, str(MAX_SIZE))
                self.assertEqual(head["connection"], "close")

    def test_form_too_large(self) -> None:
        """A form that must hold a file above the limit is refused before its body: 413."""
        with Wire(self.url) as wire:
            wire.request(
                "POST /uri?t=upload",
                f"Content-Length: {MAX_SIZE + MIB}",
                "Content-Type: multipart/form-data; boundary=b",
                "Expect: 100-continue",
            )
            self.check_error(wire.reply(), 413, str(MAX_SIZE))

    def test_too_large_in_the_middle(self) -> None:
        """A body of unknown length is refused where it passes the limit: 413."""
        before = len(self.grid.shares())
        with Wire(self.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            piece = bytes(MIB)
            for _ in range(MAX_SIZE // MIB):
                wire.chunk(piece)
            self.assertTrue(wire.silent(0.2))
            with contextlib.suppress(ConnectionError):
                wire.chunk(piece)
            self.check_error(wire.reply(), 413, str(MAX_SIZE))
        self.check_nothing_left(before)

    def test_largest(self) -> None:
        """A body of exactly the limit is stored."""
        data = bytes(MAX_SIZE)
        cap = self.put(data)
        self.assertTrue(self.get(f"uri/{cap}").body == data)

    def test_not_http(self) -> None:
        """What is no request is answered with 400 and the end of the connection."""
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n"):
            with Wire(self.url) as wire:
                wire.send(junk)
                status, head = wire.head()
                body = wire.read(int(head["content-length"]))
                self.check_error(Reply(status, head, body), 400)

    def test_log(self) -> None:
        """After all that, the log has no traceback and no cap."""
        self.get(f"uri/{ABSENT}")
        self.put(content(1000))
        log = self.grid.log()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("URI:CHK", log)
        self.assertNotIn("URI:LIT", log)


class LeavingTests(_Case):
    """Clients that are slow, and clients that go away."""

    def reset(self, wire: Wire) -> None:
        """Have the connection break, as a crash of the client does."""
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()

    def uploads(self) -> Iterator[tuple[str, str, bool]]:
        """Give targets, headers, and whether the body is chunked."""
        for target in ("PUT /uri", "PUT /uri?key=CHK"):
            yield target, f"Content-Length: {32 * MIB}", False
            yield target, "Transfer-Encoding: chunked", True

    def open_spools(self) -> list[str]:
        """Return the files without a name that the node has open."""
        tmp = str(self.grid.directory / "tmp")
        names = [name for _, name in opened(self.grid.process.pid)]
        return [name for name in names if name.startswith(tmp)]

    def test_gone_in_an_upload(self) -> None:
        """Soon after the client is gone nothing of its upload is left."""
        before = len(self.grid.shares())
        for reset in (True, False):
            for target, header, chunked in self.uploads():
                with Wire(self.url) as wire:
                    wire.request(target, header)
                    send = wire.chunk if chunked else wire.send
                    send(content(5 * MIB))
                    eventually(self.open_spools if "key" in target else self.grid.incoming)
                    if reset:
                        self.reset(wire)
                self.check_nothing_left(before)
                eventually(lambda: not self.open_spools())

    def test_gone_in_a_form(self) -> None:
        """The same for a form, and for one whose file is complete."""
        before = len(self.grid.shares())
        for form in (part("file", content(5 * MIB))[:-2], part("file", content(5 * MIB))):
            with Wire(self.url) as wire:
                wire.request("POST /uri", f"Content-Length: {len(form) + 100}", FORM)
                wire.send(form)
                eventually(self.grid.incoming)
            self.check_nothing_left(before)

    def test_gone_while_paused(self) -> None:
        """The same while the node does not read from the client."""
        before = len(self.grid.shares())
        with contextlib.ExitStack() as cleanup:
            # So many that all of them wait for memory or disk.
            wires = [cleanup.enter_context(Wire(self.url)) for _ in range(8)]
            for wire in wires:
                wire.request("PUT /uri", f"Content-Length: {64 * MIB}")
                wire.socket.setblocking(False)
            deadline = time.monotonic() + 0.3
            data = content(MIB)
            while time.monotonic() < deadline:
                for wire in wires:
                    with contextlib.suppress(BlockingIOError):
                        wire.socket.send(data)
            self.assertTrue(self.grid.incoming())
        self.check_nothing_left(before)

    def test_slow_reader(self) -> None:
        """A client that reads a large file slowly does not make the node's memory grow."""
        data = bytes(64 * MIB)
        cap = self.put(data)
        self.get(f"uri/{cap}")
        before = self.grid.memory()[0]
        with contextlib.ExitStack() as cleanup:
            wires = [
                cleanup.enter_context(Wire(self.url, receive_buffer=65536))
                for _ in range(4)
            ]
            for wire in wires:
                wire.request(f"GET /uri/{cap}")
                self.assertEqual(wire.head()[0], 200)
            highest = 0
            for _ in range(30):
                for wire in wires:
                    self.assertEqual(len(wire.read(30_000)), 30_000)
                time.sleep(0.03)
                highest = max(highest, self.grid.memory()[0] - before)
        # Each holds a few segments and what is on its way to the socket.
        self.assertLess(highest, 4 * 8 * MIB)

    def test_gone_in_a_download(self) -> None:
        """A reader that goes away disturbs nobody, and leaves no open share behind."""
        data = content(16 * MIB)
        cap = self.put(data)
        before = len(opened(self.grid.process.pid))
        for reset in (True, False) * 5:
            with Wire(self.url, receive_buffer=65536) as wire:
                wire.request(f"GET /uri/{cap}")
                wire.read(100_000)
                if reset:
                    self.reset(wire)
        self.assertTrue(self.get(f"uri/{cap}").body == data)
        eventually(lambda: len(opened(self.grid.process.pid)) <= before)
        self.assertNotIn("Traceback", self.grid.log())

    def test_slow_writer(self) -> None:
        """A body that comes byte by byte is stored as any other."""
        data = content(200)
        with Wire(self.url) as wire:
            wire.request("PUT /uri", "Content-Length: 200")
            for byte in data:
                wire.send(bytes([byte]))
                time.sleep(0.001)
            self.assertEqual(self.get(f"uri/{wire.reply().text}").body, data)

    def test_hundred_continue(self) -> None:
        """A client that asks first is told to go on once its file has a place."""
        data = content(3 * MIB)
        with Wire(self.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {len(data)}", "Expect: 100-continue")
            self.assertEqual(wire.head()[0], 100)
            self.assertEqual(len(self.grid.incoming()), 3)
            wire.send(data)
            cap = wire.reply().text
        self.assertEqual(self.get(f"uri/{cap}").body, data)
