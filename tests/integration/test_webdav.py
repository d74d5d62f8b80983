"""WebDAV: litmus, rclone and others against one real node, and what they do not try."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, fromstring

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.processes import GridProcess, Reply, SharedNode, Wire, ask, eventually, running
from truckee.codec.caps import DirectoryCap, LiteralCap, parse_cap
from truckee.codec.entity_tags import entity_tags

DAV = "{DAV:}"
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>"
)
LITERAL = "URI:LIT:nbswy3dp"  # hello
NAMES = (
    "plain.txt",
    "a b+c&d;e=f,g'h(i)!~$@:*.txt",
    'per%cent %2F #hash? "<x>" \\ back',
    "\u00fc\u00e9\u65e5\u672c\U0001f600",
    "control \x01\x1f\x7f",
    " leading and trailing ",
    "...",
    "URI:CHK:no",
)

room = SharedNode(happy=3, total=3)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def program(name: str) -> str:
    """Return where a client is, or skip."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed")
    return found


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.cap = self.mkdir()

    def mkdir(self) -> str:
        """Return the cap of a new directory."""
        return ask("-X", "POST", f"{self.grid.url}uri?t=mkdir").text

    def at(self, *names: str, cap: str = "") -> str:
        """Return the address of something in the directory."""
        path = "/".join([cap or self.cap, *(quote(name, safe="") for name in names)])
        return f"{self.grid.url}dav/{path}"

    def ask(
        self,
        method: str,
        *names: str,
        data: bytes | None = None,
        cap: str = "",
        **more: str,
    ) -> Reply:
        """Return the answer to a request; *more* are headers, _ for -."""
        options = ["-X", method, "--path-as-is"]
        if method == "HEAD":
            options = ["--head", "--path-as-is"]
        for name, value in more.items():
            options += ["-H", f"{name.replace('_', '-')}: {value}"]
        if data is not None:
            options += ["--data-binary", "@-", "-H", "Content-Type: application/xml"]
        return ask(*options, self.at(*names, cap=cap), data=data)

    def check(self, status: int, method: str, *names: str, **more: Any) -> Reply:
        """Return the answer, which has that status."""
        reply = self.ask(method, *names, **more)
        self.assertEqual(reply.status, status, (method, names, reply.body))
        return reply

    def lock(self, *names: str, **more: str) -> str:
        """Lock something; return the If header of who has the lock."""
        reply = self.ask("LOCK", *names, data=LOCK, **more)
        self.assertIn(reply.status, (200, 201), reply.body)
        return f"({reply.headers['lock-token']})"

    def find(self, *names: str, depth: str = "1", cap: str = "") -> dict[str, Element]:
        """Return what a PROPFIND tells, by the path below the directory."""
        reply = self.check(207, "PROPFIND", *names, Depth=depth, cap=cap)
        found = {}
        start = urlsplit(self.at(cap=cap)).path
        for each in fromstring(reply.body):
            path = unquote(each.findtext(f"{DAV}href", ""))
            self.assertTrue(path.startswith(start), path)
            found[path[len(start) + 1 :]] = each
        return found

    def value(self, name: str, *names: str, **more: str) -> str:
        """Return the text of a property of WebDAV."""
        [found] = self.find(*names, depth="0", **more).values()
        return found.findtext(f".//{DAV}{name}", "")

    def read(self, *names: str) -> bytes:
        """Return what a file has."""
        return self.check(200, "GET", *names).body

    def child(self, *names: str) -> dict[str, Any]:
        """Return what the web API says of something."""
        path = "/".join([self.cap, *(quote(name, safe="") for name in names)])
        reply = ask(f"{self.grid.url}uri/{path}?t=json")
        self.assertEqual(reply.status, 200, reply.body)
        found: dict[str, Any] = json.loads(reply.body)[1]
        return found

    def stored(self, name: str) -> bytes:
        """Return what a file has for those who do not come by WebDAV."""
        return ask(f"{self.grid.url}uri/{self.cap}/{quote(name)}").body

    def read_cap(self) -> str:
        """Return the cap that only lists the directory."""
        cap = parse_cap(self.cap)
        assert isinstance(cap, DirectoryCap)
        return str(cap.read_cap())


