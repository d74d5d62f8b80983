"""The removal of one aborted upload: done once, however many wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.flow.changes import Changes
from truckee.flow.together import Work

log = Logger()


@define(eq=False)
class Removal:
    """Carries out *steps* in their order, then calls *done*; goes on if nobody waits."""

    _steps: Sequence[Callable[[], Work[None]]]
    _done: Callable[[], None]
    # Whether the upload had bytes and no run, so that a helper may have some of them.
    at_rest: bool = False
    _changes: Changes = field(factory=Changes, init=False, repr=False)
    _over: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Begin."""
        Deferred.fromCoroutine(self._run())

    async def end(self) -> None:
        """Return when it is done."""
        await self._changes.until(lambda: self._over)

    async def _run(self) -> None:
        for step in self._steps:
            try:
                await step()
            except OSError as error:
                # What the disk keeps expires after the next start.
                log.warn("An aborted upload is not removed: {why}", why=error.strerror)
            except Exception:
                log.failure("An upload was not cleared")
        # Not in a finally: of work that is collected while it waits nobody is to be woken.
        self._over = True
        self._done()
        self._changes.wake()
