"""What an operator finds in the log at its default level: one line for each failure."""

from __future__ import annotations

import os
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, ask, eventually

CHOSEN = "chosen-by-the-client-0123456789"


room = SharedNode(happy=3, config="\n[client]\nupload.max-size = 10000\n")


def tearDownModule() -> None:
    """End the node."""
    room.close()


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url
        self.before = len(self.grid.log())

    def lines(self) -> list[str]:
        """Return what the log has since the test began."""
        return self.grid.log()[self.before :].splitlines()

    def check(self, reply: Reply, status: int, line: str) -> None:
        """Look for the *line* of an answer, in which ID is its task's id."""
        self.assertEqual(reply.status, status, reply.body)
        line = line.replace("ID", re.escape(reply.headers.get("x-task-id", "")))
        eventually(lambda: any(re.search(line, each) for each in self.lines()))
        found = [each for each in self.lines() if re.search(line, each)]
        self.assertEqual(len(found), 1, self.lines())
        self.assertNotIn("URI:", found[0])
        self.assertNotIn("Traceback", self.grid.log())
        self.before = len(self.grid.log())

    def spoil(self, left: int) -> str:
        """Return the cap of a file of which only so many shares are *left*."""
        before = set(self.grid.shares())
        cap = ask("-T", "-", f"{self.url}uri", data=os.urandom(2000)).text
        for share in sorted(set(self.grid.shares()) - before)[left:]:
            share.unlink()
        return cap

    def test_failures(self) -> None:
        """Whatever fails has a line, with the task's id and the reason."""
        self.check(
            ask(f"{self.url}uri/{self.spoil(1)}"),
            410,
            r"Download [0-9]+ \(task ID\) failed: NotEnoughSharesError: 1 good shares",
        )
        self.check(
            ask(f"{self.url}uri/{self.spoil(0)}?ophandle={CHOSEN}"),
            410,
            r"Download [0-9]+ \(task chosen-b\.\.\.\) failed: NoSharesError",
        )
        for query, kind in (("", "Check"), ("&repair=true", "Repair")):
            address = f"{self.url}uri/{self.spoil(1)}?t=check{query}"
            reply = ask("-X", "POST", address)
            if kind == "Repair":
                self.check(reply, 410, r"Repair [0-9]+ \(task ID\) failed: NotEnough")
            else:
                self.assertEqual(reply.status, 200)
        chunked = ("-H", "Transfer-Encoding: chunked", "-T", "-")
        self.check(
            ask(*chunked, f"{self.url}uri", data=bytes(20_000)),
            413,
            r"Upload [0-9]+ \(task ID\) failed: .*10000",
        )
        self.assertNotIn(CHOSEN, self.grid.log())

    def test_ways_to_a_file(self) -> None:
        """A file that cannot be read has its line by whichever way it is asked for."""
        directory = ask("-X", "POST", f"{self.url}uri?t=mkdir").text
        cap = self.spoil(1)
        ask("-X", "PUT", "-d", cap, f"{self.url}uri/{directory}/lost?t=uri")
        self.before = len(self.grid.log())
        failed = r"Download [0-9]+ \(task ID\) failed: NotEnoughSharesError"
        for way in (
            ("-r", "100-199", f"{self.url}uri/{cap}"),
            ("-r", "-10", f"{self.url}cap/{cap}"),
            ("-r", "0-1,5-6", f"{self.url}uri/{cap}"),
            (f"{self.url}file/{cap}/@@named=/film.mp4",),
            (f"{self.url}named/{cap}/film.mp4?save=true",),
            (f"{self.url}uri/{directory}/lost",),
            (f"{self.url}dav/{directory}/lost",),
        ):
            self.check(ask(*way), 410, failed)

    def test_ways_to_store(self) -> None:
        """What is too large has its line by whichever way it is stored."""
        directory = ask("-X", "POST", f"{self.url}uri?t=mkdir").text
        opened = ask("-X", "POST", f"{self.url}upload/open").text
        self.before = len(self.grid.log())
        chunked = ("-H", "Transfer-Encoding: chunked", "-T", "-")
        for way in (
            ("-F", "file=@-", f"{self.url}uri?t=upload"),
            (*chunked, f"{self.url}uri?key=CHK"),
            (*chunked, f"{self.url}uri/{directory}/large"),
            ("-F", "file=@-", f"{self.url}uri/{directory}/?t=upload&name=large"),
            (*chunked, f"{self.url}dav/{directory}/large"),
            (*chunked, f"{self.url}upload/{opened}"),
        ):
            reply = ask(*way, data=bytes(20_000))
            self.check(reply, 413, r"Upload [0-9]+ \(task ID.*\) failed: .*10000")
            self.assertNotIn(opened, self.grid.log())
        ask("-X", "DELETE", f"{self.url}upload/{opened}")

    def test_nothing_wrong(self) -> None:
        """What a client has to change leaves no line, nor does what went well."""
        ask("-T", "-", f"{self.url}uri", data=b"x" * 100)
        for path in ("uri/x", "upload/x", "uri/URI:LIT:mfrgg/x", "uri?key=x", "nothing"):
            self.assertGreaterEqual(ask(f"{self.url}{path}").status, 400)
        self.assertEqual(self.lines(), [])

    def test_servers_gone(self) -> None:
        """Uploads that servers do not take leave lines, in one request and in pieces."""
        places = list((self.grid.directory / "storage").glob("[0-9]*/shares"))
        for place in places:
            place.rename(place.with_name("away"))
            place.write_bytes(b"")  # where no directory can be made
        try:
            reply = ask("-T", "-", f"{self.url}uri", data=os.urandom(2000))
            self.assertGreaterEqual(reply.status, 500)
            self.check(reply, reply.status, r"Upload [0-9]+ \(task ID\) failed: ")
            opened = ask("-X", "POST", f"{self.url}upload/open")
            path = f"{self.url}upload/{opened.text}"
            reply = ask("-T", "-", f"{path}?close=true", data=os.urandom(2000))
            self.assertGreaterEqual(reply.status, 500)
            self.check(reply, reply.status, r"PUT was answered 50[0-9]: ")
            self.assertNotIn(opened.text, self.grid.log())
        finally:
            for place in places:
                place.unlink()
                place.with_name("away").rename(place)
        ask("-X", "DELETE", path)
