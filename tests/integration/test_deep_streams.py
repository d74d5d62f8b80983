"""Whole trees over the web API: one real node."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, Wire, ask, eventually

LITERAL = "URI:LIT:nbuq"

room = SharedNode(happy=3, total=3)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def restart() -> None:
    """Let the node die, and run it again."""
    node = room()
    node.process.kill()
    node.process.wait()
    node.start()


def post(target: str, data: bytes = b"", *more: str) -> Reply:
    """Return the answer to a POST below /uri."""
    options = ["--request", "POST", "--data-binary", "@-", "--header", "Content-Type:"]
    return ask(*options, *more, f"{room().url}uri{target}", data=data)


def put(path: str, data: bytes) -> str:
    """Store a file below /uri/; return its cap."""
    return ask("-T", "-", f"{room().url}uri/{path}", data=data).text


def link(path: str, cap: str) -> None:
    """Link *cap* at a path below /uri/."""
    put(f"{path}?t=uri", cap.encode())


@cache
def tree() -> str:
    """Return the quoted cap of a small tree that no test changes."""
    root = post("?t=mkdir").text
    path = quote(root, safe="")
    for name in ("a", "b"):
        for number in range(3):
            put(f"{path}/{name}/d{number}/file", f"{name} {number} ".encode() * 50)
    link(f"{path}/a/root", root)
    link(f"{path}/future", "ro.x-future:1")
    put(f"{path}/mutable?format=SDMF", b"content")
    put(f"{path}/literal", b"hi")
    return path


def stream(path: str, kind: str = "stream-manifest", *more: str, **args: str) -> Reply:
    """Return the answer for a tree."""
    query = "".join(f"&{name.replace('_', '-')}={value}" for name, value in args.items())
    return post(f"/{path}?t={kind}{query}", b"", *more)


def units(reply: Reply) -> list[Any]:
    """Return the lines of an answer."""
    return [json.loads(line) for line in reply.body.splitlines()]


def paths(found: list[Any]) -> list[str]:
    """Return the paths of lines, but for the last one."""
    return ["/".join(each["path"]) for each in found if each["type"] != "stats"]


class ManifestTests(SynchronousTestCase):
    def test_lines(self) -> None:
        reply = stream(tree())
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        found = units(reply)
        first = ["", "future", "literal", "mutable", "a", "a/d0", "a/d0/file", "a/d1"]
        self.assertEqual(paths(found)[:8], first)
        self.assertEqual(len(found), 4 + 2 * 7 + 1)
        self.assertEqual(found[-1]["stats"]["count-directories"], 9)

    def test_continues(self) -> None:
        """Behind each line comes what a whole answer has there."""
        whole = stream(tree()).body.splitlines()
        for number, line in enumerate(whole):
            behind = stream(tree(), cursor=json.loads(line)["cursor"])
            self.assertEqual(behind.body.splitlines(), whole[number + 1 :])

    def test_continues_after_a_restart(self) -> None:
        whole = stream(tree()).body.splitlines()
        restart()
        cursor = json.loads(whole[4])["cursor"]
        form = ("--data", f"cursor={cursor}")
        url = f"{room().url}uri/{tree()}?t=stream-manifest"
        self.assertEqual(ask(*form, url).body.splitlines(), whole[5:])

    def test_below(self) -> None:
        found = units(post(f"/{tree()}/a/d1?t=stream-manifest"))
        self.assertEqual(paths(found), ["", "file"])
        self.assertEqual(post(f"/{tree()}/literal?t=stream-manifest").status, 400)
        self.assertEqual(post(f"/{tree()}/nothing?t=stream-manifest").status, 404)

    def test_bad_cursor(self) -> None:
        """One that is garbled, or of another tree, is refused with what to do."""
        cursor = units(stream(tree()))[3]["cursor"]
        other = quote(post("?t=mkdir").text, safe="")
        for path, given in ((tree(), "x"), (tree(), cursor[:-5]), (other, cursor)):
            reply = stream(path, cursor=given)
            self.assertEqual(reply.status, 400)
            self.assertIn("start over", reply.text)

    def test_bad_arguments(self) -> None:
        self.assertEqual(stream(tree(), on_error="perhaps").status, 400)
        self.assertEqual(stream(tree(), "stream-deep-check", verify="perhaps").status, 400)

    def test_gzip(self) -> None:
        reply = stream(tree(), "stream-manifest", "--header", "Accept-Encoding: gzip")
        self.assertEqual(reply.headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(reply.body), stream(tree()).body)
        refused = stream(tree(), "stream-manifest", "--header", "Accept-Encoding: gzip;q=0")
        self.assertNotIn("content-encoding", refused.headers)

    def test_task(self) -> None:
        """A client that goes away ends the walk, and its task says so."""
        task = "t" * 20
        with Wire(room().url, receive_buffer=4096) as wire:
            args = f"t=stream-deep-check&verify=true&ophandle={task}"
            wire.request(f"POST /uri/{big_tree()}?{args}", "Content-Length: 0")
            self.assertEqual(wire.head()[0], 200)

        def told() -> Any:
            reply = ask(f"{room().url}operations/{task}?output=json")
            return json.loads(reply.body)

        eventually(lambda: told()["finished"])
        self.assertEqual((told()["type"], told()["state"]), ("deep-check", "cancelled"))


@cache
def big_tree() -> str:
    """Return the quoted cap of a directory that links more than a socket takes."""
    children = {
        f"{number:04} {'x' * 200}": ["filenode", {"ro_uri": LITERAL}]
        for number in range(20_000)
    }
    made = post("?t=mkdir-with-children", json.dumps(children).encode())
    return quote(made.text, safe="")


class DeepCheckTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """All that a manifest has, and in its order, with what was found of each."""
        manifest, checked = (
            units(stream(tree())),
            units(stream(tree(), "stream-deep-check")),
        )
        self.assertEqual(paths(checked), paths(manifest))
        for each in checked[:-1]:
            self.assertTrue(each.pop("check-results")["results"]["healthy"])
        self.assertEqual(checked, manifest)

    def test_repair(self) -> None:
        path = quote(post("?t=mkdir").text, safe="")
        put(f"{path}/d/file", b"x" * 1000)
        put(f"{path}/d/mutable?format=SDMF", b"x" * 1000)
        for unit in units(stream(path))[:-1]:
            sorted(shares_of(unit["storage-index"]))[0].unlink()

        def health(**args: str) -> list[bool]:
            found = units(stream(path, "stream-deep-check", verify="true", **args))
            return [each["check-results"]["results"]["healthy"] for each in found[:-1]]

        self.assertEqual(health(), [False] * 4)
        found = units(stream(path, "stream-deep-check", repair="true"))[:-1]
        done = [each["check-and-repair-results"]["repair-successful"] for each in found]
        self.assertEqual(done, [True] * 4)
        self.assertEqual(health(), [True] * 4)

    def test_unreadable(self) -> None:
        """What is lost is told, and what is not is met."""
        path = quote(post("?t=mkdir").text, safe="")
        put(f"{path}/bad/file", b"x" * 1000)
        put(f"{path}/good/file", b"y" * 1000)
        put(f"{path}/lost", b"z" * 1000)
        for unit in units(stream(path)):
            if unit.get("path") in (["bad"], ["lost"]):
                for share in shares_of(unit["storage-index"]):
                    share.unlink()
        restart()  # it may have what it read a moment ago
        for kind, args in (
            ("stream-manifest", {}),
            ("stream-deep-check", {}),
            ("stream-deep-check", {"repair": "true"}),
        ):
            found = units(stream(path, kind, **args))
            self.assertEqual(paths(found), ["", "lost", "bad", "good", "good/file"])
            self.assertIn("UnrecoverableFileError", found[2]["error"])
            self.assertEqual(found[-1]["type"], "stats")
            stopped = stream(path, kind, on_error="stop", **args).body.splitlines()
            self.assertEqual(json.loads(stopped[2])["path"], ["bad"])
            self.assertNotIn("error", json.loads(stopped[2]))
            self.assertEqual(len(stopped), 4)
            self.assertTrue(stopped[3].startswith(b"ERROR: UnrecoverableFileError("))


def shares_of(index: str) -> Iterator[Any]:
    """Give the shares that the node has under a storage index."""
    for place in room().directory.rglob(index):
        yield from (share for share in place.iterdir() if share.is_file())
