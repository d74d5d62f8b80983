"""
What the clients of operating systems send, one request after the other, replayed.

From what is public of them: each writes in its own way, and its user expects the file to
be there, whole, with its time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote
from xml.etree.ElementTree import fromstring

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, ask

DATA = bytes(range(256)) * 300
LOCK_INFO = (
    b'<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope>'
    b"<D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>"
    b"http://www.apple.com/webdav_fs/</D:href></D:owner></D:lockinfo>"
)
WINDOWS_LOCK = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope>'
    b"<D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>"
    b"PC\\user</D:href></D:owner></D:lockinfo>"
)
FINDER_FIND = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:getlastmodified/><D:getcontentlength/><D:creationdate/><D:resourcetype/>"
    b"</D:prop></D:propfind>"
)
QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:quota-available-bytes/><D:quota-used-bytes/><D:quota/><D:quotaused/>"
    b"</D:prop></D:propfind>"
)


def windows_times(*names: str) -> bytes:
    """Return the PROPPATCH by which Windows sets times and attributes of a file."""
    inner = "".join(f"<Z:{name}>Sat, 03 Feb 2001 04:05:06 GMT</Z:{name}>" for name in names)
    return (
        '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" '
        f'xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>{inner}'
        "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set>"
        "</D:propertyupdate>"
    ).encode()


@frozen
class Step:
    """A request, and what comes of it; {lock} and {at} are filled in."""

    status: int
    method: str
    name: str = ""
    headers: Sequence[str] = ()
    data: bytes | None = field(default=None, repr=False)


def finder_put(name: str, data: bytes) -> list[Step]:
    """Return how Finder stores a new file: empty, locked, then chunked."""
    agent = "User-Agent: WebDAVFS/3.0.0 (03008000) Darwin/22.6.0"
    chunked = ("Transfer-Encoding: chunked", f"X-Expected-Entity-Length: {len(data)}")
    find = Step(207, "PROPFIND", name, ("Depth: 0", agent), FINDER_FIND)
    return [
        Step(404, "PROPFIND", name, ("Depth: 0", agent), FINDER_FIND),
        Step(201, "PUT", name, (agent,), b""),
        Step(200, "LOCK", name, ("Depth: 0", "Timeout: Second-600", agent), LOCK_INFO),
        find,
        Step(204, "PUT", name, (*chunked, "If: (<{lock}>)", agent), data),
        find,
        Step(204, "UNLOCK", name, ("Lock-Token: <{lock}>", agent)),
    ]


class SessionTests(SynchronousTestCase):
    room = SharedNode(happy=3, total=3)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.room.close()

    def setUp(self) -> None:
        self.url = self.room().url
        self.cap = ask("-X", "POST", f"{self.url}uri?t=mkdir").text
        self.lock = ""

    def at(self, name: str) -> str:
        """Return the address of a name."""
        if name.startswith("/"):
            return self.url + name[1:]
        return f"{self.url}dav/{self.cap}/{quote(name)}"

    def play(self, steps: Sequence[Step]) -> Reply:
        """Send all that a client sends; return the last answer."""
        for step in steps:
            options = ["-X", step.method]
            for header in step.headers:
                said = header.replace("{lock}", self.lock).replace("{at}", self.at(""))
                options += ["-H", said]
            if step.data is not None:
                options += ["--data-binary", "@-", "-H", "Content-Type:"]
            reply = ask(*options, self.at(step.name), data=step.data)
            self.assertEqual(reply.status, step.status, (step, reply.body))
            if step.method == "LOCK":
                found = re.search(rb"<D:locktoken><D:href>([^<]*)", reply.body)
                assert found is not None
                self.lock = found[1].decode("ascii")
        return reply

    def names(self) -> list[str]:
        """Return the names in the directory."""
        reply = self.play([Step(207, "PROPFIND", "", ("Depth: 1",))])
        _itself, *rest = fromstring(reply.body)
        return sorted(each.findtext(".//{DAV:}displayname", "") for each in rest)

    def read(self, name: str) -> bytes:
        """Return what a file has."""
        return self.play([Step(200, "GET", name)]).body

    def test_finder(self) -> None:
        """A new file with its companion, and then another version of it."""
        self.play(
            [
                Step(200, "OPTIONS", "/"),
                Step(207, "PROPFIND", "", ("Depth: 0",), FINDER_FIND),
                Step(207, "PROPFIND", "", ("Depth: 0",), QUOTA),
                Step(404, "PROPFIND", "._.", ("Depth: 0",), FINDER_FIND),
                Step(404, "PROPFIND", ".DS_Store", ("Depth: 0",), FINDER_FIND),
                *finder_put("photo.jpg", DATA),
                *finder_put("._photo.jpg", b"Mac OS X" * 512),
                Step(207, "PROPFIND", "", ("Depth: 1",), FINDER_FIND),
            ]
        )
        self.assertEqual(self.names(), ["._photo.jpg", "photo.jpg"])
        self.assertEqual(self.read("photo.jpg"), DATA)
        self.play(finder_put("photo.jpg", b"new")[2:])
        self.assertEqual(self.read("photo.jpg"), b"new")

    def test_finder_cut(self) -> None:
        """What comes short of what Finder said is not in the place of what was there."""
        [*steps] = finder_put("film", DATA)
        steps[4] = Step(
            400,
            "PUT",
            "film",
            (
                "Transfer-Encoding: chunked",
                "X-Expected-Entity-Length: 99999",
                "If: (<{lock}>)",
            ),
            DATA,
        )
        self.play(steps)
        self.assertEqual(self.read("film"), b"")

    def test_windows(self) -> None:
        """Explorer copies a file: empty, locked without a depth, then its times."""
        agent = "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045"
        holds = "If: (<{lock}>)"
        times = windows_times(
            "Win32CreationTime", "Win32LastAccessTime", "Win32LastModifiedTime"
        )
        self.play(
            [
                Step(200, "OPTIONS", "/", (agent, "translate: f")),
                Step(207, "PROPFIND", "/dav", (agent, "Depth: 0", "translate: f")),
                Step(207, "PROPFIND", "", (agent, "Depth: 0", "translate: f")),
                Step(404, "PROPFIND", "a.docx", (agent, "Depth: 0", "translate: f")),
                Step(201, "PUT", "a.docx", (agent, "translate: f"), b""),
                Step(200, "LOCK", "a.docx", (agent, "Timeout: Second-3600"), WINDOWS_LOCK),
                Step(207, "PROPPATCH", "a.docx", (agent, holds), times),
                Step(204, "PUT", "a.docx", (agent, holds, "translate: f"), DATA),
                Step(207, "PROPPATCH", "a.docx", (agent, holds), times),
                Step(200, "LOCK", "a.docx", (agent, holds, "Timeout: Second-3600")),
                Step(204, "UNLOCK", "a.docx", (agent, "Lock-Token: <{lock}>")),
            ]
        )
        self.assertEqual(self.read("a.docx"), DATA)
        found = self.play([Step(207, "PROPFIND", "a.docx", ("Depth: 0",))]).body
        self.assertIn(b"Sat, 03 Feb 2001 04:05:06 GMT</D:getlastmodified>", found)
        self.assertIn(b"00000020", found)

    def test_gvfs(self) -> None:
        """Nautilus: a folder is made, named and filled; then it goes, file by file."""
        self.play(
            [
                Step(200, "OPTIONS", "/"),
                Step(207, "PROPFIND", "/", ("Depth: 0",)),
                Step(207, "PROPFIND", "/dav/", ("Depth: 0",)),
                Step(207, "PROPFIND", "", ("Depth: 1",)),
                Step(201, "MKCOL", "Untitled Folder"),
                Step(
                    201,
                    "MOVE",
                    "Untitled Folder",
                    ("Destination: {at}New%20Folder", "Overwrite: F"),
                ),
                Step(201, "PUT", "New Folder/a", (), b""),
                Step(204, "PUT", "New Folder/a", (), DATA),
            ]
        )
        self.assertEqual(self.read("New Folder/a"), DATA)
        self.play([Step(204, "DELETE", "New Folder/a"), Step(204, "DELETE", "New Folder")])
        self.assertEqual(self.names(), [])

    def test_davfs2(self) -> None:
        """A file is locked before it is there, and written when it is closed."""
        holds = "If: (<{lock}>)"
        lock = ("Depth: 0", "Timeout: Second-1800")
        self.play(
            [
                Step(201, "LOCK", "a", lock, LOCK_INFO),
                Step(207, "PROPFIND", "a", ("Depth: 0",)),
                Step(204, "PUT", "a", (holds,), DATA),
                Step(207, "PROPFIND", "a", ("Depth: 0",)),
                Step(204, "UNLOCK", "a", ("Lock-Token: <{lock}>",)),
                Step(200, "LOCK", "a", lock, LOCK_INFO),
                Step(423, "PUT", "a", (), b"of another one"),
                Step(204, "PUT", "a", (holds,), b"again"),
                Step(204, "UNLOCK", "a", ("Lock-Token: <{lock}>",)),
            ]
        )
        self.assertEqual(self.read("a"), b"again")

    def test_office(self) -> None:
        """A document is opened, saved twice and closed, its lock renewed meanwhile."""
        holds = "If: (<{lock}>)"
        self.play(
            [
                Step(201, "PUT", "a.docx", (), b"first"),
                Step(200, "LOCK", "a.docx", ("Timeout: Second-3600",), WINDOWS_LOCK),
                Step(200, "GET", "a.docx"),
                Step(204, "PUT", "a.docx", (holds,), b"second"),
                Step(200, "LOCK", "a.docx", (holds, "Timeout: Second-3600")),
                Step(423, "PUT", "a.docx", (), b"of another one"),
                Step(423, "DELETE", "a.docx"),
                Step(204, "PUT", "a.docx", (holds,), DATA),
                Step(204, "UNLOCK", "a.docx", ("Lock-Token: <{lock}>",)),
            ]
        )
        self.assertEqual(self.read("a.docx"), DATA)

    def test_saved_anew(self) -> None:
        """A document is emptied and written anew; who reads it elsewhere has it whole."""
        holds = "If: (<{lock}>)"
        stored = f"/uri/{self.cap}/a.docx"
        self.play(
            [
                Step(201, "PUT", "a.docx", (), b"first"),
                Step(200, "LOCK", "a.docx", ("Timeout: Second-3600",), WINDOWS_LOCK),
                Step(204, "PUT", "a.docx", (holds, "translate: f"), b""),
                Step(207, "PROPFIND", "a.docx", ("Depth: 0",)),
            ]
        )
        self.assertEqual((self.read(stored), self.read("a.docx")), (b"first", b""))
        times = windows_times("Win32LastModifiedTime")
        self.play(
            [
                Step(207, "PROPPATCH", "a.docx", (holds,), times),
                Step(204, "PUT", "a.docx", (holds, "translate: f"), DATA),
                Step(207, "PROPPATCH", "a.docx", (holds,), times),
                Step(204, "UNLOCK", "a.docx", ("Lock-Token: <{lock}>",)),
            ]
        )
        self.assertEqual(self.read(stored), DATA)
        found = self.play([Step(207, "PROPFIND", "a.docx", ("Depth: 0",))]).body
        self.assertIn(b"Sat, 03 Feb 2001 04:05:06 GMT</D:getlastmodified>", found)

    def test_finder_over(self) -> None:
        """Finder replaces a file: locked, emptied and sent; cut, the first one is there."""
        stored = f"/uri/{self.cap}/photo.jpg"
        [*_, lock, find, put, _find, unlock] = finder_put("photo.jpg", DATA)
        empty = Step(204, "PUT", "photo.jpg", ("If: (<{lock}>)",), b"")
        self.play([Step(201, "PUT", "photo.jpg", (), b"first"), lock, empty, find])
        self.assertEqual(self.read(stored), b"first")
        short = ("Transfer-Encoding: chunked", "X-Expected-Entity-Length: 9")
        cut = Step(400, "PUT", "photo.jpg", (*short, "If: (<{lock}>)"), b"short")
        self.play([cut, unlock])
        self.assertEqual(self.read(stored), b"first")
        self.play([lock, empty, find, put, find, unlock])
        self.assertEqual(self.read(stored), DATA)

    def test_save_beside(self) -> None:
        """Cyberduck and editors write another file, and move it over the first."""
        over = ("Destination: {at}a", "Overwrite: T")
        self.play(
            [
                Step(201, "PUT", "a", (), b"first"),
                Step(201, "PUT", "a-tmp", ("Expect: 100-continue",), DATA),
                Step(204, "MOVE", "a-tmp", over),
            ]
        )
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.read("a"), DATA)
