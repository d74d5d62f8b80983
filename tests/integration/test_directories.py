"""Directories over the web API: curl against one real node."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, ask
from truckee.codec.caps import DirectoryCap, MutableWriteCap, parse_cap

LITERAL = "URI:LIT:nbswy3dp"  # hello


room = SharedNode(happy=3, total=5)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def read_only(cap: str) -> str:
    """Return the cap that only lists a directory."""
    parsed = parse_cap(cap)
    assert isinstance(parsed, DirectoryCap)
    assert isinstance(parsed.inner, MutableWriteCap)
    return str(DirectoryCap(parsed.inner.read_cap()))


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.url = room().url

    def ask(self, method: str, path: str, data: bytes | None = None, *more: str) -> Reply:
        """Return the answer to a request below /uri/."""
        options = ["--request", method, *more]
        if data is not None:
            options += ["--data-binary", "@-", "--header", "Content-Type:"]
        return ask(*options, f"{self.url}uri{path}", data=data)

    def mkdir(self, format: str = "SDMF") -> str:
        """Return the cap of a new directory."""
        reply = self.ask("POST", f"?t=mkdir&format={format}", b"")
        self.assertEqual(reply.status, 200, reply.body)
        return reply.text

    def at(self, cap: str, *names: str, **args: str) -> str:
        """Return the path of what is in a directory."""
        path = "/".join(
            ["", quote(cap, safe=""), *(quote(name, safe="") for name in names)]
        )
        return path + (f"?{urlencode(args)}" if args else "")

    def put(self, cap: str, *names: str, data: bytes = b"data", **args: str) -> Reply:
        """Store a file in a directory."""
        return self.ask("PUT", self.at(cap, *names, **args), data)

    def json(self, cap: str, *names: str) -> Any:
        """Return what ``t=json`` says."""
        reply = self.ask("GET", self.at(cap, *names, t="json"))
        self.assertEqual(reply.status, 200, reply.body)
        return json.loads(reply.body)

    def names(self, cap: str, *names: str) -> list[str]:
        """Return the names in a directory."""
        return list(self.json(cap, *names)[1]["children"])

    def post(self, cap: str, *names: str, data: bytes = b"", **args: str) -> Reply:
        """Ask a directory to do something."""
        return self.ask("POST", self.at(cap, *names, **args), data)

    def check_error(self, reply: Reply, status: int, text: str = "") -> None:
        """An error is a sentence."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertIn(text, reply.body.decode("utf-8"))
        self.assertNotIn("Traceback", reply.body.decode("utf-8"))


