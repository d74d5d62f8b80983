"""The status, which costs the gateway little however often it is asked for."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyChannel

from truckee.frontends.web.events import Events
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.status import StatusResource
from truckee.status.progress import Progress
from truckee.status.task import Hooks
from truckee.status.tasks import Tasks


class AgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tasks = Tasks(self.clock, self.clock.seconds, bytes)
        self.addCleanup(self.tasks.stop)
        events = Events(self.tasks, self.clock, self.clock.seconds)
        self.status = StatusResource(events, Frames())
        self.made = 0
        for name in ("_json", "_json_for_stock", "_page"):
            self.patch(self.status, name, self.make)

    def make(self, *_: object) -> bytes:
        """Take long to make a page."""
        self.made += 1
        self.clock.advance(0.2)
        return b"page %d" % self.made

    def ask(self, method: str = "GET", **args: str) -> bytes:
        """Return the page."""
        channel: Any = DummyChannel()
        request = Request(channel, False)
        request.path = b"/status"
        request.args = {name.encode(): [value.encode()] for name, value in args.items()}
        return bytes(getattr(self.status, f"render_{method}")(request))

    def test_under_way(self) -> None:
        """While something runs, events follow, and a page is shown for a while."""
        self.tasks.begin("upload", Progress(), Hooks(lambda: None))
        for _ in range(3):
            self.assertEqual(self.ask(t="json"), b"page 1")
        self.clock.advance(1.5)
        self.assertEqual(self.ask(t="json"), b"page 2")

    def test_over(self) -> None:
        """What is asked for after the last change is of after it."""
        task = self.tasks.begin("upload", Progress(), Hooks(lambda: None))
        ways: tuple[tuple[str, dict[str, str]], ...] = (
            ("GET", {"t": "json"}),
            ("POST", {"t": "json"}),
            ("GET", {}),
        )
        before = [self.ask(method, **args) for method, args in ways]
        task.end()
        after = [self.ask(method, **args) for method, args in ways]
        self.assertFalse({*before} & {*after})
        self.assertEqual([self.ask(method, **args) for method, args in ways], after)
