"""
The gateway behind real proxies: as little as can be said to each, and what the docs say, at
the top of their names and below a path.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest
from urllib.parse import quote, urljoin, urlsplit

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import write_accounts
from tests.integration.browser import Browser, missing, run_node
from tests.integration.proxies import KINDS, Proxy, Site, documented_ini
from tests.integration.tus_client import PIECE, content
from tests.ports import free_port
from tests.processes import Reply, SharedNode, Wire, ask, curl, eventually, run

GATEWAY = SharedNode(1, "")
LINK = re.compile(r'(?:href|src|action)="([^"]*)"')
PAGES = ("", "upload", "status", "helper_status", "storage", "statistics")
DATA = content(100_000)
LARGE = 20_000_000
SAME = {
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n%b\r\n--b--\r\n"
)

# What a browser is told to do; the caps that it sees are returned.
BY_SCRIPT = """
    await page.goto(args[0]);
    await page.locator("#file").setInputFiles(args[1]);
    const found = page.locator("input.cap").last();
    await found.waitFor();
    return found.inputValue();
"""
BY_FORM = """
    await page.goto(args[0]);
    await page.route("**/upload.js", (route) => route.fulfill({ body: "" }));
    await page.reload();
    await page.unroute("**/upload.js");
    await page.locator("#file").setInputFiles(args[1]);
    await Promise.all([
        page.waitForURL("**/uri?t=upload"), page.locator("#send").click()]);
    return (await page.content()).match(/URI:CHK:[a-z2-7:0-9]+/)[0];
"""
EVENTS = """
    const asked = page.waitForRequest("**/status/events");
    await page.goto(args[0]);
    return (await asked).url();
