"""Tests of truckee.mutable.in_flight."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.mutable.in_flight import InFlight


class InFlightTests(SynchronousTestCase):
    """Which requests are slow, and when the next one is."""

    def test_slow(self) -> None:
        requests: InFlight[str] = InFlight()
        requests.start("a", 10.0)
        requests.start("b", 10.5)
        self.assertEqual(requests.next_slow(10.75, 1.0), 0.25)
        requests.mark_slow(11.0, 1.0)
        self.assertEqual(requests.quick, ["b"])
        self.assertEqual(requests.next_slow(11.0, 1.0), 0.5)

    def test_one_that_is_slow_stays_slow(self) -> None:
        requests: InFlight[str] = InFlight()
        requests.start("a", 0.0)
        requests.mark_slow(1.0, 1.0)
        requests.mark_slow(2.0, 60.0)
        self.assertEqual(requests.quick, [])
        self.assertIsNone(requests.next_slow(2.0, 60.0))
        self.assertEqual(len(requests), 1)

    def test_end(self) -> None:
        requests: InFlight[str] = InFlight()
        requests.start("a", 1.0)
        requests.mark_slow(9.0, 1.0)
        self.assertEqual(requests.end("a", 9.5), 8.5)
        self.assertNotIn("a", requests)
        self.assertEqual(requests.slow, set())
