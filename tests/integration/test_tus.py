"""tus by hand, byte by byte, against one real node."""

from __future__ import annotations

import email.utils
import hashlib
import json
import time
from base64 import b64encode

from tests.integration.tus_client import MIB, PIECE, TusCase, close_room, content
from tests.processes import Reply, Wire, ask, eventually


def tearDownModule() -> None:
    """End the node."""
    close_room()


class CoreTests(TusCase):
    def test_round_trips(self) -> None:
        """Files of any size come in pieces; the answer to the last one has the cap."""
        for size, piece in ((1, 1), (55, 20), (56, 20), (MIB, 300_000), (5 * MIB, 5 * MIB)):
            for query in ("", "?key=CHK", "?helper=no"):
                data = content(size)
                path = self.make(f"Upload-Length: {size}", query=query)
                for start in range(0, size, piece):
                    reply = self.patch(path, start, data[start : start + piece])
                    self.assertEqual(reply.status, 204, reply.body)
                    self.check_tus(reply)
                    offset = min(size, start + piece)
                    self.assertEqual(reply.headers["upload-offset"], str(offset))
                    self.assertEqual("upload-cap" in reply.headers, offset == size)
                self.check_file(reply.headers["upload-cap"], data)

    def test_empty(self) -> None:
        """A file of no bytes is stored when it is made."""
        reply = self.say("POST", "/tus/", "Upload-Length: 0")
        self.assertEqual((reply.status, reply.headers["upload-cap"]), (201, "URI:LIT:"))

    def test_convergent(self) -> None:
        """The same file twice under key=CHK has one cap."""
        data = content(100_000)
        path = self.make("Upload-Length: 100000", query="?key=CHK")
        cap = self.patch(path, 0, data).headers["upload-cap"]
        self.assertEqual(ask("-T", "-", f"{self.url}uri?key=CHK", data=data).text, cap)

    def test_cap_again(self) -> None:
        """Who did not hear the cap gets it by HEAD, by GET and by a piece of nothing."""
        path = self.make("Upload-Length: 100")
        cap = self.patch(path, 0, bytes(100)).headers["upload-cap"]
        head = self.head(path)
        self.assertEqual((head.status, head.headers["upload-cap"]), (200, cap))
        self.assertEqual(head.headers["upload-offset"], "100")
        self.assertEqual(self.patch(path, 100, b"").headers["upload-cap"], cap)
        reply = self.say_plainly("GET", path)
        self.check_tus(reply)
        told = json.loads(reply.body)
        self.assertEqual((told["cap"], told["state"]), (cap, "stored"))

    def test_head(self) -> None:
        """HEAD tells what was promised, what came and how long it is kept."""
        path = self.make("Upload-Length: 100")
        self.patch(path, 0, bytes(40))
        reply = self.head(path)
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["upload-offset"], "40")
        self.assertEqual(reply.headers["upload-length"], "100")
        self.assertNotIn("upload-cap", reply.headers)

    def test_options(self) -> None:
        """OPTIONS tells versions, extensions and the limit, and asks for no version."""
        for path in ("/tus", "/tus/"):
            reply = self.say_plainly("OPTIONS", path)
            self.assertEqual(reply.status, 204)
            self.check_tus(reply)
            self.assertEqual(reply.headers["tus-version"], "1.0.0")
            self.assertIn("creation-with-upload", reply.headers["tus-extension"].split(","))
            self.assertGreater(int(reply.headers["tus-max-size"]), 1 << 30)

    def test_override(self) -> None:
        """Who can only POST says which method it is in a header."""
        path = self.make("Upload-Length: 9")
        override = "X-HTTP-Method-Override: PATCH"
        reply = self.say("POST", path, override, PIECE, "Upload-Offset: 0", data=b"12345")
        self.assertEqual((reply.status, reply.headers["upload-offset"]), (204, "5"))
        reply = self.say("POST", path, "X-HTTP-Method-Override: HEAD")
        self.assertEqual((reply.status, reply.headers["upload-offset"]), (200, "5"))
        reply = self.say("POST", path, "X-HTTP-Method-Override: DELETE")
        self.assertEqual(reply.status, 204)
        self.check_error(self.say("POST", path), 404, "handle")


