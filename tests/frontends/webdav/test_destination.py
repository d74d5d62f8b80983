"""Addresses in headers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.destination import own_names, segments_of
from truckee.frontends.webdav.errors import OtherServer

OWN = own_names("http://127.0.0.1:3456/", "https://Files.example/t/", "//localhost")


class DestinationTests(SynchronousTestCase):
    def test_ours(self) -> None:
        """Whole addresses and paths, with and without what a proxy takes off."""
        for address in (
            "http://127.0.0.1:3456/dav/C/a%2Fb",
            "/dav/C/a%2Fb",
            "https://files.example:443/t/dav/C/a%2Fb",
            "http://FILES.example/dav/C/a%2Fb?q",
            "http://user@localhost/dav/C/a%2Fb",
        ):
            self.assertEqual(segments_of(address, OWN, "/t"), [b"C", b"a/b"], address)

    def test_others(self) -> None:
        for address in (
            "http://other.example/dav/C/a",
            "http://127.0.0.1:1/dav/C/a",
            "/uri/C/a",
            "/x/dav/C/a",
            "dav/C/a",
            "http://[/dav/C/a",
            "",
        ):
            self.assertRaises(OtherServer, segments_of, address, OWN, "/t")