class MakeTests(_Case):
    """Directories that nobody has linked."""

    def test_empty(self) -> None:
        for format, start in (("SDMF", "URI:DIR2:"), ("MDMF", "URI:DIR2-MDMF:")):
            cap = self.mkdir(format)
            self.assertTrue(cap.startswith(start))
            kind, found = self.json(cap)
            self.assertEqual((kind, found["children"]), ("dirnode", {}))
            self.assertEqual((found["rw_uri"], found["ro_uri"]), (cap, read_only(cap)))
            self.assertNotIn("rw_uri", self.json(read_only(cap))[1])

    def test_with_children(self) -> None:
        inner = self.mkdir()
        children = {
            "file": ["filenode", {"ro_uri": LITERAL, "metadata": {"a": 1}}],
            "d\u00edr": ["dirnode", {"rw_uri": inner}],
        }
        body = json.dumps(children).encode()
        reply = self.ask("POST", "?t=mkdir-with-children", body)
        found = self.json(reply.text)[1]["children"]
        self.assertEqual(sorted(found), ["d\u00edr", "file"])
        self.assertEqual(found["file"][1]["metadata"], {"a": 1})
        self.assertEqual(found["d\u00edr"][1]["rw_uri"], inner)
        # Who may only list it gets no write caps.
        listed = self.json(read_only(reply.text))[1]["children"]
        self.assertNotIn("rw_uri", listed["d\u00edr"][1])
        self.assertEqual(listed["d\u00edr"][1]["ro_uri"], read_only(inner))

    def test_immutable(self) -> None:
        body = json.dumps({"a": ["filenode", {"ro_uri": LITERAL}]}).encode()
        reply = self.ask("POST", "?t=mkdir-immutable", body)
        self.assertEqual(
            reply.text,
            "URI:DIR2-LIT:gmzdumj2mewdcnr2kvjesosmjfkdu3tcon3xsm3eoawdaormgi5hw7jmfq",
        )
        self.assertEqual(self.ask("GET", self.at(reply.text, "a")).body, b"hello")
        many = {f"file {n}": ["filenode", {"ro_uri": LITERAL}] for n in range(20)}
        long = self.ask("POST", "?t=mkdir-immutable", json.dumps(many).encode())
        self.assertTrue(long.text.startswith("URI:DIR2-CHK:"))
        self.assertEqual(len(self.names(long.text)), 20)
        mutable = {"d": ["dirnode", {"rw_uri": self.mkdir()}]}
        refused = self.ask("POST", "?t=mkdir-immutable", json.dumps(mutable).encode())
        self.check_error(refused, 400, "cannot change")

    def test_long_list(self) -> None:
        """An immutable directory is made of a long list; of others some at a time."""
        padded = {"ro_uri": LITERAL, "ignored": "x" * 200_000}
        children = {f"file {n}": ["filenode", padded] for n in range(90, 0, -1)}
        body = json.dumps(children).encode()
        self.assertGreater(len(body), 17 << 20)
        short = {name: ["filenode", {"ro_uri": LITERAL}] for name in sorted(children)}
        expected = self.ask("POST", "?t=mkdir-immutable", json.dumps(short).encode()).text
        for more in ((), ("--header", "Transfer-Encoding: chunked")):
            reply = self.ask("POST", "?t=mkdir-immutable", body, *more)
            self.assertEqual(reply.text, expected)
        cap = self.mkdir()
        path = self.at(cap, t="mkdir-immutable", name="made")
        self.assertEqual(self.ask("POST", path, body).text, expected)
        for path in (
            *("?t=mkdir-with-children", self.at(cap, t="set_children")),
            self.at(cap, t="mkdir-with-children", name="x"),
        ):
            for more in ((), ("--header", "Transfer-Encoding: chunked")):
                refused = self.ask("POST", path, body, *more)
                self.check_error(refused, 413, "t=set_children, some at a time")
        self.assertEqual(self.names(cap), ["made"])

    def test_bad_children(self) -> None:
        for body in (b"x", b"[]", b'{"a": 1}', b'{"a": ["filenode", {"ro_uri": 1}]}'):
            self.check_error(self.ask("POST", "?t=mkdir-with-children", body), 400)


