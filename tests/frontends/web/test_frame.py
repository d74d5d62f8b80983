"""What stands around every page, and how its parts are written."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.template import Flattenable, tags
from twisted.web.test.requesthelper import DummyChannel

from truckee.frontends.web.frame import Frame, Frames, Health
from truckee.frontends.web.page import render_page
from truckee.frontends.web.tables import bar, pairs, table
from truckee.frontends.web.words import counted, duration, exact, part


def page(frame: Frame, here: str = "-") -> str:
    """Return a page with nothing in it."""
    return render_page("A page", tags.h1("A page"), frame=frame, here=here).decode()


def shown(part: Flattenable) -> str:
    """Return the markup of a part of a page."""
    return render_page("", part).decode().partition("<main")[2]


class FrameTests(SynchronousTestCase):
    def test_roots(self) -> None:
        """Ways to other pages are relative to where the page is, however deep that is."""
        for path, root in (
            (b"/", ""),
            (b"/status", ""),
            (b"/status/", "../"),
            (b"/operations/abc", "../"),
            (b"/file/URI%2Fx/@@named=/a", "../../../"),
            (b"//", "../"),
            (b"*", ""),
            (b"/" * 5000, "../" * 100),
        ):
            channel: Any = DummyChannel()
            request = Request(channel, False)
            request.path = path
            self.assertEqual(Frames().of(request).root, root, path)

    def test_health(self) -> None:
        """How the grid is stands on each page, in words and not in a colour alone."""
        for health, state, text in (
            (Health(3, 3), "good", "3 of 3 servers"),
            (Health(2, 3), "fair", "2 of 3 servers"),
            (Health(0, 3), "bad", "0 of 3 servers"),
            (Health(1, 1), "good", "1 of 1 server"),
            (Health(0, 0), "bad", "No servers yet"),
            (Health(3, 3, own=True), "good", "3 of 3 directories"),
            (Health(1, 2, own=True), "fair", "1 of 2 directories"),
            (Health(0, 1, own=True), "bad", "0 of 1 directory"),
        ):
            told = page(Frame("../", health))
            self.assertIn(f'href=".././#grid" class="{state}">{text}</a>', told)
            self.assertNotIn("problem", told)
        told = page(Frame("", Health(3, 3, 2)))
        self.assertIn('href="status#problems" class="bad">2 problems</a>', told)
        self.assertNotIn('id="health"', page(Frame()))

    def test_navigation(self) -> None:
        """A page says where it stands; what the node does not do is not offered."""
        told = page(Frame("", Health(1, 1)), "status")
        self.assertEqual(re.findall('aria-current="page">([^<]+)<', told), ["Status"])
        self.assertNotIn("Helper", told)
        told = page(Frame("", Health(1, 1, stores=True, helps=True)), "helper_status")
        self.assertEqual(re.findall('aria-current="page">([^<]+)<', told), ["Helper"])
        self.assertIn('href="storage"', told)

    def test_landmarks(self) -> None:
        """There is one of each, and the first link leads past the head."""
        told = page(Frame("", Health(1, 1)))
        for mark in ("<html lang=", "<header>", "<nav ", "<main ", "<h1>"):
            self.assertEqual(told.count(mark), 1, mark)
        self.assertLess(told.index('href="#main"'), told.index("<nav"))


class PartsTests(SynchronousTestCase):
    def test_empty_columns(self) -> None:
        """A column in which nothing stands is left out; a cell says what it is."""
        told = shown(table(("A", "B", "C"), [("1", "", "3"), ("4", "", "")], "Things"))
        self.assertEqual(re.findall('scope="col">(.)<', told), ["A", "C"])
        self.assertEqual(re.findall('scope="row">(.)<', told), ["1", "4"])
        cells = re.findall('data-label="(.)">(.?)<', told)
        self.assertEqual(cells, [("C", "3"), ("C", "")])
        self.assertIn('aria-label="Things"', told)

    def test_exact(self) -> None:
        """Behind a rounded size is the exact one."""
        self.assertIn('<span title="1,234,567 bytes">1.2 MB</span>', shown(exact(1234567)))
        self.assertEqual(exact(999), "999 bytes")
        told = shown(part(1, 2500))
        self.assertIn('title="1 of 2,500 bytes">1 byte of 2.5 kB<', told)

    def test_bars(self) -> None:
        """A bar has a name, and nothing of nothing is no error."""
        told = shown(bar(0, 0, "0 bytes", "Upload 1, done"))
        self.assertIn('<progress max="1" value="0" aria-label="Upload 1, done">', told)
        self.assertIn('value="0.2500"', shown(bar(0.25, 1, "25 %", "x")))

    def test_words(self) -> None:
        """Numbers of things and times are written as people do."""
        for count, text in ((0, "0 files"), (1, "1 file"), (12345, "12,345 files")):
            self.assertEqual(counted(count, "file"), text)
        self.assertEqual(counted(2, "storage directory"), "2 storage directories")
        for seconds, text in (
            (-1.0, "0 s"),
            (59.4, "59 s"),
            (61, "1 min 1 s"),
            (7260, "2 h 1 min"),
            (200_000, "2 days 7 h"),
        ):
            self.assertEqual(duration(seconds), text)
        self.assertIn("<dt>A</dt><dd>1</dd>", shown(pairs([("A", "1")])))
