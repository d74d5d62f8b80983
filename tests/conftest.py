"""What holds for all tests."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import hypothesis
import pytest

from tests import memory_disk

# A suite that runs in the background ignores SIGINT, and so would the nodes that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example may take says nothing on a machine that does other work besides.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# What takes longest comes first, so that no worker is left with it at the end.
FIRST = (
    "integration/test_stock_grid.py",
    "integration/test_checking.py",
    "integration/test_https_grid.py",
    "integration/",
    "hostile/",
    "cli/",
    "helper/",
)
_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Choose where directories of tests are made; workers hear of it."""
    directory = memory_disk.choose()
    if directory is not None:
        config.add_cleanup(directory.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring long files to the front; each stays whole."""
    items.sort(key=lambda item: _rank(item.path.relative_to(_HERE).as_posix()))


def _rank(path: str) -> int:
    ranks = (number for number, start in enumerate(FIRST) if path.startswith(start))
    return next(ranks, len(FIRST))


def pytest_runtest_teardown() -> None:
    """Name the test that stops this process's reactor, without which no other can run."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if getattr(reactor, "_startedBefore", False):
        reactor._startedBefore = False  # type: ignore[union-attr]
        raise AssertionError("a test must not stop the reactor of all tests")
