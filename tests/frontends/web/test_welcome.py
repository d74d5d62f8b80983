"""The first page."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.template import tags

from truckee.frontends.web.frame import Health
from truckee.frontends.web.page import render_page
from truckee.frontends.web.upload_routes import HelperSeen
from truckee.frontends.web.welcome import (
    GridStatus,
    health_of,
    status_json,
    welcome_page,
)
from truckee.frontends.web.words import amount, moment
from truckee.grid.pool import ServerStatus
from truckee.immutable.download.cache import CacheStatus

ONE = ServerStatus("v0-abc", "one", True, "tahoe-lafs/1.20.0", 5 * 10**9, 1.5)
HTTPS = ServerStatus("v0-ghi", "three", True, over_https=True)
PUSHED = HelperSeen(True, True, "truckee/0.1.0", 1_700_000_000.5)
PULLING = HelperSeen(True, False, "tahoe-lafs/1.20.0", 1_700_000_000.5)
LOST = HelperSeen(False, True, "truckee/0.1.0", 1_700_000_000.5)
NEVER = HelperSeen(False)
OTHER = ServerStatus("v0-def", "<script>alert(1)</script>", False)


class WelcomeTests(SynchronousTestCase):
    def test_names_are_text(self) -> None:
        """What servers, introducers and browsers call themselves is never markup."""
        status = GridStatus([OTHER], ["<b>: Connected"])
        page = welcome_page(status, '"><img src=x>').decode()
        for markup in ("<script>", "<b>", "<img"):
            self.assertNotIn(markup, page)
        self.assertIn("&lt;script&gt;", page)

    def test_any_names(self) -> None:
        """What others call themselves keeps nobody from seeing the page."""
        for name in ("\ud800", "\0\x1b", "\uffff", "x" * 10**6, "ü\u202e"):
            server = ServerStatus("v0-def", name, True, version=name)
            helper = HelperSeen(True, True, name)
            page = welcome_page(GridStatus([server], [name], helper), name)
            self.assertLess(len(page), 10_000)
            page.decode("utf-8")
            status_json(GridStatus([server], [name], helper))

    def test_no_servers(self) -> None:
        """A gateway that knows no server yet says what to do, without an empty table."""
        page = welcome_page(GridStatus([]), "x").decode()
        self.assertIn("No storage server is known yet", page)
        self.assertIn("private/introducers.yaml", page)
        self.assertNotIn("<table", page)

    def test_counts(self) -> None:
        """People see how many servers can be reached."""
        page = welcome_page(GridStatus([ONE, OTHER]), "x").decode()
        self.assertIn("1 of 2 storage servers", page)
        self.assertIn("5.0 GB", page)

    def test_https(self) -> None:
        """A server that is reached over HTTPS is connected, and people see how."""
        page = welcome_page(GridStatus([HTTPS, ONE, OTHER]), "x").decode()
        self.assertIn("2 of 3 storage servers", page)
        self.assertIn(">connected over HTTPS<", page)
        document = json.loads(status_json(GridStatus([HTTPS, ONE, OTHER])))
        self.assertEqual(
            [each["connection_status"] for each in document["servers"]],
            ["connected", "Connected", "Not connected"],
        )

    def test_own_directories(self) -> None:
        """The directories of a grid of our own are there, full or missing."""
        servers = [
            ServerStatus("0", "storage directory 0", True, available_space=5, local=True),
            ServerStatus("1", "storage directory 1", True, available_space=0, local=True),
            ServerStatus("2", "storage directory 2", False, local=True),
        ]
        page = welcome_page(GridStatus(servers), "x").decode()
        self.assertIn("2 of 3 storage directories are there.", page)
        states = re.findall('data-label="State"><span class="[a-z]+">([^<]+)<', page)
        self.assertEqual(states, ["ready", "takes nothing more", "missing"])
        self.assertIn(">5 bytes<", page)
        self.assertNotIn("Version", page)

    def test_directories_that_take_nothing(self) -> None:
        """A directory that can only be read says why, and does not count as good."""
        servers = [
            ServerStatus("0", "0", True, available_space=5, local=True),
            ServerStatus("1", "1", True, None, 0, refusal="read-only", local=True),
            # Nothing is known of its space when it was not opened.
            ServerStatus("2", "2", False, refusal="no permission", local=True),
        ]
        status = GridStatus(servers)
        page = welcome_page(status, "x").decode()
        self.assertIn("2 of 3 storage directories are there. 1 of them takes no", page)
        states = re.findall('data-label="State"><span class="([a-z]+)">([^<]+)<', page)
        expected = [("good", "ready"), ("fair", "read-only"), ("bad", "no permission")]
        self.assertEqual(states, expected)
        self.assertEqual(health_of(status, False), Health(1, 3, own=True))
        told = json.loads(status_json(status))["servers"]
        self.assertEqual(
            [each["no_uploads"] for each in told], [None, "read-only", "no permission"]
        )

    def test_json(self) -> None:
        """Programs get what stock gateways give, null where nothing is known."""
        document = json.loads(status_json(GridStatus([ONE, OTHER], ["a: Connected"])))
        self.assertEqual(document["introducers"], {"statuses": ["a: Connected"]})
        one, other = document["servers"]
        self.assertEqual(
            one,
            {
                "nodeid": "v0-abc",
                "connection_status": "Connected",
                "available_space": 5 * 10**9,
                "nickname": "one",
                "version": "tahoe-lafs/1.20.0",
                "last_received_data": 1.5,
                "no_uploads": None,
            },
        )
        self.assertEqual((other["version"], other["last_received_data"]), (None, None))

    def test_cache(self) -> None:
        """Programs get what the cache of ciphertext holds and did."""
        status = CacheStatus(1000, 600, 2, hits=3, misses=4, dropped=5, damaged=6)
        document = json.loads(status_json(GridStatus([], cache=status)))
        self.assertEqual(
            document["truckee"]["cache"],
            {
                "limit": 1000,
                "size": 600,
                "entries": 2,
                "hits": 3,
                "misses": 4,
                "dropped": 5,
                "damaged": 6,
            },
        )


class HelperTests(SynchronousTestCase):
    """What a gateway tells of its helper, and of the way of the next upload."""

    def page(self, helper: HelperSeen | None, sized: bool = False) -> str:
        status = GridStatus([ONE], helper=helper, sized=sized)
        return " ".join(welcome_page(status, "x").decode().split())

    def told(self, helper: HelperSeen | None, sized: bool = False) -> Any:
        document = json.loads(status_json(GridStatus([ONE], helper=helper, sized=sized)))
        return document["truckee"]

    def test_none(self) -> None:
        """Without a helper nothing is said of one, and uploads go to the servers."""
        self.assertNotIn("helper", self.page(None))
        self.assertEqual(
            self.told(None),
            {
                "helper": None,
                "next_upload": {
                    "known_length": "servers",
                    "unknown_length": "servers",
                    "unknown_length_spooled": False,
                },
                "cache": None,
                "problems": [],
                "storage_directories": [],
            },
        )

    def test_connected(self) -> None:
        """People see since when a helper is connected, what runs there, what it does."""
        page = self.page(PUSHED)
        for text in (
            "<strong>Connected</strong>, since <time ",
            ">14 Nov 2023, 22:13 UTC</time>, to the helper",
            "truckee/0.1.0",
            "Ciphertext is pushed to it.",
            "The next upload goes to the helper",
            "helper=no",
        ):
            self.assertIn(text, page)

    def test_states(self) -> None:
        """Programs get a helper's state in the words that stock has for servers."""
        for helper, state, pushes in (
            (PUSHED, "Connected", True),
            (PULLING, "Connected", False),
            (LOST, "Not connected", False),
            (NEVER, "Not connected", False),
        ):
            self.assertEqual(
                self.told(helper)["helper"],
                {
                    "connection_status": state,
                    "pushes": pushes,
                    "version": helper.version,
                    "last_received_data": helper.last_received,
                },
            )

    def test_routes(self) -> None:
        """Each state of the helper and the servers has its way for the next upload."""
        for helper, sized, known, unknown, spooled in (
            (None, True, "servers", "servers", True),
            (PUSHED, False, "helper", "helper", False),
            (PUSHED, True, "helper", "helper", False),
            (PULLING, False, "helper", "servers", False),
            (PULLING, True, "helper", "helper", True),
            (LOST, False, "servers", "servers", False),
            (NEVER, True, "servers", "servers", True),
        ):
            self.assertEqual(
                self.told(helper, sized)["next_upload"],
                {
                    "known_length": known,
                    "unknown_length": unknown,
                    "unknown_length_spooled": spooled,
                },
                (helper, sized),
            )
            page = self.page(helper, sized)
            self.assertEqual("spool" in page, spooled, page)
            self.assertEqual("goes to the helper" in page, known == "helper", page)

    def test_stock_helper(self) -> None:
        """Of a stock helper people are told that it must know the length beforehand."""
        page = self.page(PULLING)
        self.assertIn("It pulls ciphertext", page)
        self.assertIn("unannounced length goes from here to the servers", page)

    def test_lost(self) -> None:
        """While the helper is away, uploads go on without it, and people see that."""
        for helper in (LOST, NEVER):
            page = self.page(helper)
            self.assertIn("Not connected", page)
            self.assertIn("Until it is back, uploads go from here", page)
        self.assertIn("The last connection began <time ", self.page(LOST))

    def test_being_one(self) -> None:
        """The first page of a helper leads to what it does."""
        for count, text in ((0, "0 uploads"), (1, "1 upload "), (2, "2 uploads")):
            page = welcome_page(GridStatus([], helping=count), "x").decode()
            self.assertIn(f'href="helper_status">{text}', page)


class WordsTests(SynchronousTestCase):
    def test_amounts(self) -> None:
        """Sizes have at most four digits and a unit."""
        for size, text in (
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (64 << 30, "68.7 GB"),
            (1 << 50, "1.1 PB"),
            (10**18, "1.0 EB"),
        ):
            self.assertEqual(amount(size), text)

    def test_moments(self) -> None:
        """Times are those of no place, with the exact one for programs and on asking."""
        [text], told = moment(1_700_000_000.5).children, moment(1_700_000_000.5).attributes
        self.assertEqual(text, "14 Nov 2023, 22:13 UTC")
        self.assertEqual(told["datetime"], "2023-11-14T22:13:20Z")
        self.assertEqual(told["title"], "2023-11-14 22:13:20 UTC")

    def test_escaping(self) -> None:
        """Text never becomes markup, in the title, in the body and in attributes."""
        text = "</title></style><script>\"'&amp;"
        page = render_page(text, text, tags.p(text, title=text)).decode()
        self.assertNotIn("<script>", page)
        self.assertEqual(page.count("&lt;script&gt;"), 4)
        self.assertNotIn('"\'&amp;"', page)