class FileTests(_Case):
    """Files in directories."""

    def test_put(self) -> None:
        cap = self.mkdir()
        new = self.put(cap, "name", data=b"x" * 1000)
        self.assertEqual((new.status, new.text[:8]), (201, "URI:CHK:"))
        self.assertEqual(self.ask("GET", self.at(cap, "name")).body, b"x" * 1000)
        other = self.put(cap, "name", data=b"y" * 1000)
        self.assertEqual(other.status, 200)
        self.assertEqual(self.ask("GET", self.at(cap, "name")).body, b"y" * 1000)
        kind, found = self.json(cap, "name")
        self.assertEqual((kind, found["ro_uri"]), ("filenode", other.text))
        self.assertIn("linkmotime", found["metadata"]["tahoe"])

    def test_way_is_made(self) -> None:
        cap = self.mkdir()
        self.assertEqual(self.put(cap, "a", "b", "c", data=b"deep").status, 201)
        self.assertEqual(self.ask("GET", self.at(cap, "a", "b", "c")).body, b"deep")
        self.assertEqual(self.names(cap, "a"), ["b"])

    def test_mutable(self) -> None:
        cap = self.mkdir()
        new = self.put(cap, "m", data=b"one", format="SDMF")
        self.assertTrue(new.text.startswith("URI:SSK:"))
        again = self.put(cap, "m", data=b"two")
        self.assertEqual((again.status, again.text), (200, new.text))
        self.assertEqual(self.ask("GET", self.at(cap, "m")).body, b"two")

    def test_form(self) -> None:
        cap = self.mkdir()
        url = f"{self.url}uri{self.at(cap, t='upload')}"
        named = ask("--form", "name=n", "--form", "file=@-", url, data=b"in a form")
        self.assertEqual(named.status, 200, named.body)
        given = ask("--form", "file=@-;filename=given", url, data=b"in a form")
        self.assertEqual(given.status, 200, given.body)
        self.assertEqual(self.names(cap), ["given", "n"])

    def test_replace(self) -> None:
        cap = self.mkdir()
        self.put(cap, "file")
        self.put(cap, "dir", t="mkdir", data=b"")
        self.check_error(self.put(cap, "file", replace="false"), 409, "not to be replaced")
        self.check_error(self.put(cap, "dir"), 400, "directory")
        link = self.put(cap, "dir", t="uri", data=LITERAL.encode(), replace="only-files")
        self.check_error(link, 409)
        linked = self.put(cap, "file", t="uri", data=LITERAL.encode(), replace="only-files")
        self.assertEqual((linked.status, linked.text), (200, LITERAL))
        self.check_error(self.put(cap, "x", replace="perhaps"), 400, "replace=")

    def test_refused_before_the_body(self) -> None:
        """What cannot be stored is refused without 100 Continue."""
        cap = self.mkdir()
        self.put(cap, "file")
        more = ("--header", "Expect: 100-continue", "--data-binary", "@-")
        path = self.at(cap, "file", replace="false")
        reply = self.ask("PUT", path, b"z" * 2_000_000, *more)
        self.assertEqual(reply.status, 409)
        self.assertEqual(self.ask("GET", self.at(cap, "file")).body, b"data")

    def test_file_in_the_way(self) -> None:
        cap = self.mkdir()
        self.put(cap, "file")
        self.check_error(self.put(cap, "file", "below"), 409, "not a directory")
        self.check_error(self.put(cap, "file", t="mkdir", data=b""), 400)

    def test_content_type(self) -> None:
        cap = self.mkdir()
        self.put(cap, "picture.png")
        reply = self.ask("GET", self.at(cap, "picture.png"))
        self.assertEqual(reply.headers["content-type"], "image/png")

    def test_caches(self) -> None:
        """What a name leads to is asked for again, as it may be another file by then."""
        cap = self.mkdir()
        self.put(cap, "file", data=b"x" * 1000)
        reply = self.ask("GET", self.at(cap, "file"))
        self.assertEqual(reply.headers["cache-control"], "private, no-cache")
        tag = f"If-None-Match: {reply.headers['etag']}"
        known = self.ask("GET", self.at(cap, "file"), None, "--header", tag)
        self.assertEqual(known.status, 304)
        own = self.ask("GET", self.at(self.json(cap, "file")[1]["ro_uri"]))
        self.assertIn("immutable", own.headers["cache-control"])

    def test_ranges(self) -> None:
        cap = self.mkdir()
        self.put(cap, "f", data=bytes(range(200)))
        reply = self.ask("GET", self.at(cap, "f"), None, "--range", "10-19")
        self.assertEqual((reply.status, reply.body), (206, bytes(range(10, 20))))


