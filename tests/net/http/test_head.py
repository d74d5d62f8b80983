"""Heads of requests: what they say, and what is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.errors import TruckeeError
from truckee.net.http.head import (
    Head,
    MalformedHead,
    OtherCoding,
    OtherVersion,
    find_end,
    parse_head,
)

HOST = b"Host: h\r\n"


def parsed(first: bytes, *lines: bytes, host: bytes = HOST) -> Head:
    """Return the head of these lines."""
    rest = b"".join(line + b"\r\n" for line in lines)
    return parse_head(first + b"\r\n" + host + rest + b"\r\n")


class HeadTests(SynchronousTestCase):
    def refused(self, kind: type[TruckeeError], first: bytes, *lines: bytes) -> None:
        """Fail unless a head is refused for this kind of reason."""
        with self.assertRaises(kind, msg=(first, *lines)):
            parsed(first, *lines)

    def test_what_it_says(self) -> None:
        """Method, target, version, headers in lower case, length."""
        head = parsed(b"PUT /a?b HTTP/1.1", b"X-A:\t b c \t", b"content-LENGTH: 12", b"e:")
        self.assertEqual((head.method, head.target), (b"PUT", b"/a?b"))
        self.assertEqual((head.version, head.length), (b"HTTP/1.1", 12))
        self.assertEqual(
            head.headers,
            [(b"host", b"h"), (b"x-a", b"b c"), (b"content-length", b"12"), (b"e", b"")],
        )

    def test_persistence(self) -> None:
        """Only HTTP/1.1 goes on, unless the client said close anywhere."""
        self.assertTrue(parsed(b"GET / HTTP/1.1").persistent)
        self.assertFalse(parsed(b"GET / HTTP/1.0", b"Connection: keep-alive").persistent)
        self.assertFalse(parsed(b"GET / HTTP/1.1", b"Connection: x, Close").persistent)
        two = parsed(b"GET / HTTP/1.1", b"Connection: x", b"Connection: close")
        self.assertFalse(two.persistent)

    def test_request_lines(self) -> None:
        """Three parts, one space between each, and only known versions."""
        for first in (
            b"GET /",
            b"GET / ",
            b"GET  / HTTP/1.1",
            b"GET /\tHTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET / x HTTP/1.1",
            b"G@T / HTTP/1.1",
            b"G\x00T / HTTP/1.1",
            b" / HTTP/1.1",
            b"GET /\x00 HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET /\xc3\xbc HTTP/1.1",
            b"GET /\r HTTP/1.1",
            b"GET / HTTP/1.1\r",
            b"GET / http/1.1",
            b"GET / HTTP/1",
            b"GET / HTTP/11.1",
            b"GET / HTTP/1.1x",
            b"GET / HTTPS/1.1",
        ):
            self.refused(MalformedHead, first)
        for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9"):
            self.refused(OtherVersion, b"GET / " + version)

    def test_headers(self) -> None:
        """A name that is a token, a colon at once, and no control character."""
        for line in (
            b"no colon",
            b": empty",
            b"name : value",
            b"name\t: value",
            b" folded: x",
            b"\tfolded",
            b"na me: x",
            b"na(me: x",
            b"n\xe4me: x",
            b"name: a\x00b",
            b"name: a\rb",
            b"name: a\x07",
            b"name: \x7f",
            b"name: a\x0bb",
            b"name: x\r",
        ):
            self.refused(MalformedHead, b"GET / HTTP/1.1", line)
        self.refused(MalformedHead, b"GET / HTTP/1.1", *[b"a: b"] * 600)
        head = parsed(b"GET / HTTP/1.1", b"x: a\tb \xff")
        self.assertEqual(head.all(b"x"), [b"a\tb \xff"])

    def test_lengths(self) -> None:
        """One number, in digits, that some disk could have."""
        for value in (
            b"",
            b"-1",
            b"+1",
            b"0x1",
            b"1_0",
            b"1 0",
            b"1,1",
            b"1, 1",
            b"1;",
            b"\xb2",
            b"1" * 19,
            b"9" * 5000,
        ):
            self.refused(MalformedHead, b"PUT / HTTP/1.1", b"Content-Length: " + value)
        twice = (b"Content-Length: 1", b"Content-Length: 1")
        self.refused(MalformedHead, b"PUT / HTTP/1.1", *twice)
        self.assertEqual(parsed(b"PUT / HTTP/1.1", b"Content-Length: 007").length, 7)
        self.assertEqual(parsed(b"PUT / HTTP/1.1").length, 0)

    def test_codings(self) -> None:
        """Exactly one chunked, in HTTP/1.1, and no Content-Length beside it."""
        te = b"Transfer-Encoding: "
        for lines in (
            [te + b"chunked", te + b"identity"],
            [te + b"identity", te + b"chunked", te + b"identity"],
            [te + b"chunked", te + b"chunked"],
            [te + b"identity"],
            [te + b"chunked, identity"],
            [te + b"chunked, chunked"],
            [te + b"gzip"],
            [te + b""],
            [te + b"chunked,"],
            [te + b",chunked"],
            [te + b"xchunked"],
            [te + b'"chunked"'],
            [te + b"chunked;q=1"],
            [te + b"\x0bchunked"],
            [te + b"chunked", b"Content-Length: 5"],
            [b"Content-Length: 5", te + b"identity"],
        ):
            self.refused(MalformedHead, b"PUT / HTTP/1.1", *lines)
        self.refused(MalformedHead, b"PUT / HTTP/1.0", te + b"chunked")
        self.refused(OtherCoding, b"PUT / HTTP/1.1", te + b"gzip, chunked")
        self.refused(OtherCoding, b"PUT / HTTP/1.1", te + b"identity", te + b"chunked")
        self.assertIsNone(parsed(b"PUT / HTTP/1.1", te + b" CHUNKED ").length)

    def test_hosts(self) -> None:
        """HTTP/1.1 has one Host; HTTP/1.0 at most one; both a name and a port."""
        with self.assertRaises(MalformedHead):
            parsed(b"GET / HTTP/1.1", host=b"")
        self.refused(MalformedHead, b"GET / HTTP/1.1", b"Host: h")
        self.refused(MalformedHead, b"GET / HTTP/1.0", b"Host: h")
        parsed(b"GET / HTTP/1.0", host=b"")
        for value in (b"a b", b"u@h", b"a/b", b"a:b", b"[::1", b"h:1:2", b"a\\b", b"a?b"):
            with self.assertRaises(MalformedHead, msg=value):
                parsed(b"GET / HTTP/1.1", host=b"Host: " + value + b"\r\n")
        for value in (b"", b"h", b"h:80", b"127.0.0.1:3456", b"[::1]:80"):
            parsed(b"GET / HTTP/1.1", host=b"Host: " + value + b"\r\n")

    def test_targets(self) -> None:
        """A path; an absolute URL, whose host is the one that counts; the star."""
        for target, path, host in (
            (b"/x?y", b"/x?y", b"h"),
            (b"//x", b"//x", b"h"),
            (b"http://other:80/x?y", b"/x?y", b"other:80"),
            (b"HTTPS://other", b"/", b"other"),
            (b"http://other?y", b"/?y", b"other"),
            (b"http://[::1]/", b"/", b"[::1]"),
        ):
            head = parsed(b"GET " + target + b" HTTP/1.1")
            self.assertEqual((head.target, head.all(b"host")), (path, [host]))
        self.assertEqual(parsed(b"OPTIONS * HTTP/1.1").target, b"*")
        self.assertEqual(parsed(b"OPTIONS http://h HTTP/1.1").target, b"*")
        for target in (
            b"*",
            b"x",
            b"h:80",
            b"ftp://h/",
            b"http:///x",
            b"http://u@h/",
            b"?",
        ):
            self.refused(MalformedHead, b"GET " + target + b" HTTP/1.1")

    def test_end(self) -> None:
        """The end is found wherever the bytes are cut, and looked for only once."""
        data = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nrest\n"
        end = data.index(b"rest")
        for cut in range(len(data) + 1):
            found = find_end(bytearray(data[:cut]))
            self.assertEqual(found, end if cut >= end else -1)
            if found < 0:
                self.assertEqual(find_end(bytearray(data), cut), end)

    def test_bare_line_feeds(self) -> None:
        """A line that ends in LF alone is refused as soon as it is there."""
        for data in (b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: h\n\n", b"\n"):
            for cut in range(len(data)):
                with self.assertRaises(MalformedHead):
                    find_end(bytearray(data[:cut]))
                    find_end(bytearray(data), cut)
