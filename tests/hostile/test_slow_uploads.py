"""Uploads of a byte a second stop nobody else's."""

from __future__ import annotations

from contextlib import ExitStack

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.limits import Budget
from truckee.immutable.upload.admission import (
    SMALL,
    Admission,
    GaveWay,
    Place,
    TooManyUploads,
)

SIZE = 100 * 1024
MOST = 5


class Trickle:
    """Chunks that come when the test says so."""

    def __init__(self) -> None:
        self.waiting: Deferred[bytes] = Deferred()

    def __aiter__(self) -> Trickle:
        return self

    async def __anext__(self) -> bytes:
        self.waiting = Deferred()
        return await self.waiting


class Uploading:
    """One upload that waits for its client."""

    def __init__(self, place: Place, chunks: Trickle) -> None:
        self.place, self._chunks = place, chunks
        self.next: Deferred[bytes | None] = Deferred()
        self.ask()

    def ask(self) -> None:
        """Wait for the next chunk."""
        coming: Deferred[bytes] = Deferred.fromCoroutine(self.place.__anext__())
        self.next = coming.addErrback(self._given_up)

    def _given_up(self, failure: Failure) -> None:
        failure.trap(GaveWay, CancelledError)

    def bring(self, size: int) -> None:
        """Let a chunk come, and wait for another one."""
        self._chunks.waiting.callback(bytes(size))
        self.ask()


class SlowUploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = Budget(1 << 30)
        self.admission = Admission(self.budget, SIZE, MOST, self.clock.seconds)
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def begin(self, client: str = "one", full: bool = True) -> Uploading:
        """Let an upload in; nothing has come of it."""
        chunks = Trickle()
        place = self.stack.enter_context(self.admission.admit(chunks, client))
        if full:
            place.grow()
        return Uploading(place, chunks)

    def trickle(self, uploads: list[Uploading], seconds: int) -> None:
        """Let a byte come of each, every second."""
        for _ in range(seconds):
            self.clock.advance(1)
            for each in uploads:
                each.bring(1)

    def test_small_ones_always_fit(self) -> None:
        """However many uploads there are of which little has come."""
        slow = [self.begin() for _ in range(MOST)]
        self.assertTrue(self.admission.is_full)
        for _ in range(1000):
            self.begin(full=False)
        self.assertFalse(any(each.place.gave_way for each in slow))
        self.assertEqual(self.budget.used, MOST * SIZE + 1000 * SMALL)

    def test_the_slowest_gives_way(self) -> None:
        """A newcomer gets the place of who was waited for longest."""
        slow = [self.begin() for _ in range(MOST)]
        self.trickle(slow, 10)
        slow[3].place.debt.wait()
        for each in slow:
            if each is not slow[3]:
                each.bring(50_000)
        self.begin()
        self.assertEqual(
            [each.place.gave_way for each in slow], [n == 3 for n in range(MOST)]
        )
        self.assertTrue(slow[3].next.called)

    def test_who_keeps_up_stays(self) -> None:
        """Where nobody is slow the newcomer is refused, and loses nothing."""
        fast = [self.begin() for _ in range(MOST)]
        for _ in range(10):
            self.clock.advance(1)
            for each in fast:
                each.bring(20_000)
        with self.assertRaises(TooManyUploads):
            self.begin()
        self.assertFalse(any(each.place.gave_way for each in fast))

    def test_time_of_ours_does_not_count(self) -> None:
        """An upload that waits for servers is not slow."""
        waits = [self.begin() for _ in range(MOST)]
        for each in waits:
            each.place.debt.rest()
        self.clock.advance(1000)
        with self.assertRaises(TooManyUploads):
            self.begin()

    def test_other_clients(self) -> None:
        """Who has the most gives way; one with one upload keeps it, however slow it is."""
        lonely = self.begin("lonely")
        self.clock.advance(100)
        greedy = [self.begin("greedy") for _ in range(MOST - 1)]
        self.clock.advance(10)
        self.begin("third")
        self.assertFalse(lonely.place.gave_way)
        self.assertEqual(sum(each.place.gave_way for each in greedy), 1)

    def test_uploads_without_a_client(self) -> None:
        """What goes on from a log on our disk waits for nobody and never gives way."""
        runs = [self.begin("") for _ in range(MOST)]
        self.clock.advance(100)
        with self.assertRaises(TooManyUploads):
            self.begin()
        self.assertFalse(any(each.place.gave_way for each in runs))

    def test_all_is_given_back(self) -> None:
        """Nothing of the budget stays taken."""
        for _ in range(MOST):
            self.begin()
        self.stack.close()
        self.assertEqual((self.budget.used, self.admission.count), (0, 0))