class RefusalTests(TusCase):
    def test_version(self) -> None:
        """Another version, or none, is refused with the one that is spoken."""
        path = self.make("Upload-Length: 9")
        for method, target in (("POST", "/tus/"), ("PATCH", path), ("DELETE", path)):
            for headers in ((), ("Tus-Resumable: 0.2.2",)):
                reply = self.say_plainly(method, target, *headers)
                self.check_error(reply, 412, "Tus-Resumable: 1.0.0")
                self.assertEqual(reply.headers["tus-version"], "1.0.0")
        self.assertEqual(self.say_plainly("HEAD", path).status, 412)
        self.assertEqual(self.head(path).status, 200)

    def test_offset(self) -> None:
        """Another offset than the upload's is 409, before the body, and takes nothing."""
        path = self.make("Upload-Length: 100")
        self.patch(path, 0, bytes(40))
        for offset in (0, 39, 41):
            reply = self.patch(path, offset, bytes(10))
            self.check_error(reply, 409, f"begins at {offset}")
            self.assertEqual(reply.headers["upload-offset"], "40")
        self.assertEqual(self.head(path).headers["upload-offset"], "40")

    def test_headers(self) -> None:
        """A header that is missing or malformed is 400 and told by its name."""
        path = self.make("Upload-Length: 100")
        self.check_error(self.say("PATCH", path, PIECE), 400, "Upload-Offset")
        self.check_error(self.say("PATCH", path, PIECE, "Upload-Offset: x"), 400, "number")
        for headers in ((), ("Upload-Length: -1",), ("Upload-Defer-Length: 2",)):
            self.check_error(self.say("POST", "/tus/", *headers), 400, "Upload-")
        bad = ("Upload-Length: 1", f"Upload-Metadata: a {'A' * 4096}")
        self.check_error(self.say("POST", "/tus/", *bad), 400, "Upload-Metadata")
        for query in ("key=x", "helper=x"):
            reply = self.say("POST", f"/tus/?{query}", "Upload-Length: 1")
            self.check_error(reply, 400, query[:3])

    def test_type(self) -> None:
        """Bytes of another type are 415."""
        path = self.make("Upload-Length: 100")
        for kind in ("application/octet-stream", "multipart/form-data"):
            for method, target in (("PATCH", path), ("POST", "/tus/")):
                headers = (f"Content-Type: {kind}", "Upload-Offset: 0", "Upload-Length: 3")
                self.check_error(
                    self.say(method, target, *headers, data=b"abc"), 415, PIECE
                )

    def test_too_large(self) -> None:
        """More than the upload's length, or than the gateway takes, is 413."""
        path = self.make("Upload-Length: 100")
        self.check_error(self.patch(path, 0, bytes(101)), 413, "byte 100")
        with Wire(self.url) as wire:
            wire.request(
                f"PATCH {path}",
                "Transfer-Encoding: chunked",
                "Tus-Resumable: 1.0.0",
                "Upload-Offset: 0",
                PIECE,
            )
            wire.chunk(bytes(101))
            wire.chunk(b"")
            self.check_error(wire.reply(), 413, "byte 100")
        huge = self.say("POST", "/tus/", f"Upload-Length: {10**17}")
        self.check_error(huge, 413, "")

    def test_unknown(self) -> None:
        """What is not there is 404, and a method that is not known 405."""
        for method in ("PATCH", "DELETE", "GET"):
            self.check_error(self.say(method, "/tus/abc"), 404, "handle")
        self.assertEqual(self.head("/tus/abc").status, 404)
        path = self.make("Upload-Length: 1")
        self.assertEqual(self.say("PUT", path).status, 405)
        self.assertEqual(self.say("PUT", "/tus/").status, 405)
        self.assertEqual(self.say("GET", "/tus/").status, 405)
        self.assertEqual(self.say("GET", f"{path}/x").status, 404)

    def test_other_sites(self) -> None:
        """Pages of other sites cannot upload."""
        path = self.make("Upload-Length: 9")
        for foreign in ("Origin: http://example.com", "Sec-Fetch-Site: cross-site"):
            for reply in (
                self.say("POST", "/tus/", "Upload-Length: 9", foreign),
                self.patch(path, 0, b"1", foreign),
                self.say("DELETE", path, foreign),
            ):
                self.assertEqual(reply.status, 403)
                self.assertIn("another site", reply.text)
            reply = self.say_plainly("OPTIONS", "/tus/", foreign)
            self.assertFalse([n for n in reply.headers if n.startswith("access-control")])
        own = self.patch(path, 0, b"1", "Origin: http://127.0.0.1")
        self.assertEqual(own.status, 204)


