"""Errors: a page with a way on for people, the same in plain text for programs."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

from tests.integration.tus_client import TusCase, close_room
from tests.processes import Reply, ask, curl
from truckee.codec.caps import ChkReadCap

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VISIT = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none")


def tearDownModule() -> None:
    """End the node."""
    close_room()


class ErrorPageTests(TusCase):
    def look(self, path: str, *headers: str, method: str = "GET") -> Reply:
        """Return what is answered to a browser that goes to an address."""
        lines = [f"-H{line}" for line in (BROWSER, *(headers or VISIT))]
        return ask("-X", method, *lines, self.url + path)

    def lost(self) -> str:
        """Return the cap of a file of which nothing is there."""
        cap = ChkReadCap(b"k" * 16, b"h" * 32, 2, 3, 1000)
        return str(cap)

    def test_kinds(self) -> None:
        """Each error is told in full, with its status and a way on, under any address."""
        for path, status, text in (
            ("nothing", 404, "There is nothing at this address."),
            ("no/thing/here/", 404, "There is nothing at this address."),
            ("upload/nothing", 404, ""),
            ("operations/nothing", 404, ""),
            ("uri/URI:nonsense", 400, "This is not a usable cap"),
            ("uri/URI:nonsense/", 400, "This is not a usable cap"),
            ("file/URI:nonsense/@@named=/a.txt", 400, "This is not a usable cap"),
            ("uri", 400, "GET /uri needs ?uri=CAP"),
            ("status?t=xml", 400, "this page has json"),
            ("statistics?t=xml", 400, "this page has json"),
            ("helper_status?t=xml", 400, "this page has json"),
            ("storage?t=xml", 400, "this page has json"),
            ("?t=xml", 400, "this page has json"),
            (f"uri/{self.lost()}", 410, "<p>"),
        ):
            page = self.look(path)
            self.assertEqual(page.status, status, path)
            self.assertTrue(page.headers["content-type"].startswith("text/html"), path)
            self.assertIn("<main", page.text)
            self.assertIn(text, page.text, path)
            self.assertIn(f"HTTP status {status}", page.text)
            self.assertNotIn("SharesError", page.text)
            self.assertIn("Upload or read a file", page.text)
            self.assertIn("3 of 3 directories", page.text)
            # Relative ways lead to where they should from there.
            for link in re.findall('href="([^"#]+)"', page.text):
                if link == "data:,":
                    continue
                found = ask(urljoin(self.url + path, link))
                self.assertEqual(found.status, 200, (path, link))

    def test_same_as_text(self) -> None:
        """Programs, and scripts of pages, get one sentence of plain text as ever."""
        plain = ask(f"{self.url}uri/URI:nonsense")
        self.assertTrue(plain.headers["content-type"].startswith("text/plain"))
        self.assertTrue(plain.headers["content-security-policy"].startswith("sandbox;"))
        for headers in (
            ("Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin"),
            ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Site: same-origin"),
        ):
            self.assertEqual(self.look("uri/URI:nonsense", *headers).body, plain.body)
        self.assertIn(plain.text.strip().partition('"')[0], self.look("uri/URI:x").text)

    def test_nothing_is_told(self) -> None:
        """A page of an error has no cap in it, and keeps its headers to itself."""
        cap = curl("-T", "-", f"{self.url}uri", data=bytes(1000)).decode()
        lost = self.lost()
        for path in (f"uri/{cap}/child", f"uri/{cap}?t=x", f"uri/{lost}", f"x/{cap}"):
            page = self.look(path)
            self.assertGreaterEqual(page.status, 400)
            for secret in (cap, lost):
                self.assertNotIn(secret, page.text)
                self.assertNotIn(quote(secret, safe=""), page.text)
            self.assertEqual(page.headers["cache-control"], "no-store")
            self.assertEqual(page.headers["referrer-policy"], "no-referrer")
            self.assertIn("frame-ancestors 'none'", page.headers["content-security-policy"])

    def test_names_are_text(self) -> None:
        """What stood in an address is never markup."""
        for path in ("uri?uri=<script>x", "status?t=<script>x", "uri/<script>", "<script>"):
            page = self.look(quote(path, safe="/?="))
            self.assertTrue(page.headers["content-type"].startswith("text/html"), path)
            self.assertNotIn("<script>", page.text)

    def test_heads(self) -> None:
        """The head alone has the length of the page; a method that is not taken is told."""
        lines = [f"-H{line}" for line in (BROWSER, *VISIT)]
        head = ask("-I", *lines, f"{self.url}nothing")
        self.assertEqual(
            head.headers["content-length"], str(len(self.look("nothing").body))
        )
        page = self.look("uri", method="PATCH")
        self.assertIn("POST", page.headers["allow"])
