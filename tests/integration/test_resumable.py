"""Resumable uploads of the IETF, byte by byte, against one real node."""

from __future__ import annotations

import json
import time

from tests.integration.tus_client import MIB, TusCase, close_room, content
from tests.processes import Reply, Wire, ask, eventually

VERSION = "Upload-Draft-Interop-Version: 8"
ALL, SOME = "Upload-Complete: ?1", "Upload-Complete: ?0"
PIECE = "Content-Type: application/partial-upload"
TYPES = "https://iana.org/assignments/http-problem-types#"


def tearDownModule() -> None:
    """End the node."""
    close_room()


class DraftCase(TusCase):
    def begin(self, *headers: str, data: bytes = b"", query: str = "") -> str:
        """Make an upload by its first piece; return its path."""
        reply = self.say_plainly("PUT", f"/uri{query}", SOME, *headers, data=data)
        self.assertEqual(reply.status, 201, reply.body)
        self.assertEqual(reply.headers["upload-complete"], "?0")
        path = reply.headers["location"]
        self.addCleanup(self.say_plainly, "DELETE", path)
        return path

    def piece(self, path: str, offset: int, data: bytes, *headers: str) -> Reply:
        """Return the answer to a piece."""
        where = f"Upload-Offset: {offset}"
        return self.say_plainly("PATCH", path, PIECE, where, *headers, data=data)

    def look(self, path: str) -> Reply:
        """Return the answer to HEAD."""
        reply = self.say_plainly("HEAD", path)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        return reply

    def check_problem(self, reply: Reply, status: int, kind: str) -> dict[str, object]:
        """It is this problem, for programs."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        told: dict[str, object] = json.loads(reply.body)
        self.assertEqual(told["type"], TYPES + kind)
        return told


class CreationTests(DraftCase):
    def test_in_one_piece(self) -> None:
        """The address comes before the body, and the answer is that of PUT /uri."""
        for method in ("PUT", "POST"):
            data = content(3 * MIB)
            with Wire(self.url) as wire:
                length = f"Content-Length: {len(data)}"
                wire.request(f"{method} /uri", length, ALL, VERSION)
                status, headers = wire.head()
                self.assertEqual(status, 104)
                self.assertEqual(headers["upload-draft-interop-version"], "8")
                path = headers["location"]
                self.assertRegex(path, "^/upload/[A-Za-z0-9_-]{24}$")
                self.assertIn("max-size=", headers["upload-limit"])
                wire.send(data)
                reply = wire.reply()
            self.assertEqual((reply.status, reply.headers["upload-complete"]), (200, "?1"))
            self.assertEqual(reply.headers["upload-cap"], reply.text)
            self.check_file(reply.text, data)
            self.assertEqual(self.look(path).headers["upload-cap"], reply.text)

    def test_continue(self) -> None:
        """Who waits for 100 Continue gets it behind the 104."""
        with Wire(self.url) as wire:
            wait = "Expect: 100-continue"
            wire.request("PUT /uri", "Content-Length: 3", ALL, VERSION, wait)
            self.assertEqual([wire.head()[0], wire.head()[0]], [104, 100])
            wire.send(b"abc")
            self.assertEqual(wire.reply().status, 200)

    def test_progress(self) -> None:
        """Of a large body its client is told what was taken."""
        data = content(33 * MIB)
        with Wire(self.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {len(data)}", ALL, VERSION)
            wire.head()
            wire.send(data)
            status, headers = wire.head()
            self.assertEqual(status, 104)
            self.assertGreaterEqual(int(headers["upload-offset"]), 16 * MIB)
            self.assertNotIn("location", headers)
            self.check_file(wire.reply().text, data)

    def test_other_versions(self) -> None:
        """Without our version there is no 104, and a whole file is stored all the same."""
        for version in ("6", "9", "x"):
            with Wire(self.url) as wire:
                other = f"Upload-Draft-Interop-Version: {version}"
                wire.request("PUT /uri", "Content-Length: 100", ALL, other)
                wire.send(bytes(100))
                status, headers = wire.head()
                self.assertEqual((status, headers.get("upload-complete")), (200, None))

    def test_at_once(self) -> None:
        """Who sent all before the 104 hears it all the same."""
        for size in (0, 3):
            with Wire(self.url) as wire:
                length = f"Content-Length: {size}"
                lines = (
                    "PUT /uri HTTP/1.1",
                    "Host: localhost",
                    length,
                    ALL,
                    VERSION,
                    "",
                    "abc",
                )
                wire.send("\r\n".join(lines).encode()[: size - 3 or None])
                self.assertEqual([wire.head()[0], wire.reply().status], [104, 200])

    def test_old_http(self) -> None:
        """HTTP/1.0 knows no 104."""
        with Wire(self.url) as wire:
            lines = ("PUT /uri HTTP/1.0", "Content-Length: 3", ALL, VERSION, "", "abc")
            wire.send("\r\n".join(lines).encode())
            self.assertEqual(wire.head()[0], 200)

    def test_form(self) -> None:
        """A form stays a form, whatever a system adds to it."""
        data = content(5000)
        form = ("-F", "file=@-", f"{self.url}uri?t=upload")
        reply = ask("-H", ALL, "-H", VERSION, *form, data=data)
        self.check_file(reply.text, data)

    def test_malformed(self) -> None:
        """A malformed header is refused: a part would be stored as a whole file."""
        reply = self.say_plainly("PUT", "/uri", "Upload-Complete: 1", VERSION, data=b"abc")
        self.assertEqual(reply.status, 400)
        self.assertIn("Upload-Complete", reply.text)

    def test_lengths(self) -> None:
        """Two lengths that differ are refused."""
        for headers in ((ALL, "Upload-Length: 5"), (SOME, "Upload-Length: 2")):
            reply = self.say_plainly("PUT", "/uri", VERSION, *headers, data=b"abc")
            self.check_problem(reply, 400, "inconsistent-upload-length")

    def test_too_large(self) -> None:
        """More than the limit is 413."""
        path = self.begin(query="?size-limit=1000")
        self.assertEqual(self.piece(path, 0, bytes(3 * MIB), ALL).status, 413)

    def test_other_sites(self) -> None:
        """Pages of other sites cannot upload."""
        origin = "Origin: http://example.com"
        self.assertEqual(self.say_plainly("PUT", "/uri", SOME, origin).status, 403)

    def test_arguments(self) -> None:
        """A key is chosen as in any PUT."""
        path = self.begin(query="?key=CHK", data=b"x" * 100)
        cap = self.piece(path, 100, b"y" * 100, ALL).text
        whole = ask("-T", "-", f"{self.url}uri?key=CHK", data=b"x" * 100 + b"y" * 100)
        self.assertEqual(whole.text, cap)

    def test_unheard(self) -> None:
        """What breaks off, and whose address nobody heard, leaves nothing."""
        with Wire(self.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {3 * MIB}", SOME)
            wire.send(bytes(2 * MIB))
            eventually(lambda: len(self.grid.incoming()) == 3)
        eventually(lambda: not self.grid.incoming())


class AppendTests(DraftCase):
    def test_pieces(self) -> None:
        """A file comes in pieces; the answer to the last one has the cap."""
        data = content(2 * MIB + 9)
        path = self.begin(f"Upload-Length: {len(data)}", data=data[:MIB])
        reply = self.piece(path, MIB, data[MIB:-9], SOME)
        self.assertEqual((reply.status, reply.headers["upload-complete"]), (204, "?0"))
        head = self.look(path)
        self.assertEqual(head.headers["upload-offset"], str(2 * MIB))
        self.assertEqual(head.headers["upload-length"], str(len(data)))
        self.assertEqual(head.headers["upload-complete"], "?0")
        self.assertRegex(head.headers["upload-limit"], "max-size=[0-9]+, max-age=[0-9]+")
        reply = self.piece(path, 2 * MIB, data[-9:], ALL)
        self.assertEqual((reply.status, reply.headers["upload-complete"]), (200, "?1"))
        self.check_file(reply.text, data)
        self.assertEqual(self.look(path).headers["upload-complete"], "?1")

    def test_break(self) -> None:
        """A request that breaks off is gone on with, at the address from its 104."""
        data = content(4 * MIB)
        with Wire(self.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {len(data)}", ALL, VERSION)
            path = wire.head()[1]["location"]
            wire.send(data[: 2 * MIB + 7])
            eventually(lambda: self.offset(path) == 2 * MIB + 7)
        offset = int(self.look(path).headers["upload-offset"])
        self.assertEqual(offset, 2 * MIB + 7)
        self.check_file(self.piece(path, offset, data[offset:], ALL).text, data)

    def test_half_dead(self) -> None:
        """HEAD ends a request that hangs; the next one goes on within 2 s."""
        data = content(4 * MIB)
        with Wire(self.url) as old:
            old.request("PUT /uri", f"Content-Length: {len(data)}", ALL, VERSION)
            path = old.head()[1]["location"]
            old.send(data[:MIB])
            eventually(lambda: self.offset(path) > 0)
            began = time.monotonic()
            offset = int(self.look(path).headers["upload-offset"])
            reply = self.piece(path, offset, data[offset:], ALL)
            self.assertLess(time.monotonic() - began, 2)
            self.check_file(reply.text, data)
            self.assertEqual(old.reply().status, 409)

    def test_offset(self) -> None:
        """Another offset is 409, and told with the right one."""
        path = self.begin(data=bytes(40))
        for offset in (0, 41):
            reply = self.piece(path, offset, bytes(9), SOME)
            told = self.check_problem(reply, 409, "mismatching-upload-offset")
            self.assertEqual(told["expected-offset"], 40)
            self.assertEqual(told["provided-offset"], offset)
            self.assertEqual(reply.headers["upload-offset"], "40")

    def test_lengths(self) -> None:
        """A piece that makes the file shorter or longer than promised is refused."""
        path = self.begin("Upload-Length: 100", data=bytes(40))
        for data, headers in (
            (bytes(59), (ALL,)),
            (bytes(61), (ALL,)),
            (bytes(61), (SOME,)),
            (bytes(10), (SOME, "Upload-Length: 99")),
        ):
            reply = self.piece(path, 40, data, *headers)
            self.check_problem(reply, 400, "inconsistent-upload-length")
        self.assertEqual(self.piece(path, 40, bytes(60), ALL).status, 200)

    def test_past_the_length(self) -> None:
        """Bytes behind the length, of a body without one, end the upload."""
        path = self.begin("Upload-Length: 100")
        with Wire(self.url) as wire:
            chunked = "Transfer-Encoding: chunked"
            wire.request(f"PATCH {path}", chunked, PIECE, "Upload-Offset: 0", SOME)
            wire.chunk(bytes(101))
            wire.chunk(b"")
            self.check_problem(wire.reply(), 400, "inconsistent-upload-length")
        self.assertEqual(self.say_plainly("HEAD", path).status, 404)

    def test_completed(self) -> None:
        """What is complete takes no more."""
        path = self.begin(data=bytes(100))
        self.assertEqual(self.piece(path, 100, b"", ALL).status, 200)
        reply = self.piece(path, 100, b"x", ALL)
        self.check_problem(reply, 400, "inconsistent-upload-length")
        self.check_problem(self.piece(path, 100, b"", ALL), 400, "completed-upload")

    def test_headers(self) -> None:
        """A piece needs its type, its offset, and whether it is the last one."""
        path = self.begin()
        self.assertEqual(self.say_plainly("PATCH", path, PIECE, ALL).status, 400)
        self.assertEqual(self.piece(path, 0, b"").status, 400)
        reply = self.say_plainly("PATCH", path, ALL, "Upload-Offset: 0", data=b"x")
        self.assertEqual(reply.status, 415)
        self.assertEqual(reply.headers["accept-patch"], "application/partial-upload")

    def test_cancel(self) -> None:
        """DELETE leaves nothing."""
        path = self.begin(data=bytes(2 * MIB))
        self.assertEqual(self.say_plainly("DELETE", path).status, 204)
        self.assertEqual(self.grid.incoming(), [])
        self.assertEqual(self.say_plainly("HEAD", path).status, 404)

    def test_options(self) -> None:
        """OPTIONS tells that this is spoken, and the limit."""
        for path in ("/uri", self.begin()):
            reply = self.say_plainly("OPTIONS", path)
            self.assertEqual(reply.status, 204)
            self.assertEqual(reply.headers["accept-patch"], "application/partial-upload")
            self.assertRegex(reply.headers["upload-limit"], "^max-size=[0-9]+$")

    def offset(self, path: str) -> int:
        """Return the offset, and end nothing."""
        offset: int = json.loads(self.say_plainly("GET", path).body)["offset"]
        return offset
