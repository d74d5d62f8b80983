"""Tests of truckee.frontends.web.renewal_report."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.page import render_page
from truckee.frontends.web.renewal_report import (
    renewals_json,
    renewals_section,
    unhealthy_json,
)
from truckee.renewal.state import Counts, Pass, Unhealthy
from truckee.renewal.tree_renewal import RenewalStatus

LAST = Pass(1000.0, 2000.0, Counts(1234, 1200, 2, 1, 0, 3, 4), [Unhealthy(("a",), "bad")])
STATUS = RenewalStatus("photos", 43200.0, False, 3000.0, None, LAST, 0, "")


def page(*renewals: RenewalStatus) -> str:
    """Return what the page shows."""
    return render_page("Status", renewals_section(renewals)).decode()


class PageTests(SynchronousTestCase):
    def test_none(self) -> None:
        """Without trees there is no section."""
        self.assertEqual(renewals_section([]), "")

    def test_last(self) -> None:
        """The last pass with its counts, and no path."""
        shown = page(STATUS)
        for text in (
            "every 12 hours",
            "1,234 objects, 3 repaired, 4 not confirmed by all servers, ",
            "2 unhealthy",
            "truckee renew lists them",
            "1970-01-01 00:33:20 UTC",
            "1970-01-01 00:50:00 UTC",
        ):
            self.assertIn(text, shown)
        self.assertNotIn("bad</", shown)

    def test_states(self) -> None:
        """Running, interrupted, and failed."""
        now = Pass(2500.0, counts=Counts(1))
        running = evolve(STATUS, running=True, next_at=None, now=now)
        self.assertIn("running, 1 object so far", page(running))
        self.assertIn("interrupted; it is continued", page(evolve(STATUS, now=now)))
        self.assertIn("not yet", page(evolve(STATUS, last=None)))
        failed = evolve(STATUS, failures=1, error="No <server> answers.")
        self.assertIn("No &lt;server&gt; answers.", page(failed))

    def test_names(self) -> None:
        """A name of any characters is text."""
        self.assertIn("&lt;b&gt;", page(evolve(STATUS, alias="<b>")))


class JsonTests(SynchronousTestCase):
    def test_public(self) -> None:
        """What everybody may know has no path in it."""
        [tree] = renewals_json([STATUS])
        self.assertNotIn("bad", json.dumps(tree))
        self.assertEqual(
            (tree["alias"], tree["next"], tree["now"]), ("photos", 3000.0, None)
        )
        last = tree["last"]
        assert isinstance(last, dict)
        self.assertEqual((last["ended"], last["objects"], last["lost"]), (2000.0, 1234, 1))

    def test_private(self) -> None:
        """What the holder of the token gets has the paths, as lists of names."""
        [tree] = unhealthy_json([STATUS])
        self.assertEqual(tree["unhealthy"], [{"path": ("a",), "reason": "bad"}])
        self.assertEqual(tree["unhealthy_now"], [])
