"""Where the web API listens, its address, and who may reach it."""

from __future__ import annotations

import re
import stat

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.grids import REACTOR, new_directory
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.web import WebPort, listen_web, warning_of


class WebPortTests(TestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    async def listen(self, strport: str) -> WebPort:
        site = Site(Resource())
        found = await listen_web(REACTOR, site, self.node, strport)  # type: ignore[arg-type]
        self.addCleanup(maybeDeferred, found.port.stopListening)
        return found

    async def test_places(self) -> None:
        """Each form that stock nodes take listens where it says, and is named so."""
        for strport, url, exposed in (
            ("0", r"http://127\.0\.0\.1:[0-9]+/", True),
            (" 0 ", r"http://127\.0\.0\.1:[0-9]+/", True),
            ("tcp:0", r"http://127\.0\.0\.1:[0-9]+/", True),
            ("tcp:0:interface=0.0.0.0", r"http://127\.0\.0\.1:[0-9]+/", True),
            (r"tcp:0:interface=\:\:", r"http://\[::1\]:[0-9]+/", True),
            ("0:interface=127.0.0.1", r"http://127\.0\.0\.1:[0-9]+/", False),
            ("tcp:0:interface=127.0.0.1", r"http://127\.0\.0\.1:[0-9]+/", False),
            ("tcp:port=0:interface=127.0.0.1", r"http://127\.0\.0\.1:[0-9]+/", False),
            ("tcp:0:interface=127.0.0.2", r"http://127\.0\.0\.2:[0-9]+/", False),
            (r"tcp:0:interface=\:\:1", r"http://\[::1\]:[0-9]+/", False),
            (r"0:interface=\:\:1", r"http://\[::1\]:[0-9]+/", False),
        ):
            found = await self.listen(strport)
            self.assertRegex(found.url, f"^{url}$", strport)
            self.assertNotIn(":0/", found.url)
            self.assertIs(found.exposed, exposed, strport)
            self.assertIs(bool(warning_of(found)), exposed, strport)

    async def test_warning(self) -> None:
        """The warning says which port, what follows, and how it is kept to oneself."""
        found = await self.listen("0")
        number = re.findall("[0-9]+", found.url)[-1]
        text = warning_of(found)
        for part in (
            f"port {number} of all addresses of this machine",
            "unencrypted",
            f"web.port = tcp:{number}:interface=127.0.0.1",
        ):
            self.assertIn(part, text)

    async def test_unix_socket(self) -> None:
        """A Unix socket has no address with a port; it is named by its path."""
        path = self.node.path / "web.sock"
        found = await self.listen(f"unix:{path}:mode=600")
        self.assertEqual((found.url, found.exposed), ("", False))
        self.assertIn(str(path), found.place)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    async def test_no_endpoint(self) -> None:
        """What is no endpoint is named with its key."""
        for strport in (
            "x",
            "tcp",
            "tcp:",
            "tcp:x",
            "3456x",
            "0:interfaces=127.0.0.1",
            "127.0.0.1:3456",
            "http://127.0.0.1:3456",
            "carrier-pigeon:5",
            "ssl:0:privateKey=/nowhere",
        ):
            with self.assertRaises(BadConfig, msg=strport) as caught:
                await self.listen(strport)
            self.assertEqual(caught.exception.where, "[node] web.port")
