"""What a transfer shows of itself, on a terminal, in a log, and where nobody looks."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.progress import Bar

MB = 1_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(Terminal):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


class BarTests(SynchronousTestCase):
    def bar(self, stream: io.StringIO | None, quiet: bool = False) -> Bar:
        """Return a bar whose clock goes on by a second with each look."""
        times = iter(range(1, 1000))
        return Bar(stream, 10 * MB, lambda: float(next(times)), quiet)

    def outage(self, bar: Bar) -> None:
        """Let a transfer break and go on."""
        bar.show(MB)
        bar.show(2 * MB)
        for away in range(3):
            bar.note(f"away for {away} s", "away")
            bar.show(2 * MB)
        bar.resumed("it goes on")
        bar.show(3 * MB)
        bar.end()

    def test_terminal(self) -> None:
        """An outage takes the place of the bar, and is gone with it at the end."""
        terminal = Terminal()
        self.outage(self.bar(terminal))
        told = terminal.getvalue()
        lines = [part.replace("\x1b[?7l", "") for part in told.split("\r")]
        shown = [line.partition("\x1b")[0] for line in lines]
        self.assertEqual(shown[3:6], [f"away for {away} s" for away in range(3)])
        self.assertIn("3.0 MB/10.0 MB", shown[6])
        self.assertEqual((shown[7], told.count("\n")), ("", 0))

    def test_log(self) -> None:
        """A log gets a line when an outage begins, and one when it ends."""
        log = io.StringIO()
        self.outage(self.bar(log))
        self.assertEqual(log.getvalue(), "away for 0 s\nit goes on\n")

    def test_nobody(self) -> None:
        """Nothing is said to who wants quiet, and nothing fails where nobody can hear."""
        for terminal in (Terminal(), io.StringIO()):
            self.outage(self.bar(terminal, quiet=True))
            self.assertEqual(terminal.getvalue(), "")
        self.outage(self.bar(None))
        self.outage(self.bar(Gone()))