class CreationTests(TusCase):
    def test_with_upload(self) -> None:
        """The first bytes, or all, may come with the request that makes the upload."""
        data = content(300)
        path = self.make("Upload-Length: 300", PIECE, data=data[:100])
        self.assertEqual(self.head(path).headers["upload-offset"], "100")
        cap = self.patch(path, 100, data[100:]).headers["upload-cap"]
        self.check_file(cap, data)
        reply = self.say("POST", "/tus/", "Upload-Length: 300", PIECE, data=data)
        self.assertEqual((reply.status, reply.headers["upload-offset"]), (201, "300"))
        self.check_file(reply.headers["upload-cap"], data)
        reply = self.say("POST", "/tus/", "Upload-Length: 3", PIECE, data=data)
        self.check_error(reply, 413, "byte 3")

    def test_broken_creation(self) -> None:
        """A creation that breaks off leaves no upload that nobody could go on with."""
        with Wire(self.url) as wire:
            headers = (PIECE, "Tus-Resumable: 1.0.0", f"Upload-Length: {3 * MIB}")
            wire.request("POST /tus/", f"Content-Length: {3 * MIB}", *headers)
            wire.send(bytes(2 * MIB))
            eventually(lambda: len(self.grid.incoming()) == 3)
        eventually(lambda: not self.grid.incoming())


class ExpirationTests(TusCase):
    def test_told(self) -> None:
        """Every answer tells until when an upload is kept: an hour while it is empty."""
        made = self.say("POST", "/tus/", "Upload-Length: 9")
        path = made.headers["location"]
        for reply, life in (
            (made, 3600),
            (self.patch(path, 0, b"123"), 86400),
            (self.head(path), 86400),
        ):
            until = email.utils.parsedate_to_datetime(reply.headers["upload-expires"])
            self.assertLess(abs(until.timestamp() - time.time() - life), 60)


class TerminationTests(TusCase):
    def test_delete(self) -> None:
        """DELETE leaves nothing; the upload is unknown from then on."""
        path = self.make(f"Upload-Length: {3 * MIB}")
        self.patch(path, 0, bytes(2 * MIB))
        reply = self.say("DELETE", path)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.check_tus(reply)
        self.assertEqual(self.grid.incoming(), [])
        self.assertEqual(self.head(path).status, 404)
        self.check_error(self.say("DELETE", path), 404, "handle")

    def test_stored(self) -> None:
        """What is stored cannot be deleted."""
        path = self.make("Upload-Length: 100")
        self.patch(path, 0, bytes(100))
        self.check_error(self.say("DELETE", path), 409, "stored")


class MetadataTests(TusCase):
    def test_told_again(self) -> None:
        """HEAD tells the metadata that an upload was made with."""
        text = "Upload-Metadata: filename d29ybGQ=,is_confidential"
        path = self.make("Upload-Length: 9", text)
        self.assertEqual(
            f"Upload-Metadata: {self.head(path).headers['upload-metadata']}", text
        )
        self.assertNotIn(
            "upload-metadata", self.head(self.make("Upload-Length: 1")).headers
        )


