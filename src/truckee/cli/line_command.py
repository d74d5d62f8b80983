"""What ``truckee check`` and ``truckee repair`` do with lines on standard input."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from truckee.cli.counter import Counter
from truckee.cli.gateway import Gateway
from truckee.cli.grid import Grid
from truckee.cli.line_input import LineInput
from truckee.cli.line_options import Lines
from truckee.cli.line_output import LineOutput
from truckee.cli.line_work import BROKEN, FAILED, SICK, LineWork, objects_in, summary
from truckee.cli.object_checks import ObjectChecks
from truckee.cli.problems import FAILED as FAILED_CODE
from truckee.cli.problems import Problem
from truckee.cli.reacting import run
from truckee.cli.session import Session
from truckee.cli.shared_gateways import Member, SharedGateways
from truckee.cli.walk_state import WalkState

# Lines under way for each request in flight: those behind one that takes long.
_WINDOW = 4


def run_lines(
    session: Session, lines: Lines, command: str, args: Mapping[str, str], *, passes: bool
) -> None:
    """
    Check the objects that standard input names, and write a line for each.

    *args* are those of the web API; what *passes* is passed over when it was healthy.

    :raises Problem: what ended it.  :raises SystemExit: when something is not healthy.
    """
    if sys.stdin is None or sys.stdout is None:
        raise Problem("standard input or output is closed: there are no lines")
    urls = session.gateways(lines.gateways)
    name = "\n".join((command, *(f"{key}={each}" for key, each in args.items())))
    state = WalkState.open(lines.state, name, time.monotonic)
    counter = Counter(objects_in(state.counts), lines.quiet)

    def tell(text: str) -> None:
        counter.clear()
        session.tell(text)

    async def work(reactor: Any) -> None:
        members = [Member(Gateway(url, reactor, lines.jobs)) for url in urls]
        gateways = SharedGateways(members, lines.jobs, reactor, tell)
        line_work = LineWork(
            LineInput(sys.stdin.fileno(), reactor),
            LineOutput(sys.stdout.fileno(), reactor),
            ObjectChecks(Grid(gateways), args).look,
            passes,
            _WINDOW * lines.jobs * len(urls),
            state,
            counter,
            tell,
        )
        await _interruptible(_work(gateways, line_work), reactor)

    run(work)
    if not lines.quiet:
        session.tell(summary(state.counts))
    state.finish()  # as late as can be: after that a repetition starts anew
    if any(state.counts.get(kind) for kind in (SICK, FAILED, BROKEN)):
        raise SystemExit(FAILED_CODE)


async def _work(gateways: SharedGateways, lines: LineWork) -> None:
    try:
        await gateways.start()
        await lines.run()
    finally:
        await gateways.stop()


async def _interruptible(work: Any, reactor: Any) -> None:
    """Do *work*; a signal cancels it, and the process ends when that is done."""
    doing = Deferred.fromCoroutine(work)
    ended: Deferred[None] = Deferred()

    def end(result: Any) -> Any:
        ended.callback(None)
        return result

    def stop() -> Deferred[None]:
        doing.cancel()
        return ended

    doing.addBoth(end)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    await doing
