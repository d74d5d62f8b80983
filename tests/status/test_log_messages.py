"""Events of the log and tasks as messages for programs."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from truckee.status.log_messages import TaskMessages, dropped_message, log_message
from truckee.status.progress import Progress
from truckee.status.task import Hooks
from truckee.status.tasks import Tasks

UUID_ = UUID(int=5)
CAP = "URI:CHK:" + "a" * 26 + ":" + "b" * 52 + ":2:3:1000"
FURL = "pb://" + "a" * 32 + "@tcp:127.0.0.1:1/" + "b" * 32


def event(**more: Any) -> dict[str, Any]:
    """Return an event of the log."""
    usual = {
        "log_level": LogLevel.warn,
        "log_namespace": "truckee.x",
        "log_format": "{what} failed",
        "log_time": 12.5,
        "what": "it",
    }
    return {**usual, **more}


def told(message: bytes | None) -> dict[str, Any]:
    """Return what is in a message."""
    assert message is not None
    return dict(json.loads(message))


class LogTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """It has the fields of all messages, and those of the log."""
        self.assertEqual(
            told(log_message(event(), UUID_)),
            {
                "timestamp": 12.5,
                "task_uuid": str(UUID_),
                "task_level": [1],
                "message_type": "truckee:log",
                "level": "warn",
                "source": "truckee.x",
                "message": "it failed",
            },
        )

    def test_developers(self) -> None:
        """What is for developers is not told."""
        self.assertIsNone(log_message(event(log_level=LogLevel.debug), UUID_))

    def test_secrets(self) -> None:
        """Caps and furls are in no message, whole or quoted, in an error either."""
        failure = Failure(ValueError(f"no {CAP} at {FURL}"))
        for what in (CAP, f"<{CAP}>", FURL, CAP.replace(":", "%3A"), "x" * 3990 + CAP):
            message = log_message(event(what=what, log_failure=failure), UUID_)
            assert message is not None
            for secret in (b"aaaaaa", b"bbbbbb"):
                self.assertNotIn(secret, message)
            self.assertEqual(told(message)["error"], "ValueError")

    def test_odd(self) -> None:
        """An event that cannot be formatted, and a long one, are messages too."""
        odd = log_message(event(log_format="{nothing.of.that}"), UUID_)
        self.assertIn("message", told(odd))
        long = log_message(event(what="\x00\udcff" * 5000), UUID_)
        self.assertEqual(len(told(long)["message"]), 4000)

    def test_dropped(self) -> None:
        """Who missed some hears how many."""
        self.assertEqual(told(dropped_message(1.0, UUID_, 7))["count"], 7)


class TaskTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        self.tasks = Tasks(clock, lambda: 100.0 + clock.seconds(), bytes)
        self.addCleanup(self.tasks.stop)
        self.messages = TaskMessages(bytes)

    def test_both(self) -> None:
        """A task that begins and ends is an action, without its id and its cap."""
        task = self.tasks.begin(
            "upload", Progress(size=5), Hooks(lambda: None), "0123456789abcdef"
        )
        began = self.messages.began(task)
        task.end(cap=CAP)
        ended = self.messages.ended(task)
        self.assertEqual(
            told(began),
            {
                "timestamp": 100.0,
                "task_uuid": told(ended)["task_uuid"],
                "task_level": [1],
                "action_type": "truckee:upload",
                "action_status": "started",
                "number": 1,
                "size": 5,
            },
        )
        self.assertEqual(told(ended)["action_status"], "succeeded")
        self.assertEqual(told(ended)["task_level"], [2])
        for each in (began, ended or b""):
            self.assertNotIn(b"0123456789", each)
            self.assertNotIn(b"URI", each)

    def test_failed(self) -> None:
        """One that failed says why."""
        task = self.tasks.begin("check", Progress(), Hooks(lambda: None))
        self.messages.began(task)
        task.end(error=f"no shares of {CAP}")
        found = told(self.messages.ended(task))
        self.assertEqual(
            (found["action_status"], found["reason"]), ("failed", "no shares of (a cap)")
        )

    def test_unheard(self) -> None:
        """One whose beginning nobody heard has no end either."""
        task = self.tasks.begin("check", Progress(), Hooks(lambda: None))
        task.end()
        self.assertIsNone(self.messages.ended(task))
