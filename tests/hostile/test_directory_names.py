"""Odd names, loops of directories, and children that cannot be read: no harm is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, ask

LITERAL = "URI:LIT:nbswy3dp"
LOST = f"URI:DIR2:{'a' * 26}:{'b' * 51}a"

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def in_path(name: bytes) -> str:
    """Return *name* as a part of a path that no client shortens."""
    return quote_from_bytes(name, safe="").replace(".", "%2E")


class NameCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.url = room().url
        self.cap = self.ask("POST", "?t=mkdir").text
        self.directory = f"/{quote(self.cap, safe='')}"

    def ask(self, method: str, path: str, data: bytes = b"", *more: str) -> Reply:
        """Return the answer to a request below /uri; an error is a line of text."""
        body = ("--data-binary", "@-", "--header", "Content-Type:")
        options = ("--request", method, "--path-as-is", *more)
        reply = ask(*options, *body, f"{self.url}uri{path}", data=data)
        if reply.status >= 400:
            self.assertEqual(reply.body.count(b"\n"), 1, reply.body)
            self.assertNotIn(b"Traceback", reply.body)
        return reply

    def names(self) -> list[str]:
        """Return the names in the directory; its page shows it, too."""
        self.assertEqual(self.ask("GET", f"{self.directory}/").status, 200)
        reply = self.ask("GET", f"{self.directory}?t=json")
        return list(json.loads(reply.body)[1]["children"])

    def given(self, name: bytes) -> Iterator[tuple[str, Reply]]:
        """Give the answers to whoever links something under *name*, in each way."""
        here, path = self.directory, in_path(name)
        yield "mkdir", self.ask("POST", f"{here}/{path}?t=mkdir")
        yield "uri", self.ask("PUT", f"{here}/{path}?t=uri", LITERAL.encode())
        yield "PUT", self.ask("PUT", f"{here}/{path}", b"data")
        yield "name=", self.ask("POST", f"{here}?t=uri&uri={LITERAL}&name={path}")
        file = ("--form", "file=@-;filename=f")
        url = f"{self.url}uri{here}?t=upload&name={path}"
        yield "upload", ask(*file, url, data=b"data")
        text = name.decode("utf-8", "surrogateescape")
        children = json.dumps({text: ["filenode", {"ro_uri": LITERAL}]}).encode()
        yield "children", self.ask("POST", f"{here}?t=set_children", children)
        made = self.ask("POST", f"{here}?t=mkdir-with-children&name=made", children)
        self.ask("DELETE", f"{here}/made")
        yield "with", made
        yield "immutable", self.ask("POST", "?t=mkdir-immutable", children)


class NameTests(NameCase):
    def test_taken(self) -> None:
        """Names that are text are kept as they are, and can be asked for and removed."""
        for name in ("a\0b", ".", "..", "\r\nx: y", "\u202egnp.exe", "n" * 4096, "<b>'\""):
            for way, reply in self.given(name.encode()):
                self.assertIn(reply.status, (200, 201), (name[:9], way, reply.text))
            self.assertEqual(self.names(), [name])
            path = f"{self.directory}/{in_path(name.encode())}"
            self.assertEqual(self.ask("GET", f"{path}?t=uri").text, LITERAL)
            self.assertEqual(self.ask("DELETE", path).status, 200)
            self.assertEqual(self.names(), [])

    def test_slash(self) -> None:
        """A slash is one in a path and in JSON, where it is quoted; not in name=."""
        refused = {way for way, reply in self.given(b"a/b") if reply.status == 400}
        self.assertEqual(refused, {"name=", "upload"})
        self.assertEqual(self.names(), ["a/b"])

    def test_composed(self) -> None:
        """However it is composed, it is one name."""
        for way, reply in self.given("e\u0301".encode()):
            self.assertIn(reply.status, (200, 201), (way, reply.text))
        self.assertEqual(self.names(), ["\u00e9"])
        path = f"{self.directory}/%C3%A9"
        self.assertEqual(self.ask("DELETE", path).status, 200)
        self.assertEqual(self.names(), [])

    def test_no_text(self) -> None:
        """What is not UTF-8 is no name."""
        for name in (b"\xff", b"\xed\xa0\x80", b"a\xc3"):
            for way, reply in self.given(name):
                self.assertEqual(reply.status, 400, (name, way, reply.text))
        self.assertEqual(self.names(), [])

    def test_long(self) -> None:
        """Nobody makes a name by one way that the others could not remove."""
        for name in (b"n" * 4097, "\u4e2d".encode() * 1366, b"n" * 65536, b"n" * 1_200_000):
            if len(name) < 10_000:
                for way, reply in self.given(name):
                    self.assertEqual(reply.status, 400, (way, reply.text))
                    self.assertIn("longer than the 4096 bytes", reply.text)
                continue
            children = json.dumps({name.decode(): ["x", {"ro_uri": LITERAL}]}).encode()
            for path in (
                f"{self.directory}?t=set_children",
                *("?t=mkdir-with-children", "?t=mkdir-immutable"),
            ):
                self.assertEqual(self.ask("POST", path, children).status, 400)
        self.assertEqual(self.names(), [])


class LoopTests(NameCase):
    def test_loop(self) -> None:
        """A directory in itself is walked as far as a path goes, and is listed once."""
        here = self.directory
        self.ask("PUT", f"{here}/self?t=uri", self.cap.encode())
        self.assertEqual(self.ask("GET", f"{here}/self/self/self?t=uri").text, self.cap)
        far = self.ask("GET", f"{here}/{'self/' * 2000}?t=uri")
        self.assertEqual(far.status, 400)
        path = f"{here}?t=relink&from_name=self&to_name=again&to_dir={here[1:]}/self"
        self.assertEqual(self.ask("POST", path).status, 200)
        self.assertEqual(self.names(), ["again"])
        lines = self.ask("POST", f"{here}?t=stream-manifest").text.splitlines()
        self.assertEqual(
            [json.loads(line)["type"] for line in lines], ["directory", "stats"]
        )

    def test_lost(self) -> None:
        """A child that cannot be read is listed, and only what is in it fails."""
        here = self.directory
        self.ask("PUT", f"{here}/lost?t=uri", LOST.encode())
        for method, path in (
            *(("GET", "lost/"), ("GET", "lost?t=json"), ("GET", "lost/x")),
            *(("PUT", "lost/x"), ("POST", "lost/x?t=mkdir"), ("DELETE", "lost/x")),
            ("POST", f"?t=relink&from_name=lost&to_dir={here[1:]}/lost"),
        ):
            reply = self.ask(method, f"{here}/{path}")
            self.assertEqual(reply.status, 410, (method, path, reply.text))
        self.assertEqual(self.names(), ["lost"])
        self.assertEqual(self.ask("DELETE", f"{here}/lost").status, 200)

    def test_read_only(self) -> None:
        """Who may only read is told so, and changes nothing here or there."""
        self.ask("PUT", f"{self.directory}/a", b"data")
        reader = self.ask("GET", f"{self.directory}?t=readonly-uri").text
        there = f"/{quote(reader, safe='')}"
        for way, reply in self._in(there):
            self.assertEqual(reply.status, 403, (way, reply.text))
            self.assertIn("only reads the directory", reply.text)
        self.assertEqual(self.names(), ["a"])

    def _in(self, there: str) -> Iterator[tuple[str, Reply]]:
        children = json.dumps({"b": ["x", {"ro_uri": LITERAL}]}).encode()
        for method, path, data in (
            *(("PUT", "/b", b"data"), ("PUT", "/a", b"data"), ("DELETE", "/a", b"")),
            *(("PUT", "/b?t=uri", LITERAL.encode()), ("POST", "/b?t=mkdir", b"")),
            *(("POST", "?t=mkdir&name=b", b""), ("POST", "?t=unlink&name=a", b"")),
            ("POST", "?t=rename&from_name=a&to_name=b", b""),
            ("POST", "?t=set_children", children),
            ("POST", "?t=mkdir-with-children&name=b", children),
            ("POST", "?t=mkdir-immutable&name=b", children),
            ("POST", "/c/b?t=mkdir-immutable", children),
        ):
            yield path, self.ask(method, f"{there}{path}", data)
        other = quote(self.ask("POST", "?t=mkdir").text, safe="")
        other = quote(self.ask("GET", f"/{other}?t=readonly-uri").text, safe="")
        moved = f"{self.directory}?t=relink&from_name=a&to_dir={other}"
        yield "relink", self.ask("POST", moved)
