"""A reactor that is busy for as long as a test likes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer


@implementer(IReactorFromThreads)
class BusyReactor:
    """Keeps what it is to call until somebody else does."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """Keep a call."""
        self.calls.append(partial(callable, *args, **kwargs))
