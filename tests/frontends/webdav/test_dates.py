"""Times in properties."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.dates import http_date, iso_date, parse_seconds, parse_time

TIME = 784111777


class DateTests(SynchronousTestCase):
    def test_written(self) -> None:
        """As RFC 9110 and RFC 3339 have it, whatever the number."""
        self.assertEqual(http_date(TIME + 0.9), "Sun, 06 Nov 1994 08:49:37 GMT")
        self.assertEqual(iso_date(TIME + 0.9), "1994-11-06T08:49:37Z")
        self.assertEqual(iso_date(-1e15), "0001-01-01T00:00:00Z")
        self.assertEqual(http_date(1e15), "Fri, 31 Dec 9999 23:59:59 GMT")

    def test_read(self) -> None:
        """What Windows, rclone and others write."""
        for text in (
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            " 1994-11-06T08:49:37Z ",
            "1994-11-06T09:49:37+01:00",
            "Sun, 06 Nov 1994 08:49:37 +0000",
        ):
            self.assertEqual(parse_time(text), TIME, text)
        self.assertEqual(parse_seconds("-1.5"), -1.5)

    def test_wrong(self) -> None:
        for text in (
            "",
            "now",
            "1e9",
            "nan",
            "0x1",
            "9" * 13,
            "1994-99-06T08:49:37Z",
            "\u0663",
        ):
            self.assertIsNone(parse_time(text), text)
            self.assertIsNone(parse_seconds(text), text)
