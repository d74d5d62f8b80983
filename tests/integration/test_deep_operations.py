"""Walks with handles over the web API: one real node."""

from __future__ import annotations

import json
import secrets
from functools import cache
from typing import Any
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, ask, eventually

room = SharedNode(happy=3, total=3)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def post(target: str, data: bytes = b"") -> Reply:
    """Return the answer to a POST."""
    options = ["--request", "POST", "--data-binary", "@-", "--header", "Content-Type:"]
    return ask(*options, f"{room().url}{target}", data=data)


def put(path: str, data: bytes) -> str:
    """Store a file below /uri/; return its cap."""
    return ask("-T", "-", f"{room().url}uri/{path}", data=data).text


@cache
def tree() -> str:
    """Return the quoted cap of a small tree, of which one file has lost a share."""
    path = quote(post("uri?t=mkdir").text, safe="")
    put(f"{path}/d/file", b"x" * 1000)
    put(f"{path}/d/literal", b"hi")
    put(f"{path}/poor", b"y" * 2000)
    [share, *_] = sorted(shares_of(index_of(path, "poor")))
    share.unlink()
    return path


def index_of(path: str, *names: str) -> str:
    """Return the storage index of what is in a tree."""
    lines = post(f"uri/{path}?t=stream-manifest").body.splitlines()
    [found] = [each for each in map(json.loads, lines) if each.get("path") == [*names]]
    return str(found["storage-index"])


def shares_of(index: str) -> list[Any]:
    """Return the shares that the node has under a storage index."""
    places = room().directory.rglob(index)
    return [share for place in places for share in place.iterdir() if share.is_file()]


class OperationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handle = secrets.token_hex(16)
        self.at = f"{room().url}operations/{self.handle}"

    def start(self, kind: str, more: str = "", path: str = "") -> Reply:
        """Begin a walk."""
        args = f"t=start-{kind}&ophandle={self.handle}{more}"
        return post(f"uri/{path or tree()}?{args}")

    def ask(self, more: str = "output=JSON") -> Reply:
        """Return what is told of it."""
        return ask(f"{self.at}?t=status&{more}")

    def result(self, kind: str, more: str = "") -> Any:
        """Return the document of a walk that is finished."""
        self.assertEqual(self.start(kind, more).status, 302)
        eventually(lambda: json.loads(self.ask().body)["finished"])
        return json.loads(self.ask().body)

    def test_start(self) -> None:
        reply = self.start("manifest", "&output=JSON")
        self.assertEqual(
            (reply.status, reply.headers["location"]), (302, f"{self.at}?output=json")
        )
        self.assertEqual(post(f"uri/{tree()}?t=start-manifest").status, 400)
        self.assertEqual(self.start("manifest", path=f"{tree()}/poor").status, 400)
        self.assertEqual(self.start("else").status, 400)

    def test_manifest(self) -> None:
        found = self.result("manifest")
        paths = ["/".join(path) for path, _cap in found["manifest"]]
        self.assertEqual(paths, ["", "poor", "d", "d/file", "d/literal"])
        self.assertEqual(found["stats"]["count-files"], 3)
        self.assertEqual(found["origin"], index_of(tree()))
        self.assertEqual(len(found["verifycaps"]), 4)
        self.assertIn(index_of(tree(), "poor"), found["storage-index"])
        lines = self.ask("output=text").text.splitlines()
        self.assertEqual(lines[0], "finished: yes")
        self.assertTrue(lines[1].startswith(" URI:DIR2:"))
        self.assertTrue(lines[2].startswith("poor URI:CHK:"))

    def test_size_and_statistics(self) -> None:
        stats = self.result("deep-stats")
        self.assertEqual((stats["size-immutable-files"], stats["api-version"]), (3000, 1))
        size = self.result("deep-size")["size"]
        self.assertEqual(stats, {**size, "finished": True})
        told = self.ask("output=text").text
        self.assertEqual(told, f"finished: yes\nsize: {3000 + size['size-directories']}\n")

    def test_deep_check(self) -> None:
        found = self.result("deep-check", "&verify=true")
        counts = [
            found[f"count-objects-{each}"] for each in ("checked", "healthy", "unhealthy")
        ]
        self.assertEqual(counts, [4, 3, 1])
        [[path, poor]] = found["list-unhealthy-files"]
        self.assertEqual((path, poor["results"]["count-shares-good"]), (["poor"], 2))
        self.assertEqual(found["list-corrupt-shares"], [])
        self.assertEqual(found["stats"]["count-directories"], 2)
        one = json.loads(ask(f"{self.at}/{index_of(tree(), 'poor')}?output=JSON").body)
        self.assertEqual(one, poor)
        self.assertEqual(ask(f"{self.at}/nothing?output=JSON").status, 404)

    def test_repair(self) -> None:
        path = quote(post("uri?t=mkdir").text, safe="")
        put(f"{path}/file", b"z" * 1000)
        [share, *_] = sorted(shares_of(index_of(path, "file")))
        share.unlink()
        self.start("deep-check", "&repair=true", path)
        eventually(lambda: json.loads(self.ask().body)["finished"])
        found = json.loads(self.ask().body)
        names = ("unhealthy-pre-repair", "unhealthy-post-repair")
        self.assertEqual([found[f"count-objects-{each}"] for each in names], [1, 0])
        self.assertEqual(found["count-repairs-successful"], 1)
        self.assertEqual(found["list-remaining-corrupt-shares"], [])

    def test_page(self) -> None:
        self.result("deep-check")
        page = self.ask("output=html").text
        self.assertIn("Count objects checked", page)
        listed = json.loads(ask(f"{room().url}status?t=json").body)["recent"]
        [task] = [each for each in listed if each["type"] == "deep-check"][:1]
        self.assertEqual(task["objects"], 5)
        there = ask(f"{room().url}status/deep-check-{task['number']}?t=json")
        self.assertEqual(json.loads(there.body)["objects"], 5)
        self.assertNotIn("URI:", ask(f"{room().url}status").text)

    def test_released(self) -> None:
        self.result("deep-stats")
        last = self.ask("output=JSON&release-after-complete=true")
        self.assertTrue(json.loads(last.body)["finished"])
        self.assertEqual(self.ask().status, 404)

    def test_replaced(self) -> None:
        """A handle that is used again is the new walk's."""
        self.result("deep-stats")
        self.assertIn("manifest", self.result("manifest"))

    def test_cancel(self) -> None:
        self.start("manifest", "&retain-for=100", wide_tree())
        reply = ask("--request", "POST", f"{self.at}?t=cancel&output=JSON")
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.ask().status, 404)

    def test_replaced_while_it_runs(self) -> None:
        self.start("manifest", "", wide_tree())
        self.assertEqual(self.result("deep-stats")["count-directories"], 2)

    def test_unreadable(self) -> None:
        """Numbers without a part of the tree are no result, unless they are wanted."""
        path = quote(post("uri?t=mkdir").text, safe="")
        put(f"{path}/bad/file", b"z" * 1000)
        index = index_of(path, "bad")
        node = room()
        node.process.kill()
        node.process.wait()
        for share in shares_of(index):
            share.unlink()
        node.start()
        self.at = f"{node.url}operations/{self.handle}"
        self.start("deep-stats", "", path)
        eventually(lambda: self.ask().status == 410)
        self.start("deep-stats", "&on-error=continue", path)
        eventually(lambda: json.loads(self.ask().body)["finished"])
        self.assertEqual(json.loads(self.ask().body)["count-directories"], 2)

    def test_arguments(self) -> None:
        self.result("manifest")
        self.assertEqual(self.ask("output=xml").status, 400)
        self.assertEqual(self.ask("retain-for=soon").status, 400)
        self.assertEqual(self.start("manifest", "&on-error=perhaps").status, 400)


@cache
def wide_tree() -> str:
    """Return the quoted cap of a directory that takes a while."""
    children = {
        f"{number:05}": ["filenode", {"ro_uri": "URI:LIT:nbuq"}] for number in range(20_000)
    }
    made = post("uri?t=mkdir-with-children", json.dumps(children).encode())
    return quote(made.text, safe="")
