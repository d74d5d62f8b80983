"""What would be lost if the gateway ended now."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.template import flattenString

from tests.grids import new_tasks
from truckee.frontends.web.not_stored import NotStored
from truckee.status.progress import Progress
from truckee.status.task import Hooks


class NotStoredTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tasks = new_tasks(self, self.clock)

    def begin(self, kind: str = "upload", **more: int) -> Progress:
        """Begin a task."""
        progress = Progress(**more)  # type: ignore[arg-type]
        self.tasks.begin(kind, progress, Hooks(lambda: None))
        return progress

    def now(self) -> NotStored:
        """Return what there is."""
        return NotStored.of(self.tasks.active())

    def sentence(self) -> str:
        """Return what people read."""
        found = self.successResultOf(flattenString(None, self.now().sentence()))
        return found.decode()

    def test_nothing(self) -> None:
        """Nothing is missing when nothing comes, and what is read is not missing."""
        self.begin("download", size=1000)
        self.assertEqual(self.now(), NotStored(0, 0, 0.0))
        self.assertIn("All that was brought here is stored", self.sentence())

    def test_some(self) -> None:
        """Bytes of a known size are missing until they are stored, others as they come."""
        one = self.begin(size=1_000_000)
        self.begin(received=500)
        self.clock.advance(10)
        one.stored = 400_000
        found = self.now()
        self.assertEqual((found.files, found.bytes, found.seconds), (2, 600_500, None))
        self.assertIn("2 files are not stored yet", self.sentence())

    def test_time(self) -> None:
        """The time is that of the one that takes longest."""
        one = self.begin(size=1000)
        for _ in range(10):
            self.clock.advance(1)
            one.stored += 50
            self.now()
        seconds = self.now().seconds
        assert seconds is not None
        self.assertAlmostEqual(seconds, 10, delta=2)
        self.assertIn("left", self.sentence())
