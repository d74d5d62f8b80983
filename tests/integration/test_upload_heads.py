"""Uploads whose heads say less than a whole file: refused, and nothing is stored."""

from __future__ import annotations

from tests.integration.tus_client import TusCase, close_room, content
from tests.processes import Reply

PART = "Content-Range: bytes 10-19/20"
FORM = "Content-Type: multipart/form-data; boundary=b"
PIECE = "Content-Type: application/offset+octet-stream"
PARTIAL = "Content-Type: application/partial-upload"
DATA = content(200)

# What is said with a file to PUT /uri, the answer, and a word of it.
HEADS = (
    ((PART,), 400, "Content-Range"),
    (("Content-Range: bytes 0-199/200",), 400, "Content-Range"),
    (("Content-Range: bytes */200",), 400, "Content-Range"),
    (("Content-Range: items 0-1/2",), 400, "Content-Range"),
    (("Content-Range:",), 400, "Content-Range"),
    (("Content-Encoding: gzip",), 415, "gzip"),
    (("Content-Encoding: identity, br",), 415, "br"),
    (("Content-Encoding: aws-chunked",), 415, "aws-chunked"),
    (("Content-Encoding: identity", "Content-Encoding: x"), 415, "x"),
    (("Content-Encoding: Identity",), 200, "URI:CHK"),
    (("Content-Encoding:",), 200, "URI:CHK"),
    (("Expect: 200-ok",), 417, "100-continue"),
    (("Expect: 100-continue, 200-ok",), 417, "100-continue"),
    (("Expect: 100-continue=x",), 417, "100-continue"),
    (('If-Match: "x"',), 412, "If-Match"),
    (("If-Match: *",), 412, "If-Match"),
    (("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",), 412, "date"),
    (("If: (<opaquelocktoken:x>)",), 412, "lock"),
    # A new file is where none was before.
    (("If-None-Match: *",), 200, "URI:CHK"),
    (('If-None-Match: "x"',), 200, "URI:CHK"),
    # Of these RFC 9110 says that they mean nothing here.
    (("Range: bytes=0-1",), 200, "URI:CHK"),
    (("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",), 200, "URI:CHK"),
)

# The same of a file in a form, in its own head there.
IN_FORM = (
    ("Content-Transfer-Encoding: base64", 415, "base64"),
    ("Content-Transfer-Encoding: quoted-printable", 415, "quoted-printable"),
    ("Content-Transfer-Encoding: BINARY", 200, "URI:CHK"),
    ("Content-Encoding: gzip", 415, "gzip"),
    (PART, 400, "Content-Range"),
)


def tearDownModule() -> None:
    """End the node."""
    close_room()


class HeadTests(TusCase):
    def check(self, reply: Reply, status: int, word: str) -> None:
        """Look at an answer; nothing more is stored after one that refuses."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertIn(word, reply.text)

    def test_put(self) -> None:
        """What narrows or forbids is refused, with what to do; the rest is stored."""
        for headers, status, word in HEADS:
            before = len(self.grid.shares())
            reply = self.say_plainly("PUT", "/uri", *headers, data=DATA)
            self.check(reply, status, word)
            self.assertEqual(len(self.grid.shares()) > before, status == 200, headers)
            if status == 415:
                self.assertEqual(reply.headers["accept-encoding"], "identity")

    def test_empty(self) -> None:
        """A file of no bytes is no exception."""
        reply = self.say_plainly("PUT", "/uri", PART)
        self.check(reply, 400, "Content-Range")

    def test_form(self) -> None:
        """What stands in a form's own head for the file is looked at too."""
        head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        for line, status, word in IN_FORM:
            body = f"{head}{line}\r\n\r\n".encode() + DATA + b"\r\n--b--\r\n"
            reply = self.say_plainly("POST", "/uri", FORM, data=body)
            self.check(reply, status, word)
        body = f"{head}\r\n".encode() + DATA + b"\r\n--b--\r\n"
        reply = self.say_plainly("POST", "/uri", FORM, PART, data=body)
        self.check(reply, 400, "Content-Range")

    def test_handle(self) -> None:
        """A piece says where it belongs by offset= alone, and nothing of it is taken."""
        handle = self.say_plainly("POST", "/upload/open").text
        path = f"/upload/{handle}"
        offset = ("Upload-Offset: 0", "Upload-Complete: ?0")
        for method, headers, status in (
            ("PUT", (PART,), 400),
            ("POST", (PART,), 400),
            ("PATCH", (PARTIAL, *offset, PART), 400),
            ("PUT", ("Content-Encoding: gzip",), 415),
            ("PUT", ("Expect: x",), 417),
            ("PUT", ('If-Match: "x"',), 412),
            ("PUT", ("If-None-Match: *",), 412),
            ("DELETE", ('If-Match: "x"',), 412),
            ("DELETE", ("If-Unmodified-Since: x",), 412),
            ("PUT", ('If-None-Match: "x"',), 200),
        ):
            reply = self.say_plainly(method, path, *headers, data=DATA)
            self.assertEqual(reply.status, status, (method, headers, reply.body))
        self.assertEqual(self.say_plainly("PUT", path + "?close=true").text[-4:], ":200")

    def test_tus(self) -> None:
        """The same of tus."""
        for headers, status in (
            ((PART,), 400),
            (("Content-Encoding: gzip",), 415),
            (("If-None-Match: *",), 201),
        ):
            more = ("Upload-Length: 1000", PIECE, *headers)
            reply = self.say("POST", "/tus/", *more, data=DATA)
            self.assertEqual(reply.status, status, reply.body)
        path = reply.headers["location"]
        for one, status in ((PART, 400), ("If-None-Match: *", 412), ("Accept: *", 204)):
            said = ("Upload-Offset: 200", PIECE, one)
            self.assertEqual(self.say("PATCH", path, *said, data=DATA).status, status)
