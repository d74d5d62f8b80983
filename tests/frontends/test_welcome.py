"""The first page."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.welcome import GridStatus, status_json, welcome_page
from truckee.grid.pool import ServerStatus

ONE = ServerStatus("v0-abc", "one", True, "tahoe-lafs/1.20.0", 5 * 10**9, 1.5)
HTTPS = ServerStatus("v0-ghi", "three", True, over_https=True)
OTHER = ServerStatus("v0-def", "<script>alert(1)</script>", False)


class WelcomeTests(SynchronousTestCase):
    def test_names_are_text(self) -> None:
        """What servers, introducers and browsers call themselves is never markup."""
        status = GridStatus([OTHER], ["<b>: Connected"])
        page = welcome_page(status, '"><img src=x>').decode()
        for markup in ("<script", "<b>", "<img"):
            self.assertNotIn(markup, page)
        self.assertIn("&lt;script&gt;", page)

    def test_counts(self) -> None:
        """People see how many servers can be reached."""
        page = welcome_page(GridStatus([ONE, OTHER]), "x").decode()
        self.assertIn("1 of 2 storage servers", page)
        self.assertIn("5.0 GB", page)

    def test_https(self) -> None:
        """A server that is reached over HTTPS is connected, and people see how."""
        page = welcome_page(GridStatus([HTTPS, ONE, OTHER]), "x").decode()
        self.assertIn("2 of 3 storage servers", page)
        self.assertIn("<td>connected over HTTPS<td>", page)
        document = json.loads(status_json(GridStatus([HTTPS, ONE, OTHER])))
        self.assertEqual(
            [each["connection_status"] for each in document["servers"]],
            ["connected", "Connected", "Not connected"],
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
            },
        )
        self.assertEqual((other["version"], other["last_received_data"]), (None, None))