class ServerTests(_Case):
    """What the server says it is."""

    def test_options(self) -> None:
        """Windows asks the server itself first, and wants two headers."""
        for path in ("", "dav", "dav/", f"dav/{self.cap}", f"dav/{self.cap}/no/name"):
            reply = ask("-X", "OPTIONS", f"{self.grid.url}{path}")
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.headers["dav"], "1, 2")
            self.assertEqual(reply.headers["ms-author-via"], "DAV")
            self.assertIn("LOCK", reply.headers["allow"])

    def test_above(self) -> None:
        """Above the caps there are directories, in which nothing is listed."""
        for path in ("", "dav", "dav/"):
            for depth in ("0", "1"):
                options = ("-X", "PROPFIND", "-H", f"Depth: {depth}")
                reply = ask(*options, f"{self.grid.url}{path}")
                self.assertEqual((reply.status, len(fromstring(reply.body))), (207, 1))

    def test_pages_stay(self) -> None:
        """Browsers get the first page, and the page of a directory."""
        self.assertIn("text/html", ask(self.grid.url).headers["content-type"])
        reply = self.check(302, "GET")
        self.assertEqual(reply.headers["location"], f"/uri/{self.cap}/")

    def test_other_caps(self) -> None:
        """Files and strangers' texts have no place there."""
        for cap in (LITERAL, "hello", "URI:DIR2:x", "URI:DIR2-Verifier:x"):
            self.check(400, "PROPFIND", cap=cap, Depth="0")

    def test_underscores(self) -> None:
        """A cap is understood where no colons can be."""
        self.check(201, "PUT", "a", data=b"x")
        cap = self.cap.replace(":", "_")
        self.assertEqual(sorted(self.find(cap=cap)), ["", "a"])
        self.assertEqual(self.check(200, "GET", "a", cap=cap).body, b"x")