class DeferredTests(TusCase):
    def test_later(self) -> None:
        """A length that is told with any later piece ends the upload."""
        data = content(300)
        path = self.make("Upload-Defer-Length: 1", PIECE, data=data[:100])
        head = self.head(path)
        self.assertEqual(head.headers["upload-defer-length"], "1")
        self.assertNotIn("upload-length", head.headers)
        self.assertEqual(self.patch(path, 100, data[100:200]).status, 204)
        reply = self.patch(path, 200, data[200:250], "Upload-Length: 300")
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.head(path).headers["upload-length"], "300")
        self.assertNotIn("upload-defer-length", self.head(path).headers)
        cap = self.patch(path, 250, data[250:]).headers["upload-cap"]
        self.check_file(cap, data)

    def test_at_the_end(self) -> None:
        """It may be told when all bytes are there."""
        path = self.make("Upload-Defer-Length: 1", PIECE, data=bytes(100))
        cap = self.patch(path, 100, b"", "Upload-Length: 100").headers["upload-cap"]
        self.check_file(cap, bytes(100))

    def test_bad(self) -> None:
        """It is told once, is no less than what came, and no more than is taken."""
        path = self.make("Upload-Defer-Length: 1", PIECE, data=bytes(100))
        self.check_error(
            self.patch(path, 100, b"", "Upload-Length: 99"), 400, "Upload-Length"
        )
        self.check_error(self.patch(path, 100, b"", "Upload-Length: x"), 400, "number")
        self.check_error(
            self.patch(path, 100, b"", f"Upload-Length: {10**17}"), 413, "larger"
        )
        self.check_error(self.patch(path, 100, bytes(9), "Upload-Length: 105"), 413, "105")
        self.assertEqual(self.patch(path, 100, b"", "Upload-Length: 200").status, 204)
        self.check_error(self.patch(path, 100, b"", "Upload-Length: 300"), 400, "another")
        both = ("Upload-Defer-Length: 1", "Upload-Length: 5")
        self.check_error(self.say("POST", "/tus/", *both), 400, "not both")

    def test_limit(self) -> None:
        """Without a length, size-limit= is the bound."""
        path = self.make("Upload-Defer-Length: 1", query="?size-limit=1000")
        self.check_error(self.patch(path, 0, b"", "Upload-Length: 1001"), 413, "1000")
        self.check_error(self.patch(path, 0, bytes(3 * MIB)), 413, "1000")


class ChecksumTests(TusCase):
    def checksum(self, data: bytes, algorithm: str = "sha1") -> str:
        """Return the header for a body of *data*."""
        digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
        return f"Upload-Checksum: {algorithm} {b64encode(digest).decode()}"

    def test_good(self) -> None:
        """A body whose checksum is right counts, whatever the algorithm is."""
        data = content(3 * MIB)
        offered = self.say_plainly("OPTIONS", "/tus/").headers["tus-checksum-algorithm"]
        algorithms = offered.split(",")
        self.assertIn("sha1", algorithms)
        for algorithm in algorithms:
            first, last = data[:MIB], data[MIB:]
            length = f"Upload-Length: {len(data)}"
            path = self.make(length, PIECE, self.checksum(first, algorithm), data=first)
            reply = self.patch(path, MIB, last, self.checksum(last, algorithm))
            self.check_file(reply.headers["upload-cap"], data)

    def test_wrong(self) -> None:
        """A body of another checksum is 460, and none of it counts."""
        data = content(2 * MIB)
        path = self.make(f"Upload-Length: {len(data)}")
        self.assertEqual(self.patch(path, 0, data[:100]).status, 204)
        wrong = data[100:-1] + bytes([data[-1] ^ 1])
        reply = self.patch(path, 100, wrong, self.checksum(data[100:]))
        self.check_error(reply, 460, "sha1")
        self.assertEqual(self.head(path).headers["upload-offset"], "100")
        reply = self.patch(path, 100, data[100:], self.checksum(data[100:]))
        self.check_file(reply.headers["upload-cap"], data)

    def test_broken_off(self) -> None:
        """A body that breaks off before its checksum is known does not count."""
        data = content(3 * MIB)
        path = self.make(f"Upload-Length: {len(data)}")
        with Wire(self.url) as wire:
            headers = (
                PIECE,
                "Tus-Resumable: 1.0.0",
                "Upload-Offset: 0",
                self.checksum(data),
            )
            wire.request(f"PATCH {path}", f"Content-Length: {len(data)}", *headers)
            wire.send(data[: 2 * MIB])
        self.assertEqual(self.head(path).headers["upload-offset"], "0")

    def test_wrong_creation(self) -> None:
        """A creation whose first bytes are wrong makes no upload."""
        reply = self.say(
            "POST", "/tus/", "Upload-Length: 9", PIECE, self.checksum(b"x"), data=b"y"
        )
        self.check_error(reply, 460, "sha1")
        self.assertNotIn("location", reply.headers)

    def test_malformed(self) -> None:
        """An algorithm that is not offered, and what is no checksum of it, are 400."""
        path = self.make("Upload-Length: 9")
        for text in ("crc32 AAAA", "sha1", "sha1 !", "sha1 AAAA", ""):
            reply = self.patch(path, 0, b"abc", f"Upload-Checksum: {text}")
            self.check_error(reply, 400, "Upload-Checksum")


