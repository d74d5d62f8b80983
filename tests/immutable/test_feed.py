"""Bytes from one giver after another to one consumer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.immutable.feed import Feed
from truckee.immutable.keys import BadKey


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed()

    def give(self, chunk: bytes) -> Deferred[None]:
        """Begin to give *chunk*."""
        return Deferred.fromCoroutine(self.feed.give(chunk))

    def ask(self) -> Deferred[bytes]:
        """Ask for the next chunk."""
        return Deferred.fromCoroutine(self.feed.__anext__())

    def test_one_by_one(self) -> None:
        """A giver waits until its chunk is asked for, and then for the next question."""
        given = self.give(b"one")
        self.assertNoResult(given)
        self.assertEqual(self.feed.taken, 0)
        self.assertEqual(self.successResultOf(self.ask()), b"one")
        self.assertEqual(self.feed.taken, 3)
        self.assertNoResult(given)
        asked = self.ask()
        self.successResultOf(given)
        given = self.give(b"two")
        self.assertEqual(self.successResultOf(asked), b"two")
        self.assertNoResult(given)

    def test_end(self) -> None:
        """The end is the end for one who waits already, and for one who asks later."""
        asked = self.ask()
        self.feed.end()
        self.failureResultOf(asked, StopAsyncIteration)
        self.failureResultOf(self.ask(), StopAsyncIteration)

    def test_cancelled_before(self) -> None:
        """A giver that is cancelled before its chunk was asked for has given nothing."""
        given = self.give(b"one")
        given.cancel()
        self.failureResultOf(given, CancelledError)
        given = self.give(b"two")
        self.assertEqual(self.successResultOf(self.ask()), b"two")
        self.assertEqual(self.feed.taken, 3)
        self.assertNoResult(given)

    def test_cancelled_behind(self) -> None:
        """One that is cancelled while its chunk is worked on has given all of it."""
        asked = self.ask()
        given = self.give(b"one")
        self.assertEqual(self.successResultOf(asked), b"one")
        given.cancel()
        self.failureResultOf(given, CancelledError)
        self.assertEqual(self.feed.taken, 3)
        given = self.give(b"two")
        self.assertEqual(self.successResultOf(self.ask()), b"two")
        self.ask()
        self.successResultOf(given)

    def test_consumer_gone(self) -> None:
        """What the consumer ended with is told to one who gives, and to those who come."""
        given = self.give(b"one")
        self.feed.gone(BadKey("no"))
        self.failureResultOf(given, BadKey)
        self.failureResultOf(self.give(b"two"), BadKey)

    def test_consumer_cancelled(self) -> None:
        """A consumer that is cancelled takes no chunk."""
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertNoResult(self.give(b"one"))
        self.assertEqual(self.feed.taken, 0)
