"""
Work that threads hand over to the event loop.

Waking the reactor takes a system call and a turn of the event loop: a thread that ends many
small jobs need not pay them for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

log = Logger()


@define(eq=False)
class Handover:
    """A queue of calls, for which the reactor is woken once until it looks at them."""

    _reactor: IReactorFromThreads
    _given: deque[Callable[[], object]] = field(factory=deque, init=False, repr=False)
    _woken: bool = field(default=False, init=False)  # the reactor will look at them

    def give(self, work: Callable[[], object]) -> None:
        """
        Have the event loop do *work*, after all that was given before; from any thread.

        Its errors are logged.
        """
        self._given.append(work)
        # In this order: who does not wake the reactor was before it looked.
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self._take)

    def _take(self) -> None:
        self._woken = False
        # No more than is there now: what comes meanwhile wakes the reactor again.
        for _ in range(len(self._given)):
            try:
                # Nothing here keeps what is done, nor what it holds.
                self._given.popleft()()
            except BaseException:
                log.failure("Work of a thread has failed in the event loop")
