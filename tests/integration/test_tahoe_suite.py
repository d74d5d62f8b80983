"""Tahoe-LAFS's own tests of its command line and its web API, with our gateway."""

from __future__ import annotations

from importlib.util import find_spec
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock import TAHOE
from tests.integration.tahoe_suite import Outcome, outcomes, wrong
from tests.integration.tahoe_suite.skips import SKIPS

# What its tests import, and nothing else here does.
NEEDED = ("testtools", "fixtures", "bs4", "html5lib")


class TahoeSuiteTests(SynchronousTestCase):
    def test_all(self) -> None:
        """All pass but those of a list, and none of these does."""
        if not TAHOE.exists() or not all(map(find_spec, NEEDED)):
            raise SkipTest("tahoe-lafs or what its tests need is not installed")
        found = outcomes()
        self.assertEqual(list(wrong(found)), [], "\n".join(wrong(found)))
        self.assertEqual(SKIPS.keys() - found.keys(), set(), "there are no such tests")
        good = [test for test, outcome in found.items() if outcome.good]
        asked = [test for test in good if found[test].asked]
        self.assertGreaterEqual((len(good), len(asked)), (140, 79))


class WrongTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """A failure that nobody expected is wrong, and a success that nobody expected."""
        listed = next(iter(SKIPS))
        good, bad = Outcome(True, True, ""), Outcome(False, True, "why")
        self.assertEqual(list(wrong({"a": good, listed: bad})), [])
        self.assertEqual(list(wrong({"a": bad})), ["a fails: why"])
        self.assertIn("passes", next(iter(wrong({listed: good}))))