class LinkTests(_Case):
    """Links that are set, moved and removed."""

    def filled(self) -> str:
        """Return a directory with two files and a directory."""
        cap = self.mkdir()
        self.put(cap, "one", data=b"1")
        self.put(cap, "two", data=b"2")
        self.put(cap, "dir", t="mkdir", data=b"")
        return cap

    def test_link(self) -> None:
        cap = self.filled()
        reply = self.post(cap, t="uri", name="lit", uri=LITERAL)
        self.assertEqual((reply.status, reply.text), (200, LITERAL))
        self.assertEqual(self.ask("GET", self.at(cap, "lit")).body, b"hello")
        self.check_error(self.post(cap, t="uri", name="x"), 400, "uri=")

    def test_unlink(self) -> None:
        cap = self.filled()
        self.assertEqual(self.post(cap, t="unlink", name="one").status, 200)
        gone = self.ask("DELETE", self.at(cap, "two"))
        self.assertEqual(gone.status, 200)
        self.assertTrue(gone.text.startswith("URI:LIT:"))
        self.assertEqual(self.names(cap), ["dir"])
        self.check_error(self.post(cap, t="delete", name="one"), 404)
        self.check_error(self.ask("DELETE", self.at(cap, "two")), 404, "no child")

    def test_rename(self) -> None:
        cap = self.filled()
        done = self.post(cap, t="rename", from_name="one", to_name="un")
        self.assertEqual((done.status, done.text), (200, "thing moved"))
        taken = self.post(cap, t="rename", from_name="un", to_name="two", replace="false")
        self.check_error(taken, 409)
        self.check_error(self.post(cap, t="rename", from_name="no", to_name="x"), 404)
        self.check_error(self.post(cap, t="rename", from_name="un", to_name="a/b"), 400)
        self.assertEqual(self.names(cap), ["dir", "two", "un"])

    def test_relink(self) -> None:
        cap, other = self.filled(), self.mkdir()
        self.post(cap, t="relink", from_name="one", to_dir=other, to_name="here")
        self.post(cap, t="relink", from_name="two", to_dir=f"{cap}/dir")
        self.assertEqual(self.names(cap), ["dir"])
        self.assertEqual(self.names(other), ["here"])
        self.assertEqual(self.names(cap, "dir"), ["two"])
        nowhere = self.post(cap, t="relink", from_name="dir", to_dir=f"{other}/no")
        self.check_error(nowhere, 404)
        self.assertEqual(self.names(cap), ["dir"])

    def test_set_children(self) -> None:
        cap = self.filled()
        body = json.dumps({n: ["filenode", {"ro_uri": LITERAL}] for n in ("one", "three")})
        for args in ({"replace": "false"}, {"overwrite": "false"}):
            path = self.at(cap, t="set_children", **args)
            self.check_error(self.ask("POST", path, body.encode()), 409)
        wrong = self.post(cap, data=body.encode(), t="set_children", overwrite="x")
        self.check_error(wrong, 400, "overwrite=")
        self.assertEqual(self.names(cap), ["dir", "one", "two"])
        done = self.post(cap, data=body.encode(), t="set_children")
        self.assertEqual(done.status, 200)
        self.assertEqual(self.names(cap), ["dir", "one", "three", "two"])

    def test_mkdir(self) -> None:
        cap = self.filled()
        again = self.put(cap, "dir", t="mkdir", data=b"")
        self.assertEqual(again.text, self.json(cap, "dir")[1]["rw_uri"])
        self.check_error(self.post(cap, t="mkdir", name="dir", replace="false"), 409)
        new = self.post(cap, t="mkdir", name="dir")
        self.assertNotEqual(new.text, again.text)
        self.assertEqual(self.json(cap, "dir")[1]["rw_uri"], new.text)
        deep = self.put(cap, "p", "q", "r", t="mkdir", data=b"")
        self.assertEqual(deep.text, self.json(cap, "p", "q", "r")[1]["rw_uri"])

    def test_read_only(self) -> None:
        """Who may only list it changes nothing, at any depth."""
        cap = self.filled()
        reader = read_only(cap)
        before = self.json(cap)
        for reply in (
            self.put(reader, "new"),
            self.put(reader, "dir", "new"),
            self.put(reader, "x", t="mkdir", data=b""),
            self.post(reader, t="unlink", name="one"),
            self.post(reader, t="rename", from_name="one", to_name="x"),
            self.post(reader, t="uri", name="x", uri=LITERAL),
            self.ask("DELETE", self.at(reader, "one")),
        ):
            self.check_error(reply, 403, "only reads")
        self.assertEqual(self.json(cap), before)

    def test_metadata(self) -> None:
        cap = self.mkdir()
        given: Mapping[str, Any] = {"ro_uri": LITERAL, "metadata": {"kept": [1, "x"]}}
        body = json.dumps({"n": ["filenode", given]}).encode()
        self.post(cap, data=body, t="set_children")
        first = self.json(cap, "n")[1]["metadata"]
        self.assertEqual(first["kept"], [1, "x"])
        self.put(cap, "n")
        second = self.json(cap, "n")[1]["metadata"]
        self.assertEqual(second["kept"], [1, "x"])
        self.assertEqual(second["tahoe"]["linkcrtime"], first["tahoe"]["linkcrtime"])

    def test_many_at_once(self) -> None:
        """No link is lost of those that are set through one gateway at once."""
        cap = self.mkdir()
        names = [f"n{number}" for number in range(16)]
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda name: self.put(cap, name), names))
        self.assertEqual({reply.status for reply in replies}, {201})
        self.assertEqual(self.names(cap), sorted(names))