class FindTests(_Case):
    """PROPFIND and what it lists."""

    def test_names(self) -> None:
        """Names of all kinds come back as they were sent, and can be used."""
        for name in NAMES:
            self.check(201, "PUT", name, data=name.encode())
        found = self.find()
        self.assertEqual(set(found), {"", *NAMES})
        for name in NAMES:
            self.assertEqual(self.read(name), name.encode())
            size = found[name].findtext(f".//{DAV}getcontentlength")
            self.assertEqual(size, str(len(name.encode())))
            tag = self.check(200, "HEAD", name).headers["etag"]
            self.assertEqual(found[name].findtext(f".//{DAV}getetag"), tag)
            self.check(204, "DELETE", name)
        self.assertEqual(list(self.find()), [""])

    def test_names_that_lead_elsewhere(self) -> None:
        """A client that makes paths of names stays inside; such names cannot be made."""
        names = ("..", ".", "a/../../b", "/etc", "nul\0", "good")
        children = {name: ["filenode", {"ro_uri": LITERAL}] for name in names}
        url = f"{self.grid.url}uri/{self.cap}?t=set_children"
        ask("-X", "POST", "--data-binary", "@-", url, data=json.dumps(children).encode())
        self.assertEqual(len(self.child()["children"]), len(names))
        self.assertEqual(sorted(self.find()), ["", "good"])
        for path in ("%2e%2e", "..", ".", "a%2fb", "a%00", "..%2fx", "%ff"):
            for method in ("PUT", "MKCOL", "DELETE", "PROPFIND"):
                reply = ask("-X", method, "--path-as-is", f"{self.at()}{path}")
                self.assertEqual(reply.status, 400, (method, path))

    def test_depth(self) -> None:
        """A whole tree at once is refused, in the words of the RFC."""
        for more in ({"Depth": "infinity"}, {}):
            reply = self.check(403, "PROPFIND", **more)
            error = fromstring(reply.body)
            self.assertIsNotNone(error.find(f"{DAV}propfind-finite-depth"))
        self.check(400, "PROPFIND", Depth="2")
        self.check(404, "PROPFIND", "no", Depth="0")
        self.check(404, "PROPFIND", "no", "name", Depth="0")

    def test_hostile_xml(self) -> None:
        """What is made to grow, or is too much, is refused at once."""
        entities = "".join(
            f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9)
        )
        bomb = f"<!DOCTYPE a [{entities}]><D:propfind xmlns:D='DAV:'>&e8;</D:propfind>"
        file = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'
        deep = "<a>" * 9000 + "</a>" * 9000
        for text in (bomb, file, deep, "<a", '<D:propfind xmlns:D="DAV:"/>', "\0"):
            for method in ("PROPFIND", "PROPPATCH", "LOCK"):
                reply = self.check(400, method, data=text.encode(), Depth="0")
                self.assertNotIn(b"root:", reply.body)
        for method in ("PROPFIND", "PROPPATCH", "LOCK"):
            self.check(413, method, data=b" " * (1 << 20), Depth="0")

    def test_large_directory(self) -> None:
        """All of thousands are told, and few at a time are in memory."""
        count = 5000
        children = {
            f"{number} {'n' * 100}": ["filenode", {"ro_uri": LITERAL}]
            for number in range(count)
        }
        body = json.dumps(children).encode()
        url = f"{self.grid.url}uri?t=mkdir-immutable"
        cap = ask("-X", "POST", "--data-binary", "@-", url, data=body).text
        reply = self.check(207, "PROPFIND", cap=cap, Depth="1")
        self.assertNotIn("content-length", reply.headers)
        # What is short has a length, which Finder wants.
        short = self.check(207, "PROPFIND", Depth="1")
        self.assertIn("content-length", short.headers)
        self.assertEqual(len(self.find(cap=cap)), count + 1)

    def test_read_only(self) -> None:
        """Who can only list it can change nothing, lock nothing and see no lock."""
        self.check(201, "PUT", "file", data=b"x")
        self.check(200, "LOCK", "file", data=LOCK)
        reader = self.read_cap()
        found = self.find(cap=reader)
        for each in found.values():
            self.assertIsNone(each.find(f".//{DAV}activelock"))
            self.assertIsNone(each.find(f".//{DAV}lockentry"))
        self.assertEqual(self.check(200, "GET", "file", cap=reader).body, b"x")
        patch = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><a/></D:prop></D:set>'
        for method, name, data in (
            ("PUT", "file", b"y"),
            ("PUT", "new", b"y"),
            ("MKCOL", "new", None),
            ("DELETE", "file", None),
            ("LOCK", "file", LOCK),
            ("LOCK", "new", LOCK),
            ("PROPPATCH", "file", patch + b"</D:propertyupdate>"),
        ):
            self.check(403, method, name, data=data, cap=reader)
        target = self.at("new", cap=reader)
        for method in ("COPY", "MOVE"):
            self.check(403, method, "file", Destination=target, cap=reader)

    def test_mutable(self) -> None:
        """A mutable file has size and tag of its version, and is written in place."""
        cap = ask("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"one").text
        url = f"{self.grid.url}uri/{self.cap}/file?t=uri"
        ask("-X", "PUT", "--data-binary", "@-", url, data=cap.encode())
        first = self.value("getetag", "file")
        self.assertEqual(self.value("getcontentlength", "file"), "3")
        self.check(204, "PUT", "file", data=b"other")
        self.assertEqual(self.child("file")["rw_uri"], cap)
        self.assertEqual(self.value("getcontentlength", "file"), "5")
        self.assertNotEqual(self.value("getetag", "file"), first)
        self.check(412, "PUT", "file", data=b"third", If_Match=first)
        self.assertEqual(self.read("file"), b"other")

    def test_quota(self) -> None:
        """A grid of its own tells the room that there is."""
        body = (
            b'<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/>'
            b"<D:quota-used-bytes/></D:prop></D:propfind>"
        )
        reply = self.check(207, "PROPFIND", data=body, Depth="0")
        for name in ("available", "used"):
            text = fromstring(reply.body).findtext(f".//{DAV}quota-{name}-bytes", "")
            self.assertGreater(int(text), 0)


class PutTests(_Case):
    """PUT, whole and not."""

    def test_cut(self) -> None:
        """A body that breaks off leaves what was there, or nothing."""
        self.check(201, "PUT", "old", data=b"old")
        path = urlsplit(self.at()).path
        for name in ("old", "new"):
            for header in ("Content-Length: 5000000", "Transfer-Encoding: chunked"):
                with Wire(self.grid.url) as wire:
                    wire.request(f"PUT {path}{name}", header)
                    piece = os.urandom(1_000_000)
                    if "chunked" in header:
                        wire.chunk(piece)
                    else:
                        wire.send(piece)
                eventually(lambda: not self.grid.incoming())
        self.assertEqual(sorted(self.find()), ["", "old"])
        self.assertEqual(self.read("old"), b"old")

    def test_expected_length(self) -> None:
        """Less than Finder said that it sends is not stored, nor is more."""
        path = urlsplit(self.at("file")).path
        headers = ("Transfer-Encoding: chunked", "X-Expected-Entity-Length: 100000")
        for size, status in ((99_999, 400), (0, 400), (100_001, 400), (100_000, 201)):
            with Wire(self.grid.url) as wire:
                wire.request(f"PUT {path}", *headers)
                if size:
                    wire.chunk(b"x" * size)
                wire.send(b"0\r\n\r\n")
                self.assertEqual(wire.reply().status, status, size)
            self.assertEqual(len(self.find()), 2 if status == 201 else 1)
        self.check(400, "PUT", "file", data=b"x", X_Expected_Entity_Length="2")
        self.check(400, "PUT", "file", data=b"x", X_Expected_Entity_Length="x")
        self.assertEqual(len(self.read("file")), 100_000)

    def test_streams(self) -> None:
        """Shares are there before the body has ended."""
        path = urlsplit(self.at("film")).path
        data = os.urandom(3 << 20)
        with Wire(self.grid.url) as wire:
            wire.request(f"PUT {path}", "Transfer-Encoding: chunked")
            wire.chunk(data)
            eventually(self.grid.incoming)
            self.assertEqual(list(self.find()), [""])
            wire.send(b"0\r\n\r\n")
            self.assertEqual(wire.reply().status, 201)
        self.assertEqual(self.read("film"), data)
        part = self.check(206, "GET", "film", Range="bytes=1000-1999")
        self.assertEqual(part.body, data[1000:2000])

    def test_refused(self) -> None:
        """What cannot be stored as it is meant is not stored."""
        self.check(400, "PUT", "a", data=b"x", Content_Range="bytes 0-0/2")
        self.check(409, "PUT", "no", "a", data=b"x")
        self.check(400, "PUT", "a", data=b"x", X_OC_Mtime="yesterday")
        self.check(400, "PUT", "a", data=b"x", If="nonsense")
        self.check(405, "MKCOL")
        self.check(201, "MKCOL", "d")
        self.check(405, "PUT", "d", data=b"x")
        self.check(405, "MKCOL", "d")
        self.check(415, "MKCOL", "e", data=b"<a/>")
        self.check(403, "DELETE")
        self.check(405, "BREW", "a")
        self.assertEqual(sorted(self.find()), ["", "d/"])

    def test_conditions(self) -> None:
        """A file is not replaced by one who means another."""
        tag = self.check(201, "PUT", "a", data=b"1", If_None_Match="*").headers["etag"]
        self.check(412, "PUT", "a", data=b"2", If_None_Match="*")
        self.check(204, "PUT", "a", data=b"2", If_Match=tag)
        self.check(412, "PUT", "a", data=b"3", If_Match=tag)
        self.check(412, "DELETE", "a", If_Match=tag)
        self.check(412, "PUT", "b", data=b"3", If_Match="*")
        self.check(412, "PUT", "a", data=b"3", If=f"([{tag}])")
        self.assertEqual(self.read("a"), b"2")

    def test_time(self) -> None:
        """The time that a client says is kept until another file takes the place."""
        said = "Sat, 03 Feb 2001 04:05:06 GMT"
        reply = self.check(201, "PUT", "a", data=b"1", X_OC_Mtime="981173106")
        self.assertEqual(reply.headers["x-oc-mtime"], "accepted")
        self.assertEqual(self.value("getlastmodified", "a"), said)
        self.assertEqual(self.check(200, "HEAD", "a").headers["last-modified"], said)
        self.check(201, "MOVE", "a", Destination=self.at("b"))
        self.check(201, "COPY", "b", Destination=self.at("c"))
        for name in ("b", "c"):
            self.assertEqual(self.value("getlastmodified", name), said)
        self.check(204, "PUT", "b", data=b"2")
        ask("-T", "-", f"{self.grid.url}uri/{self.cap}/c", data=b"2")
        for name in ("b", "c"):
            self.assertNotEqual(self.value("getlastmodified", name), said)
        patch = (
            b'<D:propertyupdate xmlns:D="DAV:" xmlns:z="urn:schemas-microsoft-com:"><D:set>'
            b"<D:prop><z:Win32LastModifiedTime>Sat, 03 Feb 2001 04:05:06 GMT"
            b"</z:Win32LastModifiedTime><z:Win32FileAttributes>00000020"
            b"</z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
        )
        self.check(207, "PROPPATCH", "c", data=patch)
        self.assertEqual(self.value("getlastmodified", "c"), said)

    def test_properties_stay(self) -> None:
        """Properties do not touch the time, and go with the directory to other gateways."""
        self.check(201, "PUT", "a", data=b"1")
        before = self.child("a")["metadata"]["tahoe"]
        patch = (
            b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:a xmlns:x="urn:x">v</x:a>'
            b"</D:prop></D:set></D:propertyupdate>"
        )
        self.check(207, "PROPPATCH", "a", data=patch)
        metadata = self.child("a")["metadata"]
        self.assertEqual(metadata["tahoe"], before)
        [kept] = metadata["truckee:webdav"]["properties"]
        self.assertIn("urn:x", kept)
        much = patch.replace(b">v<", b">" + b"v" * 20_000 + b"<")
        reply = self.check(207, "PROPPATCH", "a", data=much)
        self.assertIn(b" 507 ", reply.body)
        live = patch.replace(b'<x:a xmlns:x="urn:x">v</x:a>', b"<D:getetag/><b/>")
        reply = self.check(207, "PROPPATCH", "a", data=live)
        self.assertIn(b" 403 ", reply.body)
        self.assertIn(b" 424 ", reply.body)
        self.assertEqual(self.child("a")["metadata"], metadata)


class NameTests(_Case):
    """MOVE and COPY."""

    def test_copy(self) -> None:
        """What cannot change is linked again; what can is another one afterwards."""
        self.check(201, "MKCOL", "d")
        self.check(201, "MKCOL", "d", "sub")
        self.check(201, "PUT", "d", "sub", "large", data=os.urandom(100_000))
        cap = ask("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"one").text
        url = f"{self.grid.url}uri/{self.cap}/d/mutable?t=uri"
        ask("-X", "PUT", "--data-binary", "@-", url, data=cap.encode())
        self.check(201, "COPY", "d", Destination=self.at("e"))
        for path in (("sub", "large"), ("mutable",)):
            self.assertEqual(self.read("e", *path), self.read("d", *path))
        large = ("sub", "large")
        self.assertEqual(
            self.child("e", *large)["ro_uri"], self.child("d", *large)["ro_uri"]
        )
        self.check(204, "PUT", "e", "mutable", data=b"two")
        self.check(204, "DELETE", "e", "sub", "large")
        self.assertEqual(self.read("d", "mutable"), b"one")
        self.assertEqual(len(self.read("d", *large)), 100_000)
        # Only the directory itself.
        self.check(201, "COPY", "d", Destination=self.at("f"), Depth="0")
        self.assertEqual(list(self.find("f")), ["f/"])

    def test_copy_of_a_loop(self) -> None:
        """There is no end to a directory in itself; nothing is linked."""
        self.check(201, "MKCOL", "d")
        inner = self.child("d")["rw_uri"]
        url = f"{self.grid.url}uri/{self.cap}/d/again?t=uri"
        ask("-X", "PUT", "--data-binary", "@-", url, data=inner.encode())
        self.check(508, "COPY", "d", Destination=self.at("e"))
        self.check(404, "PROPFIND", "e", Depth="0")

    def test_refused(self) -> None:
        """A directory is not moved into itself, and nothing to another server."""
        self.check(201, "MKCOL", "d")
        self.check(201, "PUT", "d", "f", data=b"x")
        for names in (("d",), ("d", "in")):
            self.check(403, "MOVE", "d", Destination=self.at(*names))
        self.check(403, "COPY", "d", Destination=self.at("d"))
        self.check(403, "MOVE", "d", "f", Destination=self.at("d"))
        self.check(403, "COPY", "d", Destination=self.at())
        self.check(409, "MOVE", "d", Destination=self.at("no", "d"))
        self.check(201, "PUT", "other", data=b"y")
        self.check(412, "COPY", "d", "f", Destination=self.at("other"), Overwrite="F")
        self.check(412, "MOVE", "other", Destination=self.at("d", "f"), Overwrite="F")
        for address in ("http://evil.example/dav/x/y", f"{self.grid.url}uri/x", "x"):
            self.check(502, "COPY", "d", Destination=address)
        self.check(400, "COPY", "d")
        self.check(404, "MOVE", "no", Destination=self.at("e"))
        self.assertEqual(sorted(self.find("d")), ["d/", "d/f"])

    def test_another_directory(self) -> None:
        """A name can be moved to the directory of another cap."""
        other = self.mkdir()
        self.check(201, "PUT", "a", data=b"x")
        self.check(201, "MOVE", "a", Destination=self.at("b", cap=other))
        self.assertEqual(self.check(200, "GET", "b", cap=other).body, b"x")
        self.check(404, "GET", "a")


class LockTests(_Case):
    """What litmus does not try of locks."""

    def test_other_ways(self) -> None:
        """A lock holds whatever cap and path lead to what is locked."""
        self.check(201, "MKCOL", "d")
        inner = self.child("d")["rw_uri"]
        token = self.lock("d")
        self.check(423, "PUT", "f", data=b"x", cap=inner)
        self.check(423, "PUT", "d", "f", data=b"x")
        reply = self.check(423, "DELETE", "d")
        self.assertIn(f"/dav/{self.cap}/d/".encode(), reply.body)
        self.check(201, "PUT", "f", data=b"x", cap=inner, If=token)
        # It is not that of the directory above, which can have other names.
        self.check(201, "PUT", "g", data=b"x")
        self.check(423, "LOCK", "d", "f", data=LOCK)
        self.check(423, "LOCK", data=LOCK)

    def test_locked_meanwhile(self) -> None:
        """A body that was under way when somebody locked its place is not stored there."""
        self.check(201, "PUT", "a", data=b"old")
        path = urlsplit(self.at("a")).path
        with Wire(self.grid.url) as wire:
            wire.request(f"PUT {path}", "Transfer-Encoding: chunked")
            wire.chunk(os.urandom(3 << 20))
            eventually(self.grid.incoming)
            self.lock("a")
            wire.send(b"0\r\n\r\n")
            self.assertEqual(wire.reply().status, 423)
        self.assertEqual(self.read("a"), b"old")

    def test_gone(self) -> None:
        """What is gone takes its locks with it, and what comes then has none."""
        token = self.lock("new")
        self.assertEqual(self.read("new"), b"")
        self.check(204, "DELETE", "new", If=token)
        self.check(201, "PUT", "new", data=b"x")

    def test_expires(self) -> None:
        """Who does not renew a lock has none any more."""
        self.check(201, "PUT", "a", data=b"1")
        self.lock("a", Timeout="Second-1")
        eventually(lambda: self.ask("PUT", "a", data=b"2").status == 204)

    def test_renewed(self) -> None:
        token = self.lock("a", Timeout="Second-100")
        reply = self.check(200, "LOCK", "a", If=token, Timeout="Second-2000")
        self.assertRegex(reply.body, rb"Second-(2000|199\d)<")
        self.check(412, "LOCK", "a", If="(<urn:uuid:no>)")
        self.check(400, "LOCK", "a")
        self.check(409, "UNLOCK", "a", Lock_Token="<urn:uuid:no>")
        # Windows leaves the brackets out.
        self.check(204, "UNLOCK", "a", Lock_Token=token.strip("(<>)"))

    def test_survives_a_kill(self) -> None:
        """Who has a lock has it when the gateway was killed; the disk tells no cap."""
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        grid = GridProcess.create(
            place / "node", needed=1, happy=1, total=1, storage_dirs=1
        )
        with running(grid):
            self.grid = grid
            self.cap = self.mkdir()
            token = self.lock("secret name")
            grid.kill()
            kept = (grid.directory / "private" / "webdav-locks.json").read_text()
            for part in (*self.cap.split(":")[2:], "secret name"):
                self.assertNotIn(part, kept)
            grid.start()
            self.check(423, "PUT", "secret name", data=b"x")
            self.check(204, "PUT", "secret name", data=b"x", If=token)
            self.check(204, "PUT", "secret name", data=b"", If=token)
            grid.kill()
            kept = (grid.directory / "private" / "webdav-locks.json").read_text()
            self.assertNotIn(entity_tags(LiteralCap(b"x"))[0], kept)
            grid.start()
            self.assertEqual(self.read("secret name"), b"")
            self.assertEqual(self.stored("secret name"), b"x")
            self.check(204, "UNLOCK", "secret name", Lock_Token=token[1:-1])
            self.assertEqual(self.stored("secret name"), b"")
            self.check(204, "PUT", "secret name", data=b"y")
            self.assertNotIn(self.cap.split(":")[2], grid.log())


class EmptiedTests(_Case):
    """A file that is emptied under a lock, by a program that writes it anew."""

    def setUp(self) -> None:
        super().setUp()
        self.check(201, "PUT", "a", data=b"old")
        self.token = self.lock("a", Timeout="Second-600")

    def empty(self) -> str:
        """Empty the file; return its tag."""
        return self.check(204, "PUT", "a", data=b"", If=self.token).headers["etag"]

    def unlock(self) -> None:
        """Give the lock back."""
        self.check(204, "UNLOCK", "a", Lock_Token=self.token[1:-1])

    def test_old_stays(self) -> None:
        """The file stays until the new one is whole; WebDAV has an empty one meanwhile."""
        listing = f"{self.grid.url}uri/{self.cap}?t=json"
        before = ask(listing).headers["etag"]
        tag = self.empty()
        self.assertEqual(self.stored("a"), b"old")
        self.assertEqual(ask(listing).headers["etag"], before)
        self.assertEqual(self.read("a"), b"")
        self.assertEqual(self.check(200, "HEAD", "a").headers["etag"], tag)
        for depth in ("0", "1"):
            names = ("a",) if depth == "0" else ()
            found = self.find(*names, depth=depth)["a"]
            self.assertEqual(found.findtext(f".//{DAV}getcontentlength"), "0")
            self.assertEqual(found.findtext(f".//{DAV}getetag"), tag)
        self.check(204, "PUT", "a", data=b"new", If=self.token, If_Match=tag)
        self.assertEqual((self.stored("a"), self.read("a")), (b"new", b"new"))
        self.unlock()
        self.assertEqual(self.read("a"), b"new")

    def test_same_again(self) -> None:
        """What it had before can be what it has then."""
        self.empty()
        self.check(204, "PUT", "a", data=b"old", If=self.token)
        self.assertEqual(self.read("a"), b"old")
        self.unlock()
        self.assertEqual(self.stored("a"), b"old")

    def test_unlocked(self) -> None:
        """If no more comes it is empty, with the time that was set meanwhile."""
        self.empty()
        patch = (
            b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:lastmodified>981173106'
            b"</D:lastmodified></D:prop></D:set></D:propertyupdate>"
        )
        self.check(207, "PROPPATCH", "a", data=patch, If=self.token)
        time = "Sat, 03 Feb 2001 04:05:06 GMT"
        self.assertEqual(self.value("getlastmodified", "a"), time)
        self.assertEqual(self.stored("a"), b"old")
        self.unlock()
        self.assertEqual((self.stored("a"), self.read("a")), (b"", b""))
        self.assertEqual(self.value("getlastmodified", "a"), time)

    def test_expired(self) -> None:
        """Of a program that died before it sent more the old file is left."""
        self.check(200, "LOCK", "a", If=self.token, Timeout="Second-2")
        self.empty()
        eventually(lambda: self.read("a") == b"old")
        self.check(204, "PUT", "a", data=b"of another one")

    def test_cut(self) -> None:
        """When the new file breaks off the old one is left, by UNLOCK too."""
        self.empty()
        path = urlsplit(self.at("a")).path
        with Wire(self.grid.url) as wire:
            wire.request(f"PUT {path}", "Content-Length: 5000000", f"If: {self.token}")
            wire.send(os.urandom(1_000_000))
        eventually(lambda: not self.grid.incoming())
        self.unlock()
        self.assertEqual((self.stored("a"), self.read("a")), (b"old", b"old"))

    def test_others(self) -> None:
        """Others do not change it; who only reads has what is stored."""
        for data in (b"", b"x"):
            self.check(423, "PUT", "a", data=data)
        self.assertEqual(self.read("a"), b"old")
        self.empty()
        self.check(423, "PUT", "a", data=b"x")
        self.check(423, "DELETE", "a")
        reader = self.read_cap()
        self.assertEqual(self.check(200, "GET", "a", cap=reader).body, b"old")
        self.assertEqual(self.value("getcontentlength", "a", cap=reader), "3")

    def test_written_elsewhere(self) -> None:
        """What comes by another door meanwhile is shown, and stays."""
        self.empty()
        url = f"{self.grid.url}uri/{self.cap}/a"
        ask("-T", "-", url, data=b"by the web API")
        self.assertEqual(self.read("a"), b"by the web API")
        self.unlock()
        self.assertEqual(self.stored("a"), b"by the web API")
        self.token = self.lock("a")
        self.empty()
        ask("-X", "DELETE", url)
        self.unlock()
        self.assertEqual(list(self.find()), [""])

    def test_moved(self) -> None:
        """It is moved as it is shown, copied as it is stored, and taken the place of."""
        self.empty()
        self.check(201, "COPY", "a", Destination=self.at("copy"))
        self.assertEqual(self.stored("copy"), b"old")
        tagged = f"<{self.at('a')}> {self.token}"
        self.check(204, "MOVE", "copy", Destination=self.at("a"), If=tagged)
        self.assertEqual((self.stored("a"), self.read("a")), (b"old", b"old"))
        self.token = self.lock("a")
        self.empty()
        self.check(201, "MOVE", "a", Destination=self.at("b"), If=self.token)
        self.assertEqual((self.stored("b"), self.read("b")), (b"", b""))
        self.token = self.lock("b")
        self.check(204, "PUT", "b", data=b"x", If=self.token)
        self.check(204, "PUT", "b", data=b"", If=self.token)
        self.check(204, "DELETE", "b", If=self.token)
        self.assertEqual(list(self.find()), [""])

    def test_at_once(self) -> None:
        """A file whose time is said is whole, also an empty one; so is a mutable one."""
        self.check(204, "PUT", "a", data=b"", If=self.token, X_OC_Mtime="981173106")
        self.assertEqual(self.stored("a"), b"")
        cap = ask("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"one").text
        url = f"{self.grid.url}uri/{self.cap}/m?t=uri"
        ask("-X", "PUT", "--data-binary", "@-", url, data=cap.encode())
        self.check(204, "PUT", "m", data=b"", If=self.lock("m"))
        self.assertEqual(self.stored("m"), b"")


class ClientTests(_Case):
    """Programs that people use."""

    def run_client(self, *command: str, **more: Any) -> str:
        """Return what a client prints; an error is one."""
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            check=False,
            capture_output=True,
            timeout=300,
            **more,
        )
        output: str = (done.stdout + done.stderr).decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, output)
        return output

    def test_litmus(self) -> None:
        """All of litmus 0.13."""
        place = new_directory(self)
        output = self.run_client("litmus", self.at(), cwd=place)
        self.assertEqual(output.count(", 0 failed"), 5, output)
        self.assertNotIn("WARNING", output)

    def test_tck(self) -> None:
        """All of webdav-tck but for the file of 2 GiB."""
        suites = "--suites=basic,copymove,props,locks,http"
        place = new_directory(self)  # for its log
        output = self.run_client("dav-tck", "--no-colour", suites, self.at(), cwd=place)
        self.assertNotIn("FAIL", output)
        self.assertGreater(output.count("PASS"), 60)

    def test_rclone(self) -> None:
        """A tree is copied and compared, times and all, and copied back."""
        source, back = new_directory(self), new_directory(self)
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "large").write_bytes(os.urandom(2_000_000))
        (source / "empty").touch()
        (source / "sub" / "\u00fc & <b> 'x'.txt").write_text("hello")
        (source / "sub" / "deep" / "per%cent #hash.txt").write_text("x")
        os.utime(source / "large", (0, 981173106))
        remote = f":webdav,vendor=owncloud,url='{self.at()}':tree"

        def rclone(*arguments: str, **more: Any) -> str:
            options = ("--config", os.devnull, "--retries", "1", "--checkers", "2")
            return self.run_client("rclone", *options, *arguments, **more)

        rclone("sync", str(source), remote)
        rclone("check", str(source), remote)
        self.assertIn("2001-02-03 04:05:06", rclone("lsl", remote, env=_UTC))
        # Nothing is sent again.
        again = rclone("sync", "-v", str(source), remote)
        self.assertNotIn("Copied", again)
        self.assertEqual(rclone("cat", f"{remote}/sub/deep/per%cent #hash.txt"), "x")
        rclone("rcat", f"{remote}/piped", input=b"from a pipe")
        self.assertEqual(self.read("tree", "piped"), b"from a pipe")
        (source / "empty").unlink()
        rclone("sync", str(source), remote)
        rclone("copy", remote, str(back))
        for path in ("large", "sub/deep/per%cent #hash.txt"):
            self.assertEqual((back / path).read_bytes(), (source / path).read_bytes())
        self.assertEqual((back / "large").stat().st_mtime, 981173106)
        self.assertFalse((back / "empty").exists() or (back / "piped").exists())

    def test_cadaver(self) -> None:
        """A session of one that locks."""
        place = new_directory(self)
        (place / "file").write_bytes(b"x" * 100_000)
        commands = "mkcol c\ncd c\nput file\nmove file f\nlock f\nget f back\nunlock f\n"
        output = self.run_client(
            "cadaver",
            self.at(),
            input=f"{commands}propset f a b\npropget f a\nquit\n".encode(),
            cwd=place,
            env={**os.environ, "HOME": str(place)},
        )
        self.assertNotIn("failed", output)
        self.assertIn("Value of a is: b", output)
        self.assertEqual((place / "back").read_bytes(), b"x" * 100_000)


_UTC = {**os.environ, "TZ": "UTC"}
