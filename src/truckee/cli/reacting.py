"""The work of a command in the reactor, from its beginning to a signal or its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.logger import globalLogBeginner

from truckee.cli.problems import STOPPED, tell


def run(
    work: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
    endless: bool = False,
    last_words: Callable[[], str] = str,
) -> None:
    """
    Run *work* with the reactor, and raise its problem when it is over.

    A signal stops it, which is the usual end of what is *endless*; *last_words* are told
    then.  A second signal does not wait for what the first has begun.
    """
    problems: list[Exception] = []
    ended = endless
    stopping = False

    def stopped() -> None:
        nonlocal stopping
        if ended and not endless:
            return
        stopping = True
        end_at_next_signal()

    async def main(reactor: Any) -> None:
        nonlocal ended
        reactor.addSystemEventTrigger("before", "shutdown", stopped)
        try:
            # Until the reactor runs, a signal is an exception, wherever it comes.
            await deferLater(reactor, 0)
            await work(reactor)
        except Exception as problem:
            if stopping:  # it is but what the signal cut off
                return
            problems.append(problem)
        ended = True

    # What nobody waits for is no news to a user; by default it would be a traceback.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    try:
        react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    for problem in problems:
        raise problem
    if stopping:
        tell(last_words())
    if not ended:
        raise SystemExit(STOPPED)


def end_at_next_signal() -> None:
    """Let the next signal end the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(STOPPED))


def ignore_signals() -> None:
    """Let no further signal disturb a stop that has begun and ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
