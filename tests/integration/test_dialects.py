"""Clients that speak resumable uploads a little differently."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from tests.integration.tus_client import TusCase, close_room, content
from tests.processes import Reply, Wire

DATA = content(200)
OLD = "Upload-Draft-Interop-Version: "
PARTIAL = "Content-Type: application/partial-upload"
FORM = "Content-Type: multipart/form-data; boundary=b"

# What a PUT /uri says, and its answer: 200 for a whole file, 201 for a part that can be
# gone on with.
DRAFTS = (
    ((OLD + "3", "Upload-Incomplete: ?1"), 400),
    (("Upload-Incomplete: ?1",), 400),
    (("Upload-Incomplete: 1",), 400),
    ((OLD + "3", "Upload-Incomplete: ?0"), 200),
    *(((OLD + version, "Upload-Complete: ?0"), 400) for version in "4567"),
    ((OLD + "9", "Upload-Complete: ?0"), 400),
    ((OLD + "x", "Upload-Complete: ?0"), 400),
    ((OLD + "5", "Upload-Complete: ?1"), 200),
    ((OLD + "8", "Upload-Complete: ?0"), 201),
    (("Upload-Complete: ?0",), 201),
    (("Upload-Complete: false",), 400),
    (("Upload-Complete: ?0", FORM), 400),
    (("Upload-Offset: 100",), 400),
    (("Upload-Offset: x",), 400),
    (("Upload-Offset: 0",), 200),
)

# What a proxy of this machine says, and the address that a tus client is given.
PROXIES = (
    (("Host: 127.0.0.1",), "http://127.0.0.1"),
    (("Host: localhost:81",), "http://localhost:81"),
    (("Host: [::1]:81",), "http://[::1]:81"),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: https"), "https://10.1.2.3"),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: HTTPS, http"), "https://10.1.2.3"),
    (
        ("Host: 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /a/b"),
        "https://10.1.2.3/a/b",
    ),
    (
        ("Host: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: 10.1.2.3:8"),
        "https://10.1.2.3:8",
    ),
    # Nobody can tell: the path alone.
    (("Host: 127.0.0.1:3456", "X-Forwarded-Proto: https"), ""),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: gopher"), ""),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Host: evil.example"), ""),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Host: a/b@c"), ""),
    # A host alone, as Apache says it, which mends the address by itself.
    (("Host: 10.1.2.3", "X-Forwarded-Host: 10.9.9.9"), "http://10.1.2.3"),
    (("Host: 10.1.2.3", "X-Forwarded-Prefix: //evil.example"), "http://10.1.2.3"),
)


def tearDownModule() -> None:
    """End the node."""
    close_room()


class DraftTests(TusCase):
    def test_creation(self) -> None:
        """A part in a dialect not spoken here is refused at once, a whole file is not."""
        for headers, status in DRAFTS:
            reply = self.say_plainly("PUT", "/uri", *headers, data=DATA)
            self.assertEqual(reply.status, status, (headers, reply.body))
            if status == 400 and OLD[:-2].lower() in reply.headers:
                self.assertEqual(reply.headers[OLD[:-2].lower()], "8")
        refused = self.say_plainly("PUT", "/uri", *DRAFTS[0][0], data=DATA)
        self.assertEqual(refused.headers[OLD[:-2].lower()], "8")
        self.assertIn("interop version 8", refused.text)

    def test_going_on(self) -> None:
        """So is a piece: nothing of it is taken."""
        made = self.say_plainly("PUT", "/uri", OLD + "8", "Upload-Complete: ?0", data=DATA)
        path = made.headers["location"]
        said = (PARTIAL, "Upload-Offset: 200", "Upload-Complete: ?0")
        for version, status in (("6", 400), ("x", 400), ("8", 204)):
            reply = self.say_plainly("PATCH", path, *said, OLD + version, data=DATA)
            self.assertEqual(reply.status, status, reply.body)
        offset = self.say_plainly("HEAD", path).headers["upload-offset"]
        self.assertEqual(offset, "400")

    def test_offset_in_a_header(self) -> None:
        """A piece for a handle whose header names another place is not put at the end."""
        path = "/upload/" + self.say_plainly("POST", "/upload/open").text
        for header, query, status in (
            ("100", "", 400),
            ("0", "", 400),
            ("0", "?offset=100", 400),
            ("0", "?offset=0", 200),
            ("200", "?offset=200", 200),
        ):
            said = f"Upload-Offset: {header}"
            reply = self.say_plainly("PUT", path + query, said, data=DATA)
            self.assertEqual(reply.status, status, reply.body)
        cap = self.say_plainly("PUT", path + "?close=true").text
        self.check_file(cap, DATA + DATA)


class TusTests(TusCase):
    def test_location(self) -> None:
        """A new upload's address is absolute as the client knows it, and leads there."""
        for headers, start in PROXIES:
            reply = self.raw("Upload-Length: 200", *headers)
            self.assertEqual(reply.status, 201, (headers, reply.body))
            where = reply.headers["location"]
            self.assertTrue(where.startswith(f"{start}/tus/"), (headers, where))
        path = urlsplit(urljoin(self.url, where)).path
        self.assertEqual(self.patch(path, 0, DATA).status, 204)

    def raw(self, *headers: str) -> Reply:
        """Return the answer to a POST whose Host is among *headers*."""
        lines = ("POST /tus/ HTTP/1.1", "Tus-Resumable: 1.0.0", "Content-Length: 0")
        with Wire(self.url) as wire:
            wire.send("\r\n".join((*lines, *headers, "", "")).encode())
            return wire.reply()

    def test_metadata(self) -> None:
        """Metadata that is not base64 is left out, and the upload is taken."""
        for said, kept in (
            ("filename film.mp4", None),
            ("filename ZmlsbS5tcDQ=,type video/mp4", "filename ZmlsbS5tcDQ="),
            ("a YQ==,,b", "a YQ==,b"),
            ("a YQ==, b", "a YQ==, b"),
        ):
            path = self.make("Upload-Length: 9", f"Upload-Metadata: {said}")
            self.assertEqual(self.head(path).headers.get("upload-metadata"), kept)
