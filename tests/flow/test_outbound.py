"""A slow reader becomes a pause."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from truckee.flow.outbound import Outbound


@implementer(IConsumer)
@define(eq=False)
class Reader:
    """A transport that takes *room* bytes and is full then."""

    room: int = 10
    held: bytes = b""
    producer: Any = field(default=None)
    streaming: bool = False

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.held += data
        if len(self.held) >= self.room and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """Read all."""
        self.held = b""
        if self.producer is not None:
            self.producer.resumeProducing()


class OutboundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = Reader()
        self.outbound = Outbound(self.reader)
        self.outbound.__enter__()

    def write(self, data: bytes) -> Deferred[None]:
        return Deferred.fromCoroutine(self.outbound.write(data))

    def test_interface(self) -> None:
        """It is a push producer, and registers as one, for as long as the context lasts."""
        verifyObject(IPushProducer, self.outbound)
        self.assertIs(self.reader.producer, self.outbound)
        self.assertTrue(self.reader.streaming)
        self.outbound.__exit__(None, None, None)
        self.assertIsNone(self.reader.producer)

    def test_room(self) -> None:
        """While there is room, a write is done at once."""
        self.successResultOf(self.write(b"12345"))
        self.successResultOf(self.write(b"1234"))
        self.assertEqual(self.reader.held, b"123451234")

    def test_full(self) -> None:
        """The write that fills the reader waits until it was emptied."""
        writing = self.write(b"1234567890")
        self.assertNoResult(writing)
        self.assertEqual(self.reader.held, b"1234567890")
        self.reader.drain()
        self.successResultOf(writing)
        self.successResultOf(self.write(b"1"))

    def test_paused_again(self) -> None:
        """A reader that is full again before the writer woke keeps it waiting."""
        writing = self.write(b"1234567890")
        self.outbound.pauseProducing()
        self.assertNoResult(writing)
        self.reader.drain()
        self.successResultOf(writing)
        self.reader.drain()
        self.outbound.pauseProducing()
        again = self.write(b"1")
        self.assertNoResult(again)
        self.outbound.resumeProducing()
        self.successResultOf(again)

    def test_cancel(self) -> None:
        """A writer that waits can be cancelled; what comes then hurts nobody."""
        writing = self.write(b"1234567890")
        self.outbound.stopProducing()
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.outbound.resumeProducing()
        self.outbound.__exit__(None, None, None)
        self.assertIsNone(self.reader.producer)
