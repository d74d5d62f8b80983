"""The renewal of leases by a real node, on its storage directories."""

from __future__ import annotations

import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Done, GridProcess, Wire, ask, eventually, run
from truckee.storage.share_files import stored_shares

RENEW = "\n[client]\nrenew = tahoe, every 7 days\n"


class RenewalCase(SynchronousTestCase):
    """Tests of a node that renews the leases of one tree."""

    config = RENEW
    total = 3

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(place.cleanup)
        total = self.total
        self.node = GridProcess.create(
            Path(place.name) / "node", needed=1, happy=1, total=total, storage_dirs=total
        )
        self.node.start()
        self.addCleanup(self.end)
        self.do("alias", "create", "tahoe")
        aliases = self.node.directory / "private" / "aliases"
        self.root = aliases.read_text().partition(":")[2].strip()
        self.with_config(self.config)

    def end(self) -> None:
        """Let the node end, if it runs."""
        if self.node.process.poll() is None:
            self.node.stop()

    def with_config(self, config: str) -> None:
        """Start the node again with *config* in addition."""
        self.end()
        with (self.node.directory / "tahoe.cfg").open("a") as file:
            file.write(config)
        self.node.start()

    def do(self, command: str, *arguments: str, code: int = 0) -> Done:
        """Return what ``truckee`` does at the node."""
        rest = list(arguments)
        names = [command, rest.pop(0)] if command == "alias" else [command]
        done = run(*names, "-d", str(self.node.directory), *rest)
        self.assertEqual(done.code, code, done)
        return done

    def put(self, path: str, data: bytes) -> str:
        """Store a file below the root; return its cap."""
        url = f"{self.node.url}uri/{quote(self.root, safe='')}/{path}"
        reply = ask("-T", "-", url, data=data)
        self.assertIn(reply.status, (200, 201), reply)
        return reply.text

    def status(self) -> Any:
        """Return what everybody may know of the renewal."""
        [tree] = json.loads(ask(f"{self.node.url}status?t=json").body)["renewals"]
        return tree

    def renew(self) -> Any:
        """Renew all leases now; return what was counted."""
        before = self.status()["last"]
        self.do("renew", "--now")
        eventually(lambda: self.status()["last"] != before)
        return self.status()["last"]

    def leases(self) -> dict[Path, int]:
        """Return when the leases of all shares expire, in Unix seconds."""
        places = {share.parent for share in self.node.shares()}
        found = {}
        for place in places:
            for share in stored_shares(place)[0]:
                [found[share.path]] = share.leases
        return found

    def let_time_pass(self) -> None:
        """Return when a lease of now is later than those that there are."""
        newest = max(self.leases().values())
        eventually(lambda: int(time.time()) + 31 * 86400 > newest)

    def private(self, path: str, *options: str) -> Any:
        """Return the answer to a request with the token of the node."""
        token = (self.node.directory / "private" / "api_auth_token").read_text().strip()
        header = f"Authorization: tahoe-lafs {token}"
        return ask("--header", header, *options, f"{self.node.url}private/{path}")


