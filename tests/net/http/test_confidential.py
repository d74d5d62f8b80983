"""Whether somebody on a network can read along what a client sends."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from tests.net.http.test_own_url import BASE, HERE, SOCKET, TLS, Request
from truckee.net.http.base_url import parse_base_url
from truckee.net.http.confidential import is_confidential
from truckee.net.http.forwarded import parse_trusted
from truckee.net.http.origin import AllowedHosts
from truckee.net.http.own_url import Connection

AWAY = Connection("http", "10.0.0.9", 3456)
PROXY = AllowedHosts(proxies=parse_trusted("10.0.0.0/8"))
NOBODY = AllowedHosts(proxies=parse_trusted("none"))
PLAIN_BASE = AllowedHosts(base=parse_base_url("http://files.example/"))
USUAL = AllowedHosts()
HOST = {"host": "127.0.0.1:3456"}
SECURE, PLAIN = {"x-forwarded-proto": "https"}, {"x-forwarded-proto": "http"}


class ConfidentialTests(SynchronousTestCase):
    def check(
        self,
        expected: bool,
        headers: Mapping[str, str],
        over: Connection,
        hosts: AllowedHosts = USUAL,
        version: bytes = b"HTTP/1.1",
    ) -> None:
        request = Request(headers, clientproto=version)
        found = is_confidential(request, hosts, over)
        self.assertIs(found, expected, (headers, over, hosts, version))

    def test_direct(self) -> None:
        """Over TLS, from this machine, and over a Unix socket nobody can; else they can."""
        self.check(True, {"host": "files.example"}, TLS)
        for host in ("127.0.0.1:3456", "localhost", "[::1]:3456", "files.example:3456"):
            self.check(True, {"host": host}, HERE)
        self.check(True, HOST, Connection("http", "::1", 3456))
        self.check(True, HOST, Connection("http", "::ffff:127.0.0.1", 3456))
        self.check(True, {"host": "anything"}, SOCKET)
        self.check(True, HOST, HERE, BASE)
        self.check(True, HOST, HERE, NOBODY)
        for headers in ({"host": "10.0.0.1:3456"}, HOST, HOST | SECURE):
            self.check(False, headers, AWAY)
            self.check(False, headers, AWAY, NOBODY)

    def test_proxies_that_say(self) -> None:
        """A trusted proxy says what its client used."""
        for over, hosts in ((HERE, USUAL), (AWAY, PROXY), (SOCKET, USUAL), (HERE, BASE)):
            self.check(True, HOST | SECURE, over, hosts)
            self.check(False, HOST | PLAIN, over, hosts)
        self.check(True, HOST | {"forwarded": "for=1.2.3.4;proto=https"}, HERE)
        self.check(False, HOST | SECURE, HERE, NOBODY)

    def test_proxies_that_say_nothing(self) -> None:
        """Behind a proxy that does not say so, the operator's address for clients does."""
        for headers, version in (
            (HOST | {"x-forwarded-for": "1.2.3.4"}, b"HTTP/1.1"),
            (HOST | {"via": "1.1 proxy"}, b"HTTP/1.1"),
            ({"host": "files.example"}, b"HTTP/1.1"),
            ({"host": ""}, b"HTTP/1.1"),
            ({}, b"HTTP/1.1"),
            (HOST, b"HTTP/1.0"),
        ):
            self.check(False, headers, HERE, version=version)
            self.check(True, headers, HERE, BASE, version)
            self.check(False, headers, HERE, PLAIN_BASE, version)
        self.check(False, HOST, AWAY, PROXY)
        self.check(True, {"host": "example.com"}, AWAY, AllowedHosts(
            base=BASE.base, proxies=PROXY.proxies
        ))  # fmt: skip
        self.check(False, {"host": "x"}, SOCKET, version=b"HTTP/1.0")
