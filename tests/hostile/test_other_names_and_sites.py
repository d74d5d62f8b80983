"""
Requests that a browser sends for a page elsewhere, and under a name that was made to lead
here (DNS rebinding): refused at every address, with every method.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, Wire, ask, curl, running
from truckee.frontends.web import root
from truckee.node import site

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW")
DAV = ("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK")
FOREIGN = (
    "Origin: http://evil.example",
    "Origin: null",
    "Origin: https://127.0.0.1",
    "Origin: http://127.0.0.1:1",
    "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
    "Service-Worker: script",
    "Sec-Fetch-Dest: serviceworker",
    "Sec-Fetch-Dest: iframe",
)


class EveryAddressTests(SynchronousTestCase):
    cleanup: ClassVar[contextlib.ExitStack]
    grid: ClassVar[GridProcess]
    cap: ClassVar[str]
    directory: ClassVar[str]

    @classmethod
    def setUpClass(cls) -> None:
        with contextlib.ExitStack() as cleanup:
            place = cleanup.enter_context(tempfile.TemporaryDirectory())
            cls.grid = GridProcess.create(
                Path(place) / "node",
                needed=2,
                happy=2,
                total=3,
                storage_dirs=3,
                config="\n[node]\nweb.allowed-hosts = files.example, https://tls.example\n",
            )
            cleanup.enter_context(running(cls.grid))
            cls.cleanup = cleanup.pop_all()
        cls.cap = curl("-T", "-", f"{cls.grid.url}uri", data=b"x" * 100).decode()
        cls.directory = curl("-X", "POST", f"{cls.grid.url}uri?t=mkdir").decode()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()

    def addresses(self) -> list[str]:
        """Return one address of each kind, those with secrets as they really are."""
        handle = curl("-X", "POST", f"{self.grid.url}upload/open").decode()
        self.addCleanup(ask, "-X", "DELETE", f"{self.grid.url}upload/{handle}")
        task = "0123456789abcdef"
        curl("-T", "-", f"{self.grid.url}uri?ophandle={task}", data=b"y" * 100)
        return [
            *("/", "/uri", "/uri?t=upload", f"/uri?uri={self.cap}", "/nothing", "/upload"),
            *(f"/{top}/{self.cap}" for top in ("uri", "cap", "file", "named")),
            *(f"/uri/{self.cap}?t={t}" for t in ("json", "check", "uri")),
            *(f"/uri/{self.directory}/", f"/uri/{self.directory}/?t=rename-form&name=x"),
            *(f"/uri/{self.directory}/?t={t}" for t in ("json", "mkdir", "set_children")),
            *("/upload/open", f"/upload/{handle}", "/tus/", f"/tus/{handle}", "/metrics"),
            *(f"/operations/{task}", f"/operations/{task}?t=cancel", "/operations"),
            *("/status", "/status?t=json", "/status/events", "/helper_status", "/storage"),
            *("/statistics", "/statistics?t=json", "/status/up-1", "/status/up-1?t=json"),
            *("/report_incident", "/private", "/private/logs/v1"),
            "/status/down-1/event_json",
            *("/static/upload.js", "/static", "/dav", f"/dav/{self.directory}/name"),
        ]

    def ask(
        self, method: str, path: str, *headers: str, host: str = "Host: 127.0.0.1"
    ) -> tuple[int, dict[str, str]]:
        """Return the status and the headers of the answer."""
        lines = [f"{method} {path} HTTP/1.1", host, "Connection: close"]
        lines += ["Content-Length: 0", *headers, "", ""]
        with Wire(self.grid.url) as wire:
            wire.send("\r\n".join(lines).encode())
            return wire.head()

    def status(
        self, method: str, path: str, *headers: str, host: str = "Host: 127.0.0.1"
    ) -> int:
        """Return the status of the answer."""
        return self.ask(method, path, *headers, host=host)[0]

    def test_all_are_here(self) -> None:
        """The list has every address that the gateway has."""
        here = {re.split(r"[/?]", path)[1] for path in self.addresses()}
        for module in (root, site):
            source = Path(str(module.__file__)).read_text()
            found = set(re.findall(r"\(\s*b\"([a-z_]+)\", [a-zA-Z]", source))
            self.assertTrue(found)
            self.assertLessEqual(found, here)

    def test_other_sites(self) -> None:
        """Whatever a page elsewhere has a browser send is refused."""
        paths = self.addresses()
        for number, path in enumerate(paths):
            for method in METHODS:
                # Each header with each method, and with each address, if not all with all.
                for header in FOREIGN if method == "GET" else FOREIGN[number % 3 :: 3]:
                    self.assertEqual(
                        self.status(method, path, header), 403, (method, path, header)
                    )
        still = [path for path in paths if path.startswith(("/upload/", "/tus/", "/oper"))]
        for path in still:
            self.assertNotIn(self.status("GET", path), (403, 410), path)

    def test_webdav(self) -> None:
        """The methods of WebDAV are refused as those that write, also where it is not."""
        for path in ("/", "/uri", "/dav/", f"/dav/{self.directory}/name"):
            for method in DAV:
                for header in FOREIGN:
                    self.assertEqual(
                        self.status(method, path, header), 403, (method, path, header)
                    )
        place = f"/dav/{self.directory}/name"
        self.assertEqual(self.status("PROPFIND", place, "Depth: 0"), 404)
        self.assertEqual(self.status("MKCOL", place), 201)

    def test_other_names(self) -> None:
        """Under a name that is not ours nothing is answered."""
        for path in self.addresses():
            for method in METHODS:
                found = self.status(method, path, host="Host: evil.example:3456")
                self.assertEqual(found, 403, (method, path))
                target = f"http://evil.example{path}"
                self.assertEqual(self.status(method, target), 403, (method, path))

    def test_no_name(self) -> None:
        """HTTP/1.1 needs one Host, with a name in it."""
        for host in ("X: y", "Host: 127.0.0.1\r\nHost: 127.0.0.1", "Host:", "Host: a b"):
            for path in ("/", "/uri", f"/uri/{self.cap}"):
                self.assertEqual(self.status("GET", path, host=host), 400, host)

    def test_names_of_ours(self) -> None:
        """Addresses, localhost and what the operator named are answered."""
        for name in ("127.0.0.1:1", "[::1]:3456", "localhost", "files.example:80"):
            self.assertEqual(self.status("GET", "/", host=f"Host: {name}"), 200, name)
            own = f"Origin: http://{name}"
            target = f"/uri/{self.cap}?t=check"
            self.assertEqual(
                self.status("POST", target, own, host=f"Host: {name}"), 200, name
            )
        host = "Host: tls.example"
        for origin, status in (("https://tls.example", 200), ("http://tls.example", 403)):
            told = self.status("GET", "/", f"Origin: {origin}", host=host)
            self.assertEqual(told, status)

    def test_visitors(self) -> None:
        """A link elsewhere can be followed to a page or a file, and does nothing else."""
        link = (
            *("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
            "Sec-Fetch-Dest: document",
        )
        for path, status in (
            *(("/", 200), ("/upload", 200), (f"/uri/{self.cap}", 200)),
            (f"/uri?uri={self.cap}", 302),
        ):
            self.assertEqual(self.status("GET", path, *link), status)
            self.assertEqual(self.status("POST", path, *link), 403)

    def test_programs(self) -> None:
        """Programs, which say nothing of pages, do as before."""
        file = f"/uri/{self.cap}"
        for path in ("/", file, "/status?t=json", "/metrics", "/status/events"):
            self.assertEqual(self.status("GET", path), 200, path)
        self.assertEqual(self.status("POST", f"{file}?t=check"), 200)

    def test_policies(self) -> None:
        """Every answer is sandboxed but the pages of the gateway, which have no frames."""
        pages = re.compile(
            r"/(|upload|status|status/up-1|helper_status|storage|statistics|operations/[a-z0-9]+"
            r"|uri/URI:DIR2:[^/]*/)"
        )
        for path in self.addresses():
            for method in ("GET", "HEAD", "POST", "OPTIONS"):
                status, headers = self.ask(method, path)
                policy = headers["content-security-policy"]
                # A file is shown in frames of the gateway's own pages.
                file = status == 200 and headers.get("accept-ranges") == "bytes"
                frames = "'self'" if file else "'none'"
                self.assertIn(f"frame-ancestors {frames}", policy, path)
                self.assertIn("default-src 'none'", policy, path)
                self.assertNotIn("allow-", policy)
                kind = headers.get("content-type", "")
                ours = status == 200 and kind.startswith("text/html")
                self.assertEqual(policy.startswith("sandbox;"), not ours, (method, path))
                checked = method == "POST" and path.endswith("?t=check")
                page = checked or pages.fullmatch(path.partition("?")[0])
                self.assertTrue(page or not ours, path)
                for name, value in (
                    ("x-content-type-options", "nosniff"),
                    ("x-frame-options", "SAMEORIGIN" if file else "DENY"),
                    ("cross-origin-resource-policy", "same-origin"),
                    ("cross-origin-opener-policy", "same-origin"),
                    (
                        "referrer-policy",
                        "no-referrer" if checked or not ours else "same-origin",
                    ),
                ):
                    self.assertEqual(headers[name], value, (method, path))