class RenewalTests(RenewalCase):
    def test_renewed(self) -> None:
        """
        The leases of all shares of the tree expire later, and of nothing else; status,
        metrics and log show it, without a cap or a path.
        """
        self.put("secretly-named/one", os.urandom(1000))
        self.put("secretly-named/two", os.urandom(1000))
        self.put("short", b"in its cap")
        ask("-T", "-", f"{self.node.url}uri", data=os.urandom(1000))  # linked nowhere
        before = self.leases()
        self.assertEqual(len(before), 5 * 3)
        self.let_time_pass()
        counts = self.renew()
        self.assertEqual((counts["objects"], counts["checked"]), (5, 4))
        self.assertEqual((counts["unhealthy"], counts["unrenewed"]), (0, 0))
        after = self.leases()
        later = {path for path, expires in after.items() if expires > before[path]}
        self.assertEqual(len(later), 4 * 3)

        status = self.status()
        self.assertEqual((status["alias"], status["every"]), ("tahoe", 7 * 86400))
        week = status["last"]["started"] + 7 * 86400
        self.assertAlmostEqual(status["next"], week, delta=60)
        metrics = ask(f"{self.node.url}metrics").body.decode()
        self.assertIn('truckee_renewal_objects{tree="tahoe"} 5.0', metrics)
        self.assertIn('truckee_renewal_finished_timestamp_seconds{tree="tahoe"}', metrics)
        page = ask(f"{self.node.url}status").body.decode()
        self.assertIn("Lease renewal", page)
        self.assertIn('href="status/renewal-', page)
        for text in (self.node.log(), page, metrics, json.dumps(status)):
            self.assertNotIn("secretly-named", text)
            self.assertNotIn(self.root[:30], text)
        shown = self.do("renew").output
        self.assertIn("tahoe: every 7 days, next ", shown)
        self.assertIn("5 objects\n", shown)

    def test_token(self) -> None:
        """Who has no token learns no path and begins no renewal."""
        for path, method in (("renewal", "GET"), ("renewal/now", "POST")):
            reply = ask("--request", method, f"{self.node.url}private/{path}")
            self.assertEqual(reply.status, 401)
        self.assertEqual(self.private("renewal").status, 200)
        self.assertEqual(self.private("renewal/now").status, 405)
        self.assertEqual(self.private("renewal/else").status, 404)
        unknown = self.private("renewal/now?alias=music", "--request", "POST")
        self.assertEqual(unknown.status, 404)
        self.assertIn("tahoe", unknown.text)
        self.do("renew", "music", "--now", code=4)
        self.do("renew", "music", code=1)
        self.assertIsNone(self.status()["last"])

    def test_unhealthy_and_repaired(self) -> None:
        """What lacks a share is listed with its path; with renew.repair it is mended."""
        before = set(self.node.shares())
        self.put("d/poor", os.urandom(1000))
        index = self.index_of("d", "poor")
        [lost] = [s for s in set(self.node.shares()) - before if self.is_first(s, index)]
        lost.unlink()
        counts = self.renew()
        self.assertEqual((counts["unhealthy"], counts["lost"]), (1, 0))
        line = "Leases below the alias tahoe were renewed in "
        eventually(lambda: line in self.node.log())
        self.assertIn("3 objects, 1 unhealthy", self.node.log())
        self.assertNotIn("poor", self.node.log())
        shown = self.do("renew").output
        self.assertIn("1 unhealthy", shown)
        self.assertIn("tahoe:d/poor  2 of 3 shares are good", shown)
        [problem] = json.loads(ask(f"{self.node.url}status?t=json").body)["problems"]
        self.assertIn("1 of 3 objects below the alias tahoe", problem["text"])
        state = self.node.directory / "private" / "renewal" / "tahoe.json"
        self.assertEqual(state.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("URI:", state.read_text())

        self.with_config("renew.repair = true\n")
        self.assertIn("tahoe:d/poor", self.do("renew").output)
        counts = self.renew()
        self.assertEqual((counts["unhealthy"], counts["repaired"]), (0, 1))
        numbers = [share.name for share in self.node.shares() if share.parent.name == index]
        self.assertEqual(sorted(numbers), ["0", "1", "2"])
        [tree] = json.loads(self.private("renewal").body)["renewals"]
        self.assertEqual(tree["unhealthy"], [])
        problems = json.loads(ask(f"{self.node.url}status?t=json").body)["problems"]
        self.assertEqual(problems, [])

    def index_of(self, *path: str) -> str:
        """Return the storage index of what is in the tree."""
        url = f"{self.node.url}uri/{quote(self.root, safe='')}?t=stream-manifest"
        reply = ask("--request", "POST", url)
        lines = map(json.loads, reply.body.splitlines())
        [found] = [each for each in lines if each.get("path") == [*path]]
        return str(found["storage-index"])

    def is_first(self, share: Path, index: str) -> bool:
        """Return whether *share* is the share 0 of a file."""
        return share.parent.name == index and share.name == "0"


class KillTests(RenewalCase):
    """One storage directory, so that there are few shares."""

    total = 1

    def test_killed_in_the_middle(self) -> None:
        """
        A renewal that was killed goes on where it was: what was renewed before is not
        renewed again, and all is counted once.
        """
        for number in range(30):
            self.put(f"f{number:02}", os.urandom(100))
        before = self.leases()
        self.let_time_pass()
        with Wire(self.node.url) as upload:
            # As long as somebody uploads, leases are renewed slowly.
            upload.request("PUT /uri", "Transfer-Encoding: chunked")
            upload.chunk(b"x")
            eventually(lambda: self.active("upload"))
            self.do("renew", "--now")
            eventually(lambda: self.saved() >= 8)
            self.node.kill()
        renewed = {p: t for p, t in self.leases().items() if t > before.get(p, t)}
        self.assertGreaterEqual(len(renewed), 8)
        self.assertLess(len(renewed), 31)
        self.let_time_pass()

        self.node.start()
        status = self.status()
        self.assertGreaterEqual(status["now"]["objects"], 8)
        self.assertIsNone(status["last"])
        self.assertIn("where it was interrupted", self.do("renew").output)
        counts = self.renew()
        self.assertEqual((counts["objects"], counts["unhealthy"]), (31, 0))
        after = self.leases()
        self.assertTrue(all(after[path] > before[path] for path in before))
        again = [path for path, expires in renewed.items() if after[path] > expires]
        # Those that were renewed after the file was written.
        self.assertLess(len(again), len(renewed) - 3)

    def test_killed_often(self) -> None:
        """However often it is killed, each object is renewed, and counted once."""
        for number in range(60):
            self.put(f"f{number:02}", os.urandom(100))
        before = self.leases()
        self.let_time_pass()
        for _ in range(4):
            before_this = self.saved()
            with Wire(self.node.url) as upload:
                upload.request("PUT /uri", "Transfer-Encoding: chunked")
                upload.chunk(b"x")
                eventually(lambda: self.active("upload"))
                self.do("renew", "--now")
                eventually(partial(self.is_further, before_this))
                self.node.kill()
            self.node.start()
        self.assertIsNone(self.status()["last"])
        self.assertGreaterEqual(self.status()["now"]["objects"], 4)
        counts = self.renew()
        found = [counts[key] for key in ("objects", "checked", "unhealthy")]
        self.assertEqual(found, [61, 61, 0])
        after = self.leases()
        self.assertTrue(all(after[path] > before[path] for path in before))

    def test_stopped_in_the_middle(self) -> None:
        """A node that is asked to stop does, and loses nothing of what it renewed."""
        for number in range(20):
            self.put(f"f{number:02}", os.urandom(100))
        with Wire(self.node.url) as upload:
            upload.request("PUT /uri", "Transfer-Encoding: chunked")
            upload.chunk(b"x")
            eventually(lambda: self.active("upload"))
            self.do("renew", "--now")
            eventually(lambda: self.active("renewal") >= 3)
            self.node.stop()
        self.assertGreaterEqual(self.saved(), 3)
        self.node.start()
        self.assertEqual(self.renew()["objects"], 21)

    def test_cancelled(self) -> None:
        """A renewal that is cancelled ends, and is not continued."""
        for number in range(10):
            self.put(f"f{number:02}", os.urandom(100))
        with Wire(self.node.url) as upload:
            upload.request("PUT /uri", "Transfer-Encoding: chunked")
            upload.chunk(b"x")
            eventually(lambda: self.active("upload"))
            self.do("renew", "--now")
            eventually(lambda: self.active("renewal") >= 2)
            shown = run("status", "-d", str(self.node.directory)).output
            self.assertRegex(shown, "renewal [0-9]+ +[0-9]+ objects +renewing")
            self.do("renew", "--cancel", "--now", code=2)
            self.do("renew", "--cancel")
            eventually(lambda: not self.status()["running"])
        output = self.do("renew", "tahoe:", "--json").output
        [tree] = json.loads(output)["renewals"]
        self.assertEqual((tree["now"], tree["last"], tree["unhealthy"]), (None, None, []))
        self.assertGreater(tree["next"], time.time() + 6 * 86400)

    def saved(self) -> int:
        """Return how many objects are noted on disk."""
        path = self.node.directory / "private" / "renewal" / "tahoe.json"
        if not path.exists():
            return 0
        now = json.loads(path.read_bytes())["now"]
        return 0 if now is None else int(now["counts"]["objects"])

    def is_further(self, objects: int) -> bool:
        """Return whether more objects are noted on disk."""
        return self.saved() > objects

    def active(self, kind: str) -> int:
        """Return how far a task of this kind is, if it runs."""
        active = json.loads(ask(f"{self.node.url}status?t=json").body)["active"]
        found = [each for each in active if each["type"] == kind]
        return max((each["objects"] or 1 for each in found), default=0)


class BadConfigTests(SynchronousTestCase):
    def test_start(self) -> None:
        """A node with an alias that is none does not start, and says what to do."""
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place) / "node"
            GridProcess.create(
                directory, needed=1, happy=1, total=1, storage_dirs=1, config=RENEW
            )
            done = run("run", str(directory))
        self.assertEqual(done.code, 1, done)
        self.assertIn("[client] renew: there is no alias tahoe:", done.errors)
        self.assertIn("truckee alias create tahoe", done.errors)
