"""What is wrong with a node now."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.status.problems import MOST, Problem, Problems


class ProblemsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.time = 100.0
        self.heard: list[tuple[str, str, bool]] = []
        self.problems = Problems(lambda: self.time, [self.hear])

    def hear(self, problem: Problem, begins: bool) -> None:
        self.heard.append((problem.name, problem.text, begins))

    def test_report_and_resolve(self) -> None:
        """A problem is there from the first report until it is solved."""
        self.problems.report("disk", "It is full.")
        self.time = 200.0
        self.problems.report("disk", "It is full.")
        self.problems.report("disk", "It is read-only.")
        self.assertEqual(list(self.problems), [Problem("disk", "It is read-only.", 100.0)])
        self.assertIn("disk", self.problems)
        self.problems.resolve("disk")
        self.problems.resolve("disk")
        self.problems.resolve("another")
        self.assertEqual(list(self.problems), [])
        self.assertEqual(
            self.heard,
            [
                ("disk", "It is full.", True),
                ("disk", "It is read-only.", True),
                ("disk", "It is read-only.", False),
            ],
        )
        self.assertEqual(self.problems.changes, 3)

    def test_bounded(self) -> None:
        """There are so many at most; of more it is said that there are more."""
        for number in range(MOST + 50):
            self.problems.report(str(number), "It is damaged.")
        self.assertEqual(len(self.problems), MOST + 1)
        *named, more = self.problems
        self.assertEqual([each.name for each in named], [str(n) for n in range(MOST)])
        self.assertEqual(more.name, "more")
        self.assertEqual(len(self.heard), MOST + 50)
        for number in range(MOST):
            self.problems.resolve(str(number))
        self.assertEqual(len(self.problems), 0)
