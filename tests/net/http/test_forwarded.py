"""What proxies say, which of them count, and the address that the operator names."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from truckee.net.http.base_url import parse_base_url
from truckee.net.http.forwarded import (
    LOCAL_PROXIES,
    Forwarded,
    client_of,
    forwarded,
    parse_trusted,
)


def said(lines: Mapping[str, list[str]]) -> Forwarded:
    """Return what a request with these headers says."""
    return forwarded(lambda name: lines.get(name, []))


class ForwardedTests(SynchronousTestCase):
    def test_headers(self) -> None:
        """The names, scheme and prefix that the client used; several lines are one list."""
        for lines, found in (
            ({}, Forwarded()),
            ({"x-forwarded-host": ["a, b", "c"]}, Forwarded(("a", "b", "c"))),
            ({"x-forwarded-proto": ["HTTPS", "http"]}, Forwarded((), "https")),
            ({"x-forwarded-proto": ["gopher"]}, Forwarded()),
            ({"x-forwarded-prefix": ["/a/"]}, Forwarded((), "", "/a")),
            ({"x-forwarded-prefix": ["/"]}, Forwarded((), "", "")),
            ({"x-forwarded-prefix": ["//evil"]}, Forwarded()),
            ({"x-forwarded-prefix": ["/a/../b"]}, Forwarded()),
            ({"forwarded": ["host=a;proto=HTTP , host=b"]}, Forwarded(("a", "b"), "http")),
            ({"forwarded": ['for="[::1]:1, x" ; Host="a:1"']}, Forwarded(("a:1",))),
            ({"forwarded": ['host="a\\"b"']}, Forwarded(('a"b',))),
            (
                {"x-forwarded-proto": ["https"], "forwarded": ["proto=http;host=b"]},
                Forwarded(("b",), "https"),
            ),
        ):
            self.assertEqual(said(lines), found, lines)

    def test_malformed(self) -> None:
        """A header that cannot be read is kept as a name that nobody has."""
        for text in ("x", "host=", 'host="a', "=a", "host=a b", "host=a;;", ";" * 10**5):
            hosts = said({"forwarded": [text]}).hosts
            self.assertIn(hosts, ((text,), ("",)), text[:20])

    def test_trusted(self) -> None:
        """Proxies of this machine count, unless others are named."""
        named = parse_trusted("10.0.0.0/8, 192.168.1.5 2001:db8::/32")
        for address, usual, by_name in (
            ("", True, True),
            ("127.0.0.1", True, False),
            ("127.9.9.9", True, False),
            ("::1", True, False),
            ("::ffff:127.0.0.1", True, False),
            ("10.2.3.4", False, True),
            ("::ffff:10.2.3.4", False, True),
            ("192.168.1.5", False, True),
            ("192.168.1.6", False, False),
            ("2001:db8::7", False, True),
            ("fe80::1%eth0", False, False),
            ("x", False, False),
        ):
            found = (LOCAL_PROXIES.trusts(address), named.trusts(address))
            self.assertEqual(found, (usual, by_name), address)
        self.assertFalse(parse_trusted("none").trusts("127.0.0.1"))

    def test_client(self) -> None:
        """The client is the last one that is no proxy of ours; a stranger's word is not."""
        named = parse_trusted("10.0.0.0/8")
        for peer, lines, found in (
            ("10.0.0.1", {"x-forwarded-for": ["1.2.3.4"]}, "1.2.3.4"),
            ("10.0.0.1", {"x-forwarded-for": ["6.6.6.6, 1.2.3.4", "10.9.9.9"]}, "1.2.3.4"),
            ("10.0.0.1", {"x-forwarded-for": ["1.2.3.4:80"]}, "1.2.3.4"),
            ("10.0.0.1", {"x-forwarded-for": ["2001:DB8::1"]}, "2001:db8::1"),
            ("10.0.0.1", {"forwarded": ['for="[2001:db8::1]:80"']}, "2001:db8::1"),
            ("", {"x-forwarded-for": ["1.2.3.4"]}, "1.2.3.4"),
            ("10.0.0.1", {"x-forwarded-for": ["1.2.3.4, x"]}, "10.0.0.1"),
            ("10.0.0.1", {"x-forwarded-for": ["10.0.0.2"]}, "10.0.0.1"),
            ("10.0.0.1", {"forwarded": ["for=unknown"]}, "10.0.0.1"),
            ("10.0.0.1", {}, "10.0.0.1"),
            ("1.1.1.1", {"x-forwarded-for": ["1.2.3.4"]}, "1.1.1.1"),
        ):

            def each(name: str, lines: dict[str, list[str]] = lines) -> list[str]:
                return lines.get(name, [])

            self.assertEqual(client_of(each, peer, named), found, lines)
            self.assertEqual(client_of(each, peer, LOCAL_PROXIES), peer)

    def test_bad_networks(self) -> None:
        """An entry that is no address is an error for the operator."""
        for text in ("x", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.1:80", "a, 10.0.0.1"):
            with self.assertRaisesRegex(ValueError, "neither an address nor a network"):
                parse_trusted(text)


class BaseUrlTests(SynchronousTestCase):
    def test_good(self) -> None:
        """An address may have a port and a path, with a slash at its end or without."""
        for text, found, origin in (
            ("https://a.example", "https://a.example", ("https", "a.example", 443)),
            ("HTTPS://A.example/", "https://A.example", ("https", "a.example", 443)),
            ("http://a:81/b/c/", "http://a:81/b/c", ("http", "a", 81)),
            ("https://[::1]:8/t", "https://[::1]:8/t", ("https", "::1", 8)),
            ("https://a/~me/x.y", "https://a/~me/x.y", ("https", "a", 443)),
        ):
            base = parse_base_url(text)
            self.assertEqual((str(base), base.origin), (found, origin))

    def test_bad(self) -> None:
        """Anything else is an error for the operator, with an example."""
        for text in (
            *("a.example", "ftp://a/", "https://", "https:///a", "https://a//b", "/tahoe/"),
            *(
                "https://a/b?c",
                "https://a/#b",
                "https://me@a/",
                "https://a:b/",
                "https://*/",
            ),
            *("https://a/../b", "https://a/%2e", "https://a b/", "https://a/b c"),
        ):
            with self.assertRaisesRegex(ValueError, "looks like https://"):
                parse_base_url(text)