class ReadTests(_Case):
    """What directories answer."""

    def test_absent(self) -> None:
        cap = self.mkdir()
        self.check_error(self.ask("GET", self.at(cap, "no")), 404, "no child")
        self.check_error(self.ask("GET", self.at(cap, "no", "way")), 404)
        self.check_error(self.ask("GET", f"{self.at(cap)}//x"), 400, "empty")

    def test_names(self) -> None:
        """Names of any letters, composed or not, come back as they are looked up."""
        cap = self.mkdir()
        for name in ("caf\u00e9", "\U0001f30d", "a b%c", "..x", "sl/ash", 'q"<>&'):
            self.assertEqual(self.put(cap, name, data=name.encode()).status, 201, name)
            self.assertEqual(self.ask("GET", self.at(cap, name)).body, name.encode())
        self.assertEqual(
            self.ask("GET", self.at(cap, "cafe\u0301")).body, "caf\u00e9".encode()
        )
        self.assertEqual(self.ask("GET", f"{self.at(cap)}/%FF").status, 400)

    def test_page(self) -> None:
        cap = self.mkdir()
        self.put(cap, "<b>&file", data=b"x" * 100)
        self.put(cap, "dir", t="mkdir", data=b"")
        moved = self.ask("GET", self.at(cap))
        self.assertEqual(moved.status, 302)
        self.assertTrue(moved.headers["location"].endswith("/"))
        reply = self.ask("GET", f"{self.at(cap)}/")
        page = reply.body.decode("utf-8")
        self.assertEqual(reply.status, 200)
        self.assertIn("&lt;b&gt;&amp;file", page)
        self.assertIn('href="./dir/"', page)
        # The page's forms need an origin; other sites learn nothing, and files neither.
        self.assertEqual(reply.headers["referrer-policy"], "same-origin")
        self.assertIn('/@@named=/%3Cb%3E%26file" rel="noopener noreferrer"', page)
        # No link of a file has the directory's cap in it.
        self.assertNotIn(quote(cap, safe=""), page)
        self.assertNotIn(cap, page)

    def test_entity_tag(self) -> None:
        """Who knows what is in a directory is not told again, until it changes."""
        children = json.dumps({"a": ["filenode", {"ro_uri": LITERAL}]}).encode()
        never = self.ask("POST", "?t=mkdir-immutable", children).text
        for cap in (self.mkdir(), never):
            seen = []
            for path in (self.at(cap, t="json"), f"{self.at(cap)}/"):
                first = self.ask("GET", path)
                know = ("--header", f"If-None-Match: {first.headers['etag']}")
                known = self.ask("GET", path, None, *know)
                self.assertEqual((known.status, known.body), (304, b""))
                self.assertEqual(known.headers["etag"], first.headers["etag"])
                head = self.ask("HEAD", path, None, "--head")
                self.assertEqual(head.headers["etag"], first.headers["etag"])
                seen.append((path, know))
            if cap is not never:
                self.put(cap, "new-one")
                for path, know in seen:
                    second = self.ask("GET", path, None, *know)
                    self.assertIn(b"new-one", second.body)
                [_, (page, know)] = seen
                reader = page.replace(quote(cap, safe=""), quote(read_only(cap), safe=""))
                self.assertIn(b"Read-only", self.ask("GET", reader, None, *know).body)

    def test_about(self) -> None:
        cap = self.mkdir()
        self.assertEqual(self.ask("GET", self.at(cap, t="uri")).text, cap)
        reader = self.ask("GET", self.at(cap, t="readonly-uri")).text
        self.assertEqual(reader, read_only(cap))
        self.assertIn(cap, self.ask("GET", self.at(cap, t="info")).text)
        self.check_error(self.ask("GET", self.at(cap, t="x")), 400, "t=")

    def test_walks_of_the_page(self) -> None:
        """The page about a directory begins walks below it, each with its own address."""
        cap = self.mkdir()
        self.put(cap, "file", data=b"x" * 1000)
        page = self.ask("GET", self.at(cap, t="info")).text
        actions = re.findall('action="([^"]*start-[^"]*)"', page)
        places = set()
        for action in map(unescape, actions):
            reply = self.ask("POST", action.removeprefix("../uri"), b"")
            self.assertEqual(reply.status, 302, action)
            places.add(reply.headers["location"])
            self.assertEqual(ask(reply.headers["location"]).status, 200)
        self.assertEqual(len(places), 6)

    def test_check(self) -> None:
        cap = self.mkdir()
        self.put(cap, "file", data=b"x" * 1000)
        for names in ((), ("file",)):
            reply = self.post(cap, *names, t="check", verify="true", output="JSON")
            self.assertTrue(json.loads(reply.body)["results"]["healthy"])

    def test_damaged(self) -> None:
        """What is no directory under a directory's cap is told so."""
        file = self.ask("PUT", "?format=SDMF", b"no directory").text
        cap = file.replace("URI:SSK:", "URI:DIR2:")
        self.check_error(self.ask("GET", self.at(cap, t="json")), 500, "damaged")
        self.check_error(self.put(cap, "x"), 500, "damaged")
        self.assertEqual(self.ask("GET", f"/{quote(file, safe='')}").body, b"no directory")

    def test_offset(self) -> None:
        """A PUT with offset= changes a part of a mutable file, and no immutable one."""
        cap = self.mkdir()
        self.put(cap, "m", data=b"mutable", format="SDMF")
        self.put(cap, "file", data=b"immutable")
        self.assertEqual(self.put(cap, "m", data=b"XX", offset="2").status, 200)
        self.assertEqual(self.ask("GET", self.at(cap, "m")).body, b"muXXble")
        self.check_error(self.put(cap, "file", data=b"XX", offset="2"), 400, "offset=")
        self.assertEqual(self.ask("GET", self.at(cap, "file")).body, b"immutable")

    def test_readers_file(self) -> None:
        """A mutable file that is only readable is not replaced by what is put there."""
        cap = self.mkdir()
        self.put(cap, "m", data=b"mutable", format="SDMF")
        reader = self.json(cap, "m")[1]["ro_uri"]
        self.post(cap, t="uri", name="reader", uri=reader)
        self.check_error(self.put(cap, "reader"), 403, "read-only")
        self.assertEqual(self.ask("GET", self.at(cap, "reader")).body, b"mutable")

    def test_unknown_put(self) -> None:
        """Nothing is stored by a PUT that asks for something else."""
        cap = self.mkdir()
        self.check_error(self.put(cap, "x", t="nothing"), 400, "t=")
        self.assertEqual(self.names(cap), [])

    def test_taken(self) -> None:
        """With replace=false the same link, too, is one that is there."""
        cap = self.mkdir()
        for replace, status in (("false", 200), ("false", 409), ("true", 200)):
            reply = self.post(cap, t="uri", name="x", uri=LITERAL, replace=replace)
            self.assertEqual(reply.status, status)

    def test_whole_forms(self) -> None:
        """All arguments may be fields of the form; when_done behind the file too."""
        cap = self.mkdir()
        url = f"{self.url}uri{self.at(cap)}"
        forms = (
            (("t=upload", "name=n", "file=@-"), 200),
            (("t=upload", "file=@-;filename=other", "when_done=/there"), 302),
            (("t=mkdir", "name=d"), 200),
            (("t=check", "output=JSON"), 200),
        )
        for fields, status in forms:
            options = [part for each in fields for part in ("--form", each)]
            reply = ask(*options, url, data=b"data")
            self.assertEqual(reply.status, status, (fields, reply.body))
        self.assertEqual(self.names(cap), ["d", "n", "other"])
        made = ask("--form", "t=mkdir", "--form", "format=mdmf", f"{self.url}uri")
        self.assertTrue(made.text.startswith("URI:DIR2-MDMF:"), made.body)
        self.check_error(ask("--form", "t=upload", f"{self.url}uri"), 400, '"file"')
        file = self.ask("PUT", "?format=SDMF", b"one").text
        file_form = ("--form", "file=@-", "--form", "when_done=/there")
        done = ask(*file_form, f"{self.url}uri{self.at(file)}?t=upload", data=b"two")
        self.assertEqual((done.status, done.headers["location"]), (302, "/there"))
        self.assertEqual(self.ask("GET", self.at(file)).body, b"two")

    def test_where_forms_lead(self) -> None:
        """What is done goes to when_done=, or is not done where that is no address."""
        cap = self.mkdir()
        self.put(cap, "a")
        asked = (
            {"t": "mkdir", "name": "d"},
            {"t": "rename", "from_name": "a", "to_name": "b"},
            {"t": "unlink", "name": "b"},
            {"t": "check"},
        )
        for args in asked:
            for wrong in ("javascript:x", "/a\nb"):
                reply = self.ask("POST", self.at(cap, **args, when_done=wrong), b"")
                self.check_error(reply, 400, "when_done=")
            for field in ("javascript:x", "data:,x"):
                fields = {**args, "when_done": field}.items()
                form = [part for each in fields for part in ("--form", "=".join(each))]
                reply = ask(*form, f"{self.url}uri{self.at(cap)}")
                self.check_error(reply, 400, "when_done=")
        self.assertEqual(self.names(cap), ["a"])
        for args in asked:
            reply = self.ask("POST", self.at(cap, **args, when_done="/w"), b"")
            self.assertEqual((reply.status, reply.headers["location"]), (302, "/w"), args)
        self.assertEqual(self.names(cap), ["d"])

    def test_late_fields(self) -> None:
        """What a file is stored by is not passed over when it comes behind the file."""
        cap = self.mkdir()
        url = f"{self.url}uri{self.at(cap)}?t=upload"
        for late in ("name=n", "replace=false", "format=mdmf", "when_done=javascript:x"):
            reply = ask("--form", "file=@-;filename=f", "--form", late, url, data=b"data")
            self.check_error(reply, 400, late.partition("=")[0] + "=")
        self.assertEqual(self.names(cap), [])

    def test_return_to(self) -> None:
        """The page of a check has a link back, to this gateway alone."""
        cap = self.mkdir()
        for address, count in (("/uri/x?t=info", 1), ("//evil.example/", 0)):
            path = self.at(cap, t="check", return_to=address)
            reply = self.ask("POST", path, b"", "--header", "Accept: text/html")
            self.assertEqual(reply.body.count(f'href="{address}"'.encode()), count)

    def test_named(self) -> None:
        """What is at /file is read there, and nothing else."""
        file = self.ask("PUT", "?format=SDMF", b"one").text
        url = f"{self.url}file/{quote(file, safe='')}/name.txt"
        self.assertEqual(ask(url).body, b"one")
        for method in ("PUT", "POST", "DELETE"):
            reply = ask("--request", method, "--data-binary", "@-", url, data=b"two")
            self.check_error(reply, 405)
        self.assertEqual(ask(url).body, b"one")

    def test_relink_to_a_file(self) -> None:
        cap = self.mkdir()
        self.put(cap, "file")
        target = f"{cap}/file"
        reply = self.post(cap, t="relink", from_name="file", to_dir=target)
        self.check_error(reply, 400, "to_dir")

    def test_unknown_cap(self) -> None:
        """A cap of a later version is nothing that can be read, and no fault."""
        for cap in ("URI:NEW:x", "lafs://later"):
            self.assertEqual(self.json(cap), ["unknown", {}])
            self.assertEqual(self.ask("GET", self.at(cap, t="info")).status, 200)
            for method in ("PUT", "POST", "DELETE"):
                self.check_error(self.ask(method, self.at(cap), b""), 405)
            for path in (self.at(cap), self.at(cap, "x"), self.at(cap, "x", t="json")):
                self.check_error(self.ask("GET", path), 400, "known kind")
        imm, ro = "imm.lafs:x", "ro.lafs:x"
        self.assertEqual(self.json(imm), ["unknown", {"ro_uri": imm, "mutable": False}])
        self.assertEqual(self.json(ro), ["unknown", {"ro_uri": ro}])
        self.check_error(self.ask("GET", self.at("URI:DIR2:x", t="json")), 400)

    def test_below_a_file(self) -> None:
        """Who reads below a file asks wrongly; who writes finds it in the way."""
        cap = self.mkdir()
        self.put(cap, "file")
        path = self.at(cap, "file", "below")
        for method in ("GET", "DELETE"):
            self.check_error(self.ask(method, path), 400, "no children")
        self.check_error(self.post(cap, "file", "below", t="check"), 400, "no children")
        self.check_error(self.ask("PUT", path, b"x"), 409)

    def test_directory_that_is_there(self) -> None:
        """Who may only read is given it by t=mkdir, as nothing is to be made."""
        cap = self.mkdir()
        made = self.put(cap, "dir", t="mkdir").text
        reader = read_only(cap)
        self.assertEqual(self.put(reader, "dir", t="mkdir").text, read_only(made))
        self.check_error(self.put(reader, "other", t="mkdir"), 403)

    def test_unknown_child(self) -> None:
        cap = self.mkdir()
        self.post(cap, t="uri", name="future", uri="ro.x-future:1")
        kind, found = self.json(cap, "future")
        self.assertEqual((kind, found["ro_uri"]), ("unknown", "ro.x-future:1"))
        self.check_error(self.ask("GET", self.at(cap, "future")), 400)
        self.check_error(self.post(cap, t="uri", name="x", uri="x-future:1"), 400)
