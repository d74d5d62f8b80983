"""Writes to one file, in the order in which they were asked for, many at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.codec.hashes import Buffer
from truckee.flow.together import Group

# Bytes that are written to the disk at once.
_BATCH = 1 << 20

# An offset and data; or a new size, and None.
Asked = tuple[int, Buffer | None]
_Entry = tuple[int, Buffer | None, Deferred[None]]


@define(eq=False)
class WriteQueue:
    """What comes while a write is under way is written together after it."""

    # Given adjacent writes, or one new size; waits as long as nothing may be written.
    _write: Callable[[Sequence[Asked]], Awaitable[None]]
    _progress: Callable[[], None]  # called whenever some of it was written, or failed
    is_busy: bool = field(default=False, init=False)
    asked: int = field(default=0, init=False)  # how often something was asked for
    done: int = field(default=0, init=False)  # how much of that is written, or failed
    _queue: deque[_Entry] = field(factory=deque, init=False, repr=False)
    _work: Group = field(factory=Group, init=False, repr=False)

    def ask(self, offset: int, data: Buffer | None) -> Deferred[None]:
        """Write *data* at *offset*, or make that the size; fires when it is so."""
        done: Deferred[None] = Deferred()
        self.asked += 1
        self._queue.append((offset, data, done))
        if not self.is_busy:
            self.is_busy = True
            self._work.start(self._run())
        return done

    async def _run(self) -> None:
        while True:
            batch = self._next()
            error: Exception | None = None
            try:
                await self._write([(offset, data) for offset, data, _ in batch])
            except Exception as caught:
                error = caught
            self.done += len(batch)
            for _, _, done in batch:
                if done.called:  # by a cancellation
                    continue
                if error is None:
                    done.callback(None)
                else:
                    done.errback(error)
            if not self._queue:
                break
            self._progress()
        self.is_busy = False
        self._progress()

    def _next(self) -> list[_Entry]:
        """Take the next writes, or one new size."""
        batch, amount = [self._queue.popleft()], 0
        while batch[0][1] is not None and self._queue and amount < _BATCH:
            data = self._queue[0][1]
            if data is None:
                break
            batch.append(self._queue.popleft())
            amount += len(data)
        return batch
