"""The address that a client is given for what it made."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from truckee.net.http.base_url import parse_base_url
from truckee.net.http.forwarded import parse_trusted
from truckee.net.http.origin import AllowedHosts, allowed_hosts
from truckee.net.http.own_url import Connection, own_path, own_url

HERE = Connection("http", "127.0.0.1", 3456)
TLS = Connection("https", "10.0.0.9", 443)
SOCKET = Connection("http", "", None)
NAMED = AllowedHosts(proxies=parse_trusted("127.0.0.1"))
BASE = AllowedHosts(base=parse_base_url("https://example.com/tahoe/"))
TELLS = {"x-forwarded-proto": "https"}


@define(eq=False)
class Request:
    """The head of one."""

    headers: Mapping[str, str]
    path: bytes = b"/tus/"
    clientproto: bytes = b"HTTP/1.1"
    lines: dict[str, list[str]] = field(init=False)

    @lines.default
    def _lines(self) -> dict[str, list[str]]:
        return {name: [value] for name, value in self.headers.items()}

    def header_lines(self, name: str) -> list[str]:
        """Return all values of a header."""
        return self.lines.get(name, [])


class OwnUrlTests(SynchronousTestCase):
    def test_absolute(self) -> None:
        """It is absolute where the scheme, the name and the path are certain."""
        listed = allowed_hosts("a.example, https://b.example")
        for headers, hosts, over, start in (
            ({"host": "127.0.0.1:3456"}, AllowedHosts(), HERE, "http://127.0.0.1:3456/"),
            ({"host": "localhost"}, AllowedHosts(), HERE, "http://localhost/"),
            ({"host": "10.0.0.1"}, AllowedHosts(), TLS, "https://10.0.0.1/"),
            ({"host": "a.example:3456"}, listed, HERE, "http://a.example:3456/"),
            ({"host": "b.example"}, listed, HERE, "https://b.example/"),
            ({"host": "b.example"} | TELLS, listed, HERE, "https://b.example/"),
            ({"host": "b.example"}, listed, SOCKET, "https://b.example/"),
            ({"host": "10.0.0.1"} | TELLS, NAMED, HERE, "https://10.0.0.1/"),
            ({"host": "anything"}, BASE, HERE, "https://example.com/tahoe/"),
            ({}, BASE, SOCKET, "https://example.com/tahoe/"),
        ):
            found = own_url(Request(headers), hosts, over, "/tus/x")
            self.assertEqual(found, f"{start}tus/x", headers)

    def test_relative(self) -> None:
        """Else it is relative to what was asked for."""
        listed = allowed_hosts("a.example, https://b.example")
        for headers, hosts, over in (
            ({"host": "127.0.0.1:81"}, AllowedHosts(), HERE),
            ({"host": "a.example"}, listed, HERE),
            ({"host": "c.example:3456"}, listed, HERE),
            ({"host": "b.example", "x-forwarded-proto": "http"}, listed, HERE),
            ({"host": "10.0.0.1"} | TELLS, AllowedHosts(), HERE),
            ({"host": "127.0.0.1:3456"} | TELLS, NAMED, HERE),
            ({"host": "10.0.0.1"} | TELLS, NAMED, Connection("http", "10.0.0.9", 3456)),
            ({"host": "a b"}, AllowedHosts(), HERE),
            ({}, AllowedHosts(), HERE),
        ):
            found = own_url(Request(headers), hosts, over, "/tus/x")
            self.assertEqual(found, "../tus/x", headers)

    def test_links(self) -> None:
        """A link is a path for a client that asks us itself, and relative for others."""
        direct = {"host": "127.0.0.1:3456"}
        for headers, hosts, version, path, link in (
            (direct, AllowedHosts(), b"HTTP/1.1", b"/uri", "/uri/x"),
            (direct, AllowedHosts(), b"HTTP/1.0", b"/uri", "uri/x"),
            (direct, AllowedHosts(), b"HTTP/1.0", b"/uri/", "../uri/x"),
            (direct, BASE, b"HTTP/1.1", b"/uri", "uri/x"),
            ({"host": "127.0.0.1:80"}, AllowedHosts(), b"HTTP/1.1", b"/uri", "uri/x"),
            (direct | TELLS, AllowedHosts(), b"HTTP/1.1", b"/uri", "uri/x"),
            (direct | TELLS, NAMED, b"HTTP/1.1", b"/uri", "uri/x"),
        ):
            request = Request(headers, path, version)
            self.assertEqual(own_path(request, hosts, HERE, "/uri/x"), link, headers)
