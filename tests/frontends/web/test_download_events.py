"""What was read in a download, as programs for stock gateways are told."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.download_events import download_events
from truckee.status.progress import Progress, Reading, ReadProgress
from truckee.status.task import Hooks, Task
from truckee.status.tasks import Tasks


class EventsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.tasks = Tasks(self.clock, self.clock.seconds, bytes)
        self.addCleanup(self.tasks.stop)

    def begin(self, progress: Progress) -> Task:
        """Return a download that began two seconds ago."""
        task = self.tasks.begin("download", progress, Hooks(lambda: None))
        self.clock.advance(2.0)
        return task

    def rows(self, task: Task, *names: str) -> list[tuple[Any, ...]]:
        """Return some fields of its reads."""
        read: Any = download_events(task)["read"]
        return [tuple(each[name] for name in names) for each in read]

    def test_under_way(self) -> None:
        """What runs has no end yet; until now is what is shown."""
        progress = ReadProgress(size=50, reads=(Reading(10, 50),))
        task = self.begin(progress)
        progress.sent = 20
        self.assertEqual(
            self.rows(task, "start", "length", "start_time", "finish_time", "row"),
            [(10, 50, 100.0, None, 0)],
        )
        self.assertEqual(self.rows(task, "bytes_returned"), [(20,)])
        bounds = download_events(task)["bounds"]
        self.assertEqual(bounds, {"min": 100.0, "max": 102.0})

    def test_over(self) -> None:
        """What is over ended then, whole or not, and bounds stay."""
        for error, sent in ((None, 50), ("the client went away", 7)):
            progress = ReadProgress(size=50, reads=(Reading(0, 50),))
            task = self.begin(progress)
            began, progress.sent = self.clock.seconds() - 2.0, sent
            task.end(error=error)
            self.clock.advance(5.0)
            self.assertEqual(
                self.rows(task, "start_time", "finish_time", "bytes_returned"),
                [(began, began + 2.0, sent)],
            )
            bounds = download_events(task)["bounds"]
            self.assertEqual(bounds, {"min": began, "max": began + 2.0})

    def test_several_ranges(self) -> None:
        """Ranges are one below the other; what goes before each is none of its bytes."""
        reads = (Reading(0, 10, before=5), Reading(90, 10, before=5))
        for sent, returned in (
            (0, [0, 0]),
            (4, [0, 0]),
            (5, [0, 0]),
            (9, [4, 0]),
            (15, [10, 0]),
            (19, [10, 0]),
            (20, [10, 0]),
            (21, [10, 1]),
            (30, [10, 10]),
            (37, [10, 10]),  # and what goes behind the last one
        ):
            progress = ReadProgress(size=20, reads=reads)
            task = self.begin(progress)
            progress.sent = sent
            found = self.rows(task, "row", "bytes_returned")
            self.assertEqual(found, list(enumerate(returned)), sent)

    def test_nothing_known(self) -> None:
        """Where it is not known what is read, nothing is made up."""
        told = download_events(self.begin(Progress(size=50)))
        for name in ("misc", "read", "segment", "dyhb", "block", "block_rownums"):
            self.assertEqual(told[name], [], name)
        self.assertEqual((told["server_info"], told["serverids"]), ({}, {}))
        self.assertEqual(told["num_serverids"], 0)
