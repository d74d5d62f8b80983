"""Small things that clients of stock gateways expect."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from unittest import SkipTest
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.processes import Reply, SharedNode, ask

DATA = bytes(range(250)) * 8
LITERAL = "URI:LIT:mfrgg"


room = SharedNode(happy=2, config="\n[client]\nupload.default-key = CHK\n")


def tearDownModule() -> None:
    """End the node."""
    room.close()


class WordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url
        self.cap = self.put(DATA).text

    def put(self, data: bytes, query: str = "") -> Reply:
        """Return the answer to a PUT."""
        return ask("-T", "-", f"{self.url}uri{query}", data=data)

    def test_addresses(self) -> None:
        """Caps with the end of their line, and children that no file has."""
        name = quote(self.cap, safe="")
        for path, status, word in (
            (f"uri/{name}%0A", 200, DATA[:3].decode()),
            (f"uri/{name}%0D%0A", 200, DATA[:3].decode()),
            (f"uri/%20{name}", 200, DATA[:3].decode()),
            (f"cap/{name}%0A?t=uri", 200, self.cap),
            (f"file/{name}%0A/@@named=/x", 200, DATA[:3].decode()),
            (f"uri/{LITERAL}%0A", 200, "abc"),
            (f"uri/{name}/x", 400, "Files have no children named 'x'"),
            (f"uri/{name}/x/y", 400, "Files have no children named 'x'"),
            (f"uri/{name}/{name}", 400, "Files have no children named '...'"),
            (f"uri/{name}/", 400, "Files have no children named ''"),
            (f"uri/{LITERAL}/x?t=json", 400, "Files have no children named 'x'"),
            (f"uri/{name}/%0A%FF", 400, "Files have no children named '\\n"),
            (f"uri/{name}?t=info", 200, "Storage index"),
            (f"uri/{LITERAL}?t=info", 200, "the file is in its cap"),
            (f"uri/{name}?t=other", 400, "info"),
        ):
            reply = ask(f"{self.url}{path}")
            self.assertEqual(reply.status, status, (path, reply.body[:200]))
            self.assertIn(word.encode(), reply.body, path)
        moved = ask(f"{self.url}uri?uri={name}%0A")
        self.assertEqual(moved.headers["location"], f"/uri/{name}")

    def test_default_key(self) -> None:
        """Where the operator says so, a file has the key of its content, unless asked."""
        self.assertEqual(self.put(DATA).text, self.cap)
        form = ("-F", "file=@-", f"{self.url}uri")
        self.assertEqual(ask(*form, data=DATA).text, self.cap)
        self.assertNotEqual(self.put(DATA, "?key=random").text, self.cap)

    def test_errors(self) -> None:
        """A file that cannot be read is told by the names that programs look for."""
        for left, name in ((1, "NotEnoughSharesError"), (0, "NoSharesError")):
            before = set(self.grid.shares())
            cap = self.put(os.urandom(2000)).text
            for share in sorted(set(self.grid.shares()) - before)[left:]:
                share.unlink()
            reply = ask(f"{self.url}uri/{cap}")
            self.assertEqual(reply.status, 410)
            self.assertTrue(reply.text.startswith(f"{name}: "), reply.text)

    def test_repair(self) -> None:
        """What was repaired is healthy in lower case, and nothing else is."""
        before = set(self.grid.shares())
        cap = self.put(os.urandom(2000)).text
        address = f"{self.url}uri/{cap}?t=check&repair=true&output=JSON"
        min(set(self.grid.shares()) - before).unlink()
        for attempted, summary in ((True, "healthy"), (False, "Healthy")):
            told = json.loads(ask("-X", "POST", address).body)
            self.assertEqual(told["repair-attempted"], attempted)
            self.assertEqual(told["post-repair-results"]["summary"], summary)
        kinds = self.types("POST")
        self.assertLessEqual(kinds, {"upload", "download"})
        self.assertIn("repair", self.types("GET"))

    def types(self, method: str) -> set[str]:
        """Return the kinds of tasks in a status."""
        told = json.loads(ask("-X", method, f"{self.url}status?t=json").body)
        return {each["type"] for each in told["active"] + told["recent"]}

    def test_statistics(self) -> None:
        """What was done since the start is counted, for programs and for people."""
        told = json.loads(ask("-X", "POST", f"{self.url}statistics?t=json").body)
        self.assertGreaterEqual(told["counters"]["uploader.files_uploaded"], 1)
        self.assertGreaterEqual(told["counters"]["uploader.bytes_uploaded"], 2000)
        self.assertGreater(told["stats"]["node.uptime"], 0)
        self.assertIn(b"Files uploaded", ask(f"{self.url}statistics").body)
        self.assertEqual(ask(f"{self.url}statistics?t=x").status, 400)

    def test_tahoe_status(self) -> None:
        """Stock's own command line shows what the gateway does."""
        tahoe = shutil.which("tahoe", path=str(Path(sys.executable).parent))
        if tahoe is None:
            raise SkipTest("tahoe-lafs is not installed")
        token = self.grid.directory / "private" / "api_auth_token"
        self.assertEqual(token.stat().st_mode & 0o777, 0o600)
        command = [tahoe, "-d", str(self.grid.directory), "status"]
        done = warm.run(command, capture_output=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(b"upload", done.stdout.lower())