"""


def tearDownModule() -> None:
    """End the gateway."""
    GATEWAY.close()


@frozen
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        """Its body for people."""
        return self.body.decode()


class ProxyCase:
    """One program, started once."""

    name: ClassVar[str]
    proxy: ClassVar[Proxy]

    @classmethod
    def setUpClass(cls) -> None:
        kind = KINDS[cls.name]
        if kind.installed is None:
            raise SkipTest(f"needs {cls.name}: apt-get install {kind.package}")
        cls.proxy = Proxy(kind, urlsplit(GATEWAY().url).port or 0).__enter__()

    @classmethod
    def tearDownClass(cls) -> None:
        if hasattr(cls, "proxy"):
            cls.proxy.__exit__()


class Tests(SynchronousTestCase):
    """What holds behind each of them, at each of its sites."""

    name: ClassVar[str]
    proxy: ClassVar[Proxy]

    def connect(self, site: Site, proxy: Proxy | None = None) -> HTTPConnection:
        """Return a connection, which is closed at the end."""
        parts = urlsplit(site.url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            secure = (proxy or self.proxy).trust()
            made: HTTPConnection = HTTPSConnection(host, port, timeout=60, context=secure)
        else:
            made = HTTPConnection(host, port, timeout=60)
        self.addCleanup(made.close)
        return made

    def ask(
        self,
        site: Site,
        method: str,
        link: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Got:
        """Return the answer at a link of the site's first page."""
        connection = self.connect(site)
        target = urljoin(site.path, link) if link else site.path
        connection.request(method, target, body or None, dict(headers or {}))
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        got = Got(answer.status, told, answer.read())
        connection.close()  # a proxy has places for some hundreds
        return got

    def check_file(self, cap: str) -> None:
        """*cap* gives what was stored."""
        self.assertTrue(ask(f"{GATEWAY().url}uri/{cap}").body == DATA, cap)

    def trusting(self, variable: str) -> None:
        """Have programs that are started take the certificate."""
        os.environ[variable] = str(self.proxy.certificate)
        self.addCleanup(os.environ.pop, variable)

    def test_pages(self) -> None:
        """Every page loads, and every link of it leads on to what is there."""
        cap = curl("-T", "-", f"{GATEWAY().url}uri", data=DATA).decode()
        for site in self.proxy.sites:
            seen: set[str] = set()
            for page in (*PAGES, f"uri/{quote(cap, safe='')}?t=info"):
                got = self.ask(site, "GET", page)
                self.assertEqual(got.status, 200, (site, page))
                for link in LINK.findall(got.text):
                    if link.startswith(("data:", "#")):
                        continue
                    where = urljoin(urljoin(site.url, page), link.replace("&amp;", "&"))
                    self.assertTrue(where.startswith(site.url), (site, page, link))
                    if "t=" not in where and not where.endswith("/uri"):  # of forms
                        seen.add(where.partition("#")[0])
            self.assertIn(f"{site.url}static/style.css", seen)
            self.assertIn(f"{site.url}static/upload.js", seen)
            for where in seen:
                found = self.ask(site, "GET", where[len(site.origin) :])
                self.assertEqual(found.status, 200, where)

    def test_form(self) -> None:
        """The browser's own form is taken, and that of a page elsewhere is not."""
        for site in self.proxy.sites:
            form = {"Content-Type": "multipart/form-data; boundary=b"}
            body = FORM % DATA
            ours = {
                "Origin": site.origin,
                "Referer": site.url,
                "Sec-Fetch-Site": "same-origin",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-User": "?1",
            }
            got = self.ask(site, "POST", "uri?t=upload", form | ours, body)
            self.assertEqual(got.status, 200, (site, got.body))
            found = re.search(r"URI:CHK:[a-z2-7:0-9]+", got.text)
            assert found is not None
            self.check_file(found[0])
            for other in (
                {"Origin": "http://evil.example"},
                {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
                {"Origin": site.origin, "Sec-Fetch-Site": "cross-site"},
                {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
                {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
            ):
                got = self.ask(site, "POST", "uri?t=upload", form | other, body)
                self.assertEqual(got.status, 403, (site, other))
                self.assertIn("web.base-url = ", got.text)

    def test_scripts(self) -> None:
        """The page's script uploads with tus; the address it gets leads below the path."""
        for site in self.proxy.sites:
            ours = {"Origin": site.origin, "Tus-Resumable": "1.0.0", "Referer": site.url}
            ours |= SAME
            size = {"Upload-Length": str(len(DATA))}
            got = self.ask(site, "POST", "tus/", ours | size)
            self.assertEqual(got.status, 201, (site, got.body))
            location = got.headers["location"]
            where = urljoin(f"{site.url}tus/", location)
            self.assertTrue(where.startswith(f"{site.url}tus/"), (site, location))
            if site.documented:
                self.assertEqual(where, location)
            link = where[len(site.url) :]
            self.assertEqual(self.ask(site, "HEAD", link, ours).status, 200)
            kind = PIECE.partition(": ")[2]
            piece = {"Upload-Offset": "0", "Content-Type": kind}
            got = self.ask(site, "PATCH", link, ours | piece, DATA)
            self.assertEqual(got.status, 204, (site, got.body))
            self.check_file(got.headers["upload-cap"])

    def test_reading(self) -> None:
        """Files come whole and in ranges, by their page's form too."""
        cap = curl("-T", "-", f"{GATEWAY().url}uri", data=DATA).decode()
        for site in self.proxy.sites:
            link = f"uri/{quote(cap, safe='')}"
            got = self.ask(site, "GET", link)
            self.assertTrue(got.status == 200 and got.body == DATA, site)
            got = self.ask(site, "GET", link, {"Range": "bytes=50000-50999"})
            self.assertEqual(got.status, 206, site)
            self.assertEqual(got.headers["content-range"], "bytes 50000-50999/100000")
            self.assertTrue(got.body == DATA[50000:51000])
            got = self.ask(site, "GET", f"uri?uri={quote(cap, safe='')}")
            where = urljoin(f"{site.url}uri", got.headers["location"])
            self.assertEqual((got.status, where), (302, site.url + link), site)
            got = self.ask(site, "GET", f"file/{quote(cap, safe='')}/@@named=/a%20b.txt")
            self.assertTrue(got.status == 200 and got.body == DATA, site)

    def test_events(self) -> None:
        """Each event arrives when it is told, long before the answer ends."""
        for site in self.proxy.sites:
            connection = self.connect(site)
            connection.request("GET", f"{site.path}status/events", headers=SAME)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200, site)
            next_event(answer)
            curl("-T", "-", f"{GATEWAY().url}uri", data=b"x" * 100)
            told = next_event(answer)
            self.assertIn("recent", told)
            connection.close()

    def test_commands(self) -> None:
        """``truckee put`` and ``get`` take the address with a path and without."""
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        file, back = place / "file", place / "back"
        file.write_bytes(DATA)
        self.trusting("SSL_CERT_FILE")
        for site in self.proxy.sites:
            done = run("put", "-u", site.url.rstrip("/"), str(file))
            self.assertEqual(done.code, 0, (site, done.errors))
            cap = done.output.strip()
            done = run("get", "-u", site.url, cap, str(back))
            self.assertEqual(done.code, 0, (site, done.errors))
            self.assertTrue(back.read_bytes() == DATA)

    def test_passing_on(self) -> None:
        """A long upload reaches the gateway while it is sent, and is asked for first."""
        for site in self.proxy.sites:
            if not site.documented or site.path == "/":
                continue
            connection = self.connect(site)
            task = f"proxy{time.monotonic_ns():025}"
            connection.putrequest("PUT", f"{site.path}uri")
            connection.putheader("Content-Length", str(LARGE))
            connection.putheader("X-Task-Id", task)
            connection.putheader("Expect", "100-continue")
            connection.endheaders()
            sock = connection.sock
            begin = sock.recv(1024)
            self.assertTrue(begin.startswith(b"HTTP/1.1 100 "), (site, begin))
            large = content(LARGE)
            sock.sendall(large[: LARGE // 2])
            where = f"{GATEWAY().url}operations/{task}?output=json"
            eventually(lambda url=where: received(url))  # type: ignore[misc]
            sock.sendall(large[LARGE // 2 :])
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200, site)
            cap = answer.read().decode()
            self.assertTrue(ask(f"{GATEWAY().url}uri/{cap}").body == large)

    def test_log_in(self) -> None:
        """Who comes over TLS logs in to WebDAV, below the proxy's path; plain passwords
        are neither asked for nor taken, though the proxy is on the gateway's machine."""
        node = GATEWAY()
        root = curl("-X", "POST", f"{node.url}uri?t=mkdir").decode()
        place = node.directory / "private" / "accounts"
        write_accounts(place, f"alice secret {root}")
        self.addCleanup(place.unlink)
        password = {"Authorization": f"Basic {b64encode(b'alice:secret').decode()}"}
        for site in self.proxy.sites:
            for headers, status in ((password, 207), ({}, 401)):
                got = self.ask(site, "PROPFIND", "dav/", {"Depth": "0", **headers})
                self.assertEqual(got.status, status if site.documented else 403, site)
                asked = "www-authenticate" in got.headers
                self.assertEqual(asked, site.documented and not headers)
            if site.documented:
                self.ask(site, "PUT", "dav/a", password, b"x")
                target = {"Destination": f"{site.url}dav/b"}
                moved = self.ask(site, "MOVE", "dav/a", password | target)
                self.assertIn(moved.status, (201, 204), (site, moved.body))
                got = self.ask(site, "PROPFIND", "dav/", {"Depth": "1", **password})
                self.assertIn(f"<D:href>{site.path}dav/b</D:href>", got.text)

    def test_logs(self) -> None:
        """What the docs say keeps caps out of logs, when the gateway is away too."""
        with Proxy(self.proxy.kind, free_port()) as away:
            for proxy, good in ((self.proxy, True), (away, False)):
                for site in proxy.sites:
                    if site.documented:
                        connection = self.connect(site, proxy)
                        connection.request("GET", f"{site.path}uri/URI:LIT:mfrggztfm4")
                        status = connection.getresponse().status
                        self.assertEqual(status == 200, good, (site, status))
                        connection.close()
                for file in proxy.place.rglob("*"):
                    if file.is_file():
                        self.assertNotIn(b"mfrggztfm4", file.read_bytes(), file)

    def test_interim_responses(self) -> None:
        """A client of the IETF's resumable uploads gets the final answer."""
        for site in self.proxy.sites:
            certificate = ("--cacert", str(self.proxy.certificate))
            cap = curl(
                *certificate,
                *("-T", "-", "-H", "Upload-Complete: ?1"),
                *("-H", "Upload-Draft-Interop-Version: 8", f"{site.url}uri"),
                data=DATA,
            ).decode()
            self.check_file(cap)

    def test_tus_js_client(self) -> None:
        """The usual client of tus uploads by the address that it is given."""
        why = missing(browser=False)
        if why is not None:
            raise SkipTest(why)
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (place / "file").write_bytes(DATA)
        self.trusting("NODE_EXTRA_CA_CERTS")
        for site in self.proxy.sites:
            if site.path != "/":
                endpoint = f"{site.url}tus/"
                options = json.dumps({"chunkSize": 60_000})
                done = run_node("tus.mjs", endpoint, str(place / "file"), options)
                self.assertNotIn("error", done)
                self.assertTrue(done["url"].startswith(endpoint), done)
                self.check_file(done["cap"])


class BaseUrlTests(SynchronousTestCase):
    """What the page says of tahoe.cfg, without a proxy that tells anything."""

    def setUp(self) -> None:
        config = documented_ini().replace("tcp:3456", "tcp:0")
        node = SharedNode(1, "\n" + config)
        self.addCleanup(node.close)
        self.url = node().url

    def say(self, method: str, path: str, *headers: str, data: bytes = b"") -> Reply:
        """Return the answer to a request that says just this."""
        lines = (f"{method} {path} HTTP/1.1", f"Content-Length: {len(data)}", *headers)
        with Wire(self.url) as wire:
            wire.send("\r\n".join((*lines, "", "")).encode() + data)
            return wire.reply()

    def test_as_documented(self) -> None:
        """Whatever name the proxy asks by, the public address counts, and no other."""
        ours, form = "Origin: https://example.com", "Content-Type: multipart/form-data; "
        public = "https://example.com/tahoe/"
        for host in ("Host: 127.0.0.1:3456", "Host: example.com", "Host: example.com:443"):
            reply = self.say("GET", "/", host)
            self.assertIn(f"curl -T FILE {public}uri".encode(), reply.body)
            body = FORM % b"x" * 9
            for origin, status in (
                (ours, 200),
                ("Origin: https://example.com:8443", 403),
                ("Origin: http://evil.example", 403),
                (f"{ours}\r\nSec-Fetch-Site: cross-site", 403),
            ):
                said = (host, origin, f"{form}boundary=b")
                reply = self.say("POST", "/uri?t=upload", *said, data=body)
                self.assertEqual(reply.status, status, (said, reply.body))
            tus = ("Tus-Resumable: 1.0.0", "Upload-Length: 9", ours)
            where = self.say("POST", "/tus/", host, *tus).headers["location"]
            self.assertTrue(where.startswith(f"{public}tus/"), where)
            evil = "X-Forwarded-Host: evil.example"
            self.assertEqual(self.say("GET", "/", host, evil).status, 403)
        self.assertEqual(self.say("GET", "/", "Host: evil.example").status, 403)


def next_event(answer: HTTPResponse) -> dict[str, object]:
    """Return the next event of tasks."""
    while line := answer.readline():
        if line.startswith(b"data: "):
            told: dict[str, object] = json.loads(line[6:])
            return told
    raise AssertionError("the events ended")


def received(url: str) -> bool:
    """Tell whether bytes of a task's file have come."""
    found = ask(url)
    return found.status == 200 and json.loads(found.body)["received"] > 0


class NginxTests(ProxyCase, Tests):
    name = "nginx"

    def test_browser(self) -> None:
        """A browser's scripts and forms do their work where nginx is told nothing."""
        why = missing(browser=True)
        if why is not None:
            raise SkipTest(why)
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (place / "file").write_bytes(DATA)
        browser = self.enterContext(Browser(place / "profile"))
        url = next(s.url for s in self.proxy.sites if not s.documented and s.path != "/")
        self.check_file(browser.do(BY_SCRIPT, url, str(place / "file")))
        self.check_file(browser.do(BY_FORM, f"{url}upload", str(place / "file")))
        events = browser.do(EVENTS, f"{url}status")
        self.assertEqual(events, f"{url}status/events")
        self.assertEqual(browser.do("return page.errors"), [])


class ApacheTests(ProxyCase, Tests):
    name = "apache"


class HAProxyTests(ProxyCase, Tests):
    name = "haproxy"


class CaddyTests(ProxyCase, Tests):
    name = "caddy"


del Tests