class ConcatenationTests(TusCase):
    def part(self, data: bytes) -> str:
        """Return the path of a part that has all its bytes."""
        path = self.make(f"Upload-Length: {len(data)}", "Upload-Concat: partial")
        reply = self.patch(path, 0, data)
        self.assertEqual(reply.status, 204, reply.body)
        self.assertNotIn("upload-cap", reply.headers)
        self.assertEqual(self.head(path).headers["upload-concat"], "partial")
        return path

    def join(self, *parts: str) -> Reply:
        """Return the answer to a request for the whole."""
        return self.say("POST", "/tus/", f"Upload-Concat: final;{' '.join(parts)}")

    def test_whole(self) -> None:
        """Parts make a file, in the order that is told; absolute addresses are good too."""
        data = content(3 * MIB)
        first, second = self.part(data[: 2 * MIB]), self.part(data[2 * MIB :])
        reply = self.join(first, self.url.rstrip("/") + second)
        self.assertEqual(reply.status, 201, reply.body)
        self.check_file(reply.headers["upload-cap"], data)
        path = reply.headers["location"]
        head = self.head(path)
        self.assertTrue(head.headers["upload-concat"].startswith(f"final;{first} "))
        self.assertEqual(head.headers["upload-length"], str(len(data)))
        self.check_error(self.patch(path, len(data), b""), 403, "made of others")
        reply = self.join(second, first)
        self.check_file(reply.headers["upload-cap"], data[2 * MIB :] + data[: 2 * MIB])

    def test_bad(self) -> None:
        """A whole needs parts that are there, are parts, and have all their bytes."""
        part = self.part(b"abc")
        self.check_error(self.join(part, "/tus/abc"), 404, "handle")
        other = self.make("Upload-Length: 9")
        self.check_error(self.join(part, other), 400, "partial")
        short = self.make("Upload-Length: 9", "Upload-Concat: partial")
        self.check_error(self.join(part, short), 409, "0 so far")
        self.check_error(self.join(), 400, "names no uploads")
        for header in ("partial;", "final", "x"):
            reply = self.say(
                "POST", "/tus/", "Upload-Length: 1", f"Upload-Concat: {header}"
            )
            self.check_error(reply, 400, "Upload-Concat")
        both = (f"Upload-Concat: final;{part}", "Upload-Length: 3")
        self.check_error(self.say("POST", "/tus/", *both), 400, "as long as its parts")
        body = (f"Upload-Concat: final;{part}", PIECE)
        self.check_error(self.say("POST", "/tus/", *body, data=b"x"), 413, "byte 0")


class BreakTests(TusCase):
    def test_resume(self) -> None:
        """All that came before a line broke is kept, and the file goes on from there."""
        data = content(4 * MIB)
        path = self.make(f"Upload-Length: {len(data)}")
        with Wire(self.url) as wire:
            headers = (PIECE, "Tus-Resumable: 1.0.0", "Upload-Offset: 0")
            wire.request(f"PATCH {path}", f"Content-Length: {len(data)}", *headers)
            wire.send(data[: 2 * MIB + 7])
            eventually(lambda: self.offset(path) == 2 * MIB + 7)
        offset = int(self.head(path).headers["upload-offset"])
        self.assertEqual(offset, 2 * MIB + 7)
        cap = self.patch(path, offset, data[offset:]).headers["upload-cap"]
        self.check_file(cap, data)

    def test_half_dead(self) -> None:
        """HEAD ends a request that hangs, and its offset is that of the next, in 2 s."""
        data = content(4 * MIB)
        path = self.make(f"Upload-Length: {len(data)}")
        with Wire(self.url) as old:
            headers = (PIECE, "Tus-Resumable: 1.0.0", "Upload-Offset: 0")
            old.request(f"PATCH {path}", f"Content-Length: {len(data)}", *headers)
            old.send(data[:MIB])
            eventually(lambda: self.offset(path) > 0)
            began = time.monotonic()
            offset = int(self.head(path).headers["upload-offset"])
            reply = self.patch(path, offset, data[offset:])
            self.assertLess(time.monotonic() - began, 2)
            self.check_file(reply.headers["upload-cap"], data)
            self.check_error(old.reply(), 409, "resumed this upload")

    def offset(self, path: str) -> int:
        """Return the offset, and end nothing."""
        told = json.loads(self.say_plainly("GET", path).body)
        offset: int = told["offset"]
        return offset
