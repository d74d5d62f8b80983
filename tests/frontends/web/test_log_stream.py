"""Listeners to the log: what they are told, what they miss, and when they go."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.net.http.test_websocket import masked
from truckee.frontends.web.log_stream import MOST, QUEUE, LogStream
from truckee.net.http.websocket import Opcode
from truckee.status.progress import Progress
from truckee.status.task import Hooks
from truckee.status.tasks import Tasks

log = Logger(namespace="truckee.tests")


@define(eq=False)
class Connection:
    """A connection in memory; it may log when it is written to."""

    sent: list[bytes] = field(factory=list)
    closed: str = ""
    producer: Any = None
    logs: bool = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        if self.logs:
            log.warn("more")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def loseConnection(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def texts(self) -> list[dict[str, Any]]:
        """Return the messages that were sent."""
        found = []
        for frame in self.sent:
            if frame[0] == 0x80 | Opcode.TEXT:
                start = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
                found.append(json.loads(frame[start:]))
        return found


class LogStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock: Any = Clock()
        self.tasks = Tasks(clock, clock.seconds, bytes)
        self.addCleanup(self.tasks.stop)
        self.logs = LogStream(self.tasks, clock, clock.seconds, bytes)
        self.addCleanup(self.forget)
        self.observers = len(globalLogPublisher._observers)
        self.patch(
            __import__("truckee.frontends.web.log_stream", fromlist=["x"]),
            "isInIOThread",
            lambda: True,
        )

    def forget(self) -> None:
        for listener in list(self.logs._listeners):
            self.logs.remove(listener)

    def add(self) -> tuple[Connection, Any]:
        connection: Any = Connection()
        return connection, self.logs.add(connection)

    def test_told(self) -> None:
        """All listeners hear of events and tasks, as long as they listen."""
        (one, first), (other, _) = self.add(), self.add()
        log.warn("{what} happened", what="it")
        task = self.tasks.begin("upload", Progress(), Hooks(lambda: None))
        self.logs.remove(first)
        task.end()
        words = ["truckee:log", "truckee:upload", "truckee:upload"]
        for connection, count in ((one, 2), (other, 3)):
            found = [
                each.get("message_type") or each["action_type"]
                for each in connection.texts()
            ]
            self.assertEqual(found, words[:count])

    def test_nobody(self) -> None:
        """When nobody listens the log is not listened to either."""
        _, listener = self.add()
        self.assertEqual(len(globalLogPublisher._observers), self.observers + 1)
        self.logs.remove(listener)
        self.logs.remove(listener)
        self.assertEqual(len(globalLogPublisher._observers), self.observers)
        self.assertEqual(len(self.logs), 0)

    def test_slow(self) -> None:
        """What one does not read in time is counted, and not kept without bound."""
        connection, listener = self.add()
        listener.pauseProducing()
        for number in range(200):
            log.warn("{number} {text}", number=number, text="x" * 3000)
        self.assertEqual(connection.sent, [])
        self.assertLessEqual(listener._queued, QUEUE)
        listener.resumeProducing()
        found = connection.texts()
        self.assertEqual(found[-1]["message_type"], "truckee:dropped")
        self.assertEqual(len(found) - 1 + found[-1]["count"], 200)
        log.warn("again")
        self.assertEqual(connection.texts()[-1]["message"], "again")

    def test_many(self) -> None:
        """One more than there may be takes the place of one that reads nothing."""
        made = [self.add() for _ in range(MOST)]
        made[3][1].pauseProducing()
        self.add()
        self.assertEqual(made[3][0].closed, "aborted")
        self.add()
        self.assertEqual(made[0][0].closed, "aborted")
        self.assertEqual(len(self.logs), MOST)

    def test_heard(self) -> None:
        """A ping is answered, a goodbye too, and nonsense ends the connection."""
        connection, listener = self.add()
        listener.heard(masked(Opcode.TEXT, b"hello") + masked(Opcode.PING, b"x"))
        self.assertEqual(connection.sent, [b"\x8a\x01x"])
        listener.heard(masked(Opcode.CLOSE, b"\x03\xe8bye"))
        self.assertEqual(connection.sent[1:], [b"\x88\x02\x03\xe8"])
        self.assertEqual(connection.closed, "closed")
        log.warn("unheard")
        listener.heard(b"\x00\x00")
        listener.resumeProducing()
        self.assertEqual(len(connection.sent), 2)
        other, bad = self.add()
        bad.heard(b"\x81\x05hello")
        self.assertEqual((other.sent, other.closed), ([b"\x88\x02\x03\xea"], "closed"))

    def test_stop(self) -> None:
        """When the node stops it says so."""
        connection, _ = self.add()
        self.logs.stop()
        self.assertEqual(connection.sent, [b"\x88\x02\x03\xe9"])

    def test_in_itself(self) -> None:
        """What is logged while it is told is not told again."""
        connection, _ = self.add()
        connection.logs = True
        log.warn("once")
        self.assertEqual(len(connection.texts()), 1)
