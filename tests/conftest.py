"""What holds for all tests."""

from __future__ import annotations

import signal
import sys

# A suite that runs in the background ignores SIGINT, and so would the nodes that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_teardown() -> None:
    """Name the test that stops this process's reactor, without which no other can run."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if getattr(reactor, "_startedBefore", False):
        reactor._startedBefore = False  # type: ignore[union-attr]
        raise AssertionError("a test must not stop the reactor of all tests")
