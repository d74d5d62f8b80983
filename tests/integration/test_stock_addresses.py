"""Addresses that a stock gateway has, asked of one and of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, ClassVar
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock import TAHOE, StockNode
from tests.net.http.test_websocket import KEY, masked
from tests.processes import Reply, SharedNode, Wire, ask, eventually
from truckee.net.http.websocket import Opcode

room = SharedNode(happy=2, config="")
SECRET = "URI:CHK:" + "a" * 26 + ":" + "b" * 52 + ":2:3:1000"


def tearDownModule() -> None:
    """End the node."""
    room.close()


@contextmanager
def listening(directory: Path) -> Iterator[IO[bytes]]:
    """Listen to the log of the node in *directory*; give what comes, in lines."""
    command = [sys.executable, "-m", "tests.integration.log_listener", str(directory)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.wait(120)
        process.stdout.close()


class StockTests(SynchronousTestCase):
    """What both answer alike."""

    cleanup: ClassVar[ExitStack]
    stock: ClassVar[StockNode]

    @classmethod
    def setUpClass(cls) -> None:
        if not TAHOE.exists():
            raise SkipTest("tahoe-lafs is not installed")
        with ExitStack() as cleanup:
            place = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
            cls.stock = StockNode(place / "stock", place / "storage", (1, 1, 1))
            cls.stock.create()
            cls.stock.start()
            cleanup.callback(cls.stock.stop)
            cls.cleanup = cleanup.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()

    def setUp(self) -> None:
        self.ours = room()
        self.nodes = (
            (self.stock.url, self.stock.directory),
            (self.ours.url, self.ours.directory),
        )

    def test_private(self) -> None:
        """Without the token nothing is told below /private, whatever is asked for."""
        for path in ("private/", "private/logs/v1", "private/other"):
            for given in (
                (),
                ("Authorization: tahoe-lafs x",),
                ("Authorization: Basic x",),
            ):
                headers = [part for each in given for part in ("-H", each)]
                replies = [ask(*headers, f"{url}{path}") for url, _ in self.nodes]
                for reply in replies:
                    self.assertEqual(reply.status, 401, (path, given))
                stock, ours = (each.headers["www-authenticate"] for each in replies)
                self.assertEqual(ours, stock)

    def test_log(self) -> None:
        """A program hears of an upload, in messages of the same form."""
        if find_spec("autobahn") is None:
            raise SkipTest("autobahn is not installed")
        for url, directory in self.nodes:
            with listening(directory) as lines:
                self.assertEqual(lines.readline(), b"open\n")
                ask("-T", "-", f"{url}uri", data=b"x" * 1000)
                found = json.loads(lines.readline())
            self.assertLessEqual({"timestamp", "task_uuid", "task_level"}, found.keys())
            self.assertTrue({"message_type", "action_type"} & found.keys(), found)

    def test_incident(self) -> None:
        """A form that says what went wrong is taken, and leaves a file for each."""
        for url, directory in self.nodes:
            place = directory / "logs" / "incidents"
            before = set(place.glob("*"))
            for form in (("-F", "details=it broke"), ("-d", "details=it+broke")):
                reply = ask(*form, f"{url}report_incident")
                self.assertEqual(reply.status, 200, reply.body)
                self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
                self.assertIn(b"logs/incidents", reply.body)
            for file in set(place.glob("*")) - before:
                self.assertTrue(file.name.startswith("incident-20"), file.name)
            # Stock goes on writing what is logged afterwards, under other names.
            self.assertGreaterEqual(len(set(place.glob("*")) - before), 2)
        eventually(lambda: self.ours.log().count("A user reports: it broke") == 2)

    def test_numbers(self) -> None:
        """An upload and a download have pages under their numbers."""
        for (url, _), first in zip(self.nodes, (0, None), strict=True):
            cap = ask("-T", "-", f"{url}uri", data=b"y" * 1000).text.strip()
            ask(f"{url}uri/{cap}")
            numbers = {"upload": first, "download": first}
            if first is None:
                told = json.loads(ask(f"{url}status?t=json").body)
                tasks = [*told["active"], *told["recent"]]
                numbers = {each["type"]: each["number"] for each in reversed(tasks)}
            for word, kind in (("up", "upload"), ("down", "download")):
                page = ask(f"{url}status/{word}-{numbers[kind]}")
                self.assertEqual(page.status, 200, page.body)
                self.assertTrue(page.headers["content-type"].startswith("text/html"))
                self.assertNotIn(cap.encode(), page.body)
                gone = ask(f"{url}status/{word}-999999")
                self.assertEqual(gone.status, 404)

    def test_download_events(self) -> None:
        """What was read of a file, and when, has fields of the same names."""
        found = []
        for url, _ in self.nodes:
            cap = ask("-T", "-", f"{url}uri", data=b"e" * 3000).text.strip()
            body = ask("-r", "1000-1499", f"{url}uri/{cap}").body
            self.assertEqual(len(body), 500)
            address = f"{url}status/down-"
            numbers = [n for n in range(50) if ask(f"{address}{n}").status == 200]
            for method in ("GET", "POST"):
                reply = ask("-X", method, f"{address}{max(numbers)}/event_json")
                self.assertEqual(reply.status, 200, (url, method))
                self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
            self.assertNotIn(cap.split(":")[2], reply.text)
            found.append(json.loads(reply.body))
            self.assertEqual(ask("-I", f"{address}{max(numbers)}/event_json").status, 200)
            for gone in ("down-999999/event_json", f"down-{max(numbers)}/other"):
                self.assertEqual(ask(f"{url}status/{gone}").status, 404, (url, gone))
        stock, ours = found
        self.assertEqual(ours.keys(), stock.keys())
        for name in stock:
            self.assertIs(type(ours[name]), type(stock[name]), name)
        [mine], [theirs] = ours["read"], stock["read"]
        self.assertEqual(mine.keys(), theirs.keys())
        for name in ("start", "length", "bytes_returned", "row"):
            self.assertEqual(mine[name], theirs[name], name)
        for told in found:
            [read], bounds = told["read"], told["bounds"]
            self.assertLessEqual(bounds["min"], read["start_time"])
            self.assertLessEqual(read["start_time"], read["finish_time"])
            self.assertLessEqual(read["finish_time"], bounds["max"])


class OwnTests(SynchronousTestCase):
    """What is ours alone."""

    def setUp(self) -> None:
        self.node = room()
        self.url = self.node.url
        token = self.node.directory / "private" / "api_auth_token"
        self.token = token.read_text().strip()

    def ask(self, path: str, *more: str) -> Reply:
        """Return the answer to who has the token."""
        header = f"Authorization: tahoe-lafs {self.token}"
        return ask("-H", header, *more, f"{self.url}{path}")

    def test_task(self) -> None:
        """Programs get the document of one task; words that are none get 404."""
        ask("-T", "-", f"{self.url}uri?ophandle=0123456789abcdef", data=b"z" * 1000)
        told = json.loads(ask(f"{self.url}status?t=json").body)
        newest = told["recent"][0]
        number = newest["number"]
        for method in ("GET", "POST"):
            reply = ask("-X", method, f"{self.url}status/up-{number}?t=json")
            self.assertEqual(json.loads(reply.body), newest)
        for word in (
            f"down-{number}",
            f"up-{number}/",
            f"up-{number}/event_json",
            "up-",
            "up-x",
            "up--1",
            f"up-{'9' * 30}",
            "up-%FF",
            "publish-0",
        ):
            self.assertEqual(ask(f"{self.url}status/{word}").status, 404, word)
        self.assertEqual(ask(f"{self.url}status/up-{number}?t=x").status, 400)
        link = f'href="status/up-{number}"'
        self.assertIn(link, ask(f"{self.url}status").text)
        page = ask(f"{self.url}status/up-{number}").text
        self.assertNotIn("0123456789abcdef", page)
        self.assertNotIn("<form", page)

    def test_report(self) -> None:
        """A report is one line of the log, short, and without any cap."""
        for form in (
            ("-F", f"details=line one\nError: {SECRET} \x1b[2J{'x ' * 1000}"),
            ("-F", "other=x"),
            ("-d", ""),
        ):
            self.assertEqual(ask(*form, f"{self.url}report_incident").status, 200)
        bad = ("-H", "Content-Type: multipart/form-data", "-d", "x")
        self.assertEqual(ask(*bad, f"{self.url}report_incident").status, 400)
        self.assertEqual(ask(f"{self.url}report_incident").status, 405)
        large = ask("-F", "details=@-", f"{self.url}report_incident", data=b"x" * 100_000)
        self.assertEqual(large.status, 413)
        eventually(lambda: "A user reports: line one" in self.node.log())
        [line] = [each for each in self.node.log().splitlines() if "line one" in each]
        self.assertIn("line one Error: (a cap) ?[2Jx x x", line)
        self.assertLess(len(line), 700)
        place = self.node.directory / "logs" / "incidents"
        [file] = [each for each in place.iterdir() if "  line one" in each.read_text()]
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("a" * 26, file.read_text())

    def test_token(self) -> None:
        """Who has the token is told what there is, and what to speak."""
        self.assertEqual(self.ask("private/logs").status, 404)
        self.assertEqual(self.ask("private/logs/v1", "-X", "POST").status, 405)
        reply = self.ask("private/logs/v1")
        self.assertEqual(reply.status, 426)
        self.assertEqual(reply.headers["upgrade"], "websocket")
        for header in ("", "tahoe-lafs", f"tahoe-lafs {self.token}x", self.token):
            reply = ask("-H", f"Authorization: {header}", f"{self.url}private/logs/v1")
            self.assertEqual(reply.status, 401, header)

    def test_frames(self) -> None:
        """What is sent with the handshake is heard, and a goodbye is answered."""
        lines = (
            "GET /private/logs/v1 HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Tahoe-LAFS {self.token}",
            "Connection: Upgrade",
            "Upgrade: WebSocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        )
        head = "\r\n".join([*lines, "", ""]).encode()
        with Wire(self.url) as wire:
            wire.send(head + masked(Opcode.PING, b"?") + masked(Opcode.CLOSE, b""))
            status, headers = wire.head()
            self.assertEqual(status, 101)
            self.assertEqual(
                headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            )
            self.assertEqual(wire.read(100), b"\x8a\x01?\x88\x00")

    def test_stop(self) -> None:
        """A node that stops says goodbye to its listeners, and ends at once."""
        if find_spec("autobahn") is None:
            raise SkipTest("autobahn is not installed")
        node: Any = self.node
        with listening(node.directory) as lines:
            self.assertEqual(lines.readline(), b"open\n")
            cap = ask("-T", "-", f"{self.url}uri", data=b"w" * 1000).text
            self.assertEqual(node.stop(), 0)
            rest = lines.read().splitlines()
        self.assertTrue(rest[-1].startswith(b"closed 1001"), rest)
        self.assertTrue(rest[:-1])
        for line in rest[:-1]:
            self.assertNotIn(cap.split(":")[2].encode(), line)
            self.assertNotIn(b"URI:", line)
        node.start()
