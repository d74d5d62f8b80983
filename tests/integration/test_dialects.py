"""Clients that speak resumable uploads a little differently."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.integration.tus_client import TusCase, close_room, content
from tests.processes import Reply, SharedNode, Wire

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

# What a request says, and the start of the address that a tus client is given: relative
# unless it is plain that nothing in front has taken a prefix off.
DIRECT = (
    (("Host: 127.0.0.1",), "http://127.0.0.1/"),
    (("Host: localhost",), "http://localhost/"),
    (("Host: 127.0.0.1:PORT",), "http://127.0.0.1:PORT/"),
    (("Host: 10.1.2.3:PORT",), "http://10.1.2.3:PORT/"),
    (("Host: 127.0.0.1:81",), "../"),
    (("Host: 10.1.2.3",), "../"),
    (("Host: 10.1.2.3:PORT", "X-Forwarded-Proto: https"), "../"),
    (("Host: 10.1.2.3:PORT", "X-Forwarded-Host: 10.9.9.9"), "../"),
    (("Host: 10.1.2.3:PORT", "Forwarded: proto=https;host=10.9.9.9"), "../"),
    (
        ("Host: 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /a/b"),
        "https://10.1.2.3/a/b/",
    ),
    (
        ("Host: 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /"),
        "https://10.1.2.3/",
    ),
    (
        ("Host: a", "X-Forwarded-Proto: http", "X-Forwarded-Host: evil.example"),
        None,
    ),
    (
        (
            *("Host: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /a"),
            "X-Forwarded-Host: evil.example",
        ),
        "../",
    ),
    (("Host: 10.1.2.3", "X-Forwarded-Host: a/b@c"), "../"),
)

# The same where the operator named the proxy, so that what it does not say is not so.
NAMED = (
    (("Host: 10.1.2.3", "X-Forwarded-Proto: https"), "https://10.1.2.3/"),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: HTTPS, http"), "https://10.1.2.3/"),
    (
        ("Host: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: 10.1.2.3:8"),
        "https://10.1.2.3:8/",
    ),
    (
        ("Host: 127.0.0.1", 'Forwarded: for=1;host="10.1.2.3:8";proto=https, for=2'),
        "https://10.1.2.3:8/",
    ),
    # A proxy sets one kind, and a client may have written the other.
    (
        ("Host: 10.1.2.3", "X-Forwarded-Proto: https", "Forwarded: proto=http"),
        "https://10.1.2.3/",
    ),
    # Nobody can tell.
    (("Host: 127.0.0.1:3456", "X-Forwarded-Proto: https"), "../"),
    (("Host: 10.1.2.3", "X-Forwarded-Proto: gopher"), "../"),
    (("Host: 10.1.2.3", "X-Forwarded-Host: 10.9.9.9"), "../"),
    (
        ("Host: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: //evil"),
        "http://10.1.2.3/",
    ),
    # What it says counts against, too.
    (("Host: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Host: evil"), None),
    (("Host: 10.1.2.3", "X-Forwarded-Host: 10.9.9.9, evil.example"), None),
    (("Host: 10.1.2.3", "Forwarded: host=evil.example"), None),
    (("Host: 10.1.2.3", 'Forwarded: host="'), None),
)


NAMING = SharedNode(1, "\n[node]\nweb.trusted-proxies = 127.0.0.1\n")


def tearDownModule() -> None:
    """End the nodes."""
    close_room()
    NAMING.close()


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
        """A new upload's address is absolute where that is certain, and leads there."""
        self.check(DIRECT)
        path = urlsplit(self.made("Host: 127.0.0.1").headers["location"]).path
        self.assertEqual(self.patch(path, 0, DATA).status, 204)

    def test_named_proxy(self) -> None:
        """A proxy that the operator names is believed, for good and for bad."""
        self.url = NAMING().url
        self.check(NAMED)

    def check(self, table: tuple[tuple[tuple[str, ...], str | None], ...]) -> None:
        """Each line gets its address, or is refused where there is none."""
        port = str(urlsplit(self.url).port)
        for headers, start in table:
            reply = self.made(*(line.replace("PORT", port) for line in headers))
            where = reply.headers.get("location", "")
            if start is None:
                self.assertIn(reply.status, (400, 403), headers)
            else:
                self.assertEqual(reply.status, 201, (headers, reply.body))
                begin = start.replace("PORT", port) + "tus/"
                self.assertTrue(where.startswith(begin), (headers, where))

    def made(self, *headers: str) -> Reply:
        """Return the answer to the request for an upload."""
        return self.raw("Upload-Length: 200", *headers)

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
