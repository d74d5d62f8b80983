"""One share on its way to one server."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from truckee.codec.hashes import Buffer
from truckee.flow.together import Group, Work
from truckee.immutable.upload.continued_writer import ContinuedWriter
from truckee.storage.interfaces import IShareWriter, IStorageServer

# Stock servers forget a share to which nothing was written for half an hour.
KEEP_ALIVE = 600.0  # seconds

# The most that one call hands to a server, so that small calls need not wait long: a MiB
# and what rounding adds to three blocks of a segment.
BATCH = (1 << 20) + 4096  # bytes


@define(eq=False)
class _Piece:
    offset: int
    data: Buffer
    written: Deferred[None] = field(factory=Deferred)


@define(eq=False)
class ShareStream:
    """
    Pieces of a share, written one call at a time.

    What piles up during a call goes with the next one, joined where it is adjacent: a
    fast file makes large writes, and a slow one waits for nothing.
    """

    share: int
    server: IStorageServer
    writer: IShareWriter
    _group: Group
    _now: Callable[[], float]  # seconds
    _lost: Callable[[ShareStream], None]  # called at the first error; may raise
    # Bytes, and where they stand, that may be written at any time without harm.
    _harmless: tuple[int, Buffer] | None = None
    error: Exception | None = field(default=None, init=False)  # why it was given up
    slowest: float = field(default=0.0, init=False)  # seconds of a recent long call
    _since: float | None = field(default=None, init=False)  # when the call began
    _last: float = field(init=False)  # when the last one ended
    _call: Deferred[None] | None = field(default=None, init=False, repr=False)
    _queue: list[_Piece] = field(factory=list, init=False, repr=False)
    _busy: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._last = self._now()

    async def put(self, offset: int, data: Buffer) -> None:
        """
        Return when *data* is stored at *offset*, or when nobody will store it any more.

        That is when the share was given up, or its group ended: ask ``Group.check``.
        """
        written = self.queue(offset, data)
        self.go()
        if written is not None:
            await written

    def queue(self, offset: int, data: Buffer) -> Deferred[None] | None:
        """
        Have *data* written with what is written next, at the latest after ``go``.

        Return what ``put`` waits for; None: nothing.
        """
        self._group.check()
        if self.error is not None or not data:
            return None
        piece = _Piece(offset, data)
        self._queue.append(piece)
        return piece.written

    def go(self) -> None:
        """Write what is queued."""
        if self._queue and not self._busy:
            self._busy = True
            self._group.start(self._work())

    def keep_alive(self) -> None:
        """Write something again when nothing was written for long, as for a slow client."""
        idle = self.error is None and not self._busy and self._harmless is not None
        if idle and self._now() - self._last > KEEP_ALIVE:
            self._group.start(self.put(*self._harmless))  # type: ignore[misc]

    async def close(self, size: int) -> None:
        """Close the share if it was not given up; giving it up now is no error here."""
        if self.error is None:
            try:
                await self._ask(self.writer.close(size))
            except CancelledError:
                raise
            except Exception as error:
                self._give_up(error)

    @property
    def away(self) -> bool:
        """Whether the server is cut off, and may come back to what it keeps."""
        return isinstance(self.writer, ContinuedWriter) and self.writer.away

    @property
    def waited(self) -> float | None:
        """Seconds that the call under way has taken, None when there is none."""
        return None if self._since is None else self._now() - self._since

    @property
    def idle(self) -> float | None:
        """Seconds since the last call, None while one is under way or will be."""
        if self._since is not None or self._queue:
            return None
        return self._now() - self._last

    def leave_behind(self, error: Exception) -> None:
        """Give the share up because of *error*, in the middle of a call."""
        self._give_up(error)
        if self._call is not None:
            self._call.cancel()

    async def _ask(self, work: Work[None]) -> None:
        """Wait for one call to the server; when it is left behind, that is its error."""
        self._since = self._now()
        self._call = Deferred.fromCoroutine(work)
        try:
            await self._call
        except CancelledError:
            if self.error is not None:
                raise self.error from None
            raise
        finally:
            # Long calls are remembered for some time, since they come and go.
            self._last = self._now()
            self.slowest = max(self._last - self._since, self.slowest * 0.9)
            self._since = self._call = None

    async def _work(self) -> None:
        """Write until the queue is empty."""
        try:
            while self._queue and self.error is None:
                batch = self._next_batch()
                data = [each.data for each in batch]
                await self._ask(self.writer.write(batch[0].offset, data))
                self._harmless = (batch[0].offset, bytes(data[0][:1]))
                _release(batch)
        except CancelledError as error:
            self.error = error
            raise
        except Exception as error:
            self._give_up(error)
        finally:
            self._busy = False
            # Who waits for these need not be in the group, and would wait for ever.
            _release(batch)
            if self.error is not None:
                self._drop()

    def _give_up(self, error: Exception) -> None:
        """Tell of the loss while those who wait still hold what they wanted to write."""
        if self.error is None:
            self.error = error
            try:
                self._lost(self)
            finally:
                self._drop()

    def _drop(self) -> None:
        waiting, self._queue = self._queue, []
        _release(waiting)

    def _next_batch(self) -> list[_Piece]:
        """Take the piece of the lowest offset and those that follow without a gap."""
        self._queue.sort(key=lambda piece: piece.offset)
        size = count = 0
        end = self._queue[0].offset
        for piece in self._queue:
            if piece.offset != end or (count and size + len(piece.data) > BATCH):
                break
            size += len(piece.data)
            end += len(piece.data)
            count += 1
        batch, self._queue = self._queue[:count], self._queue[count:]
        return batch


def _release(pieces: list[_Piece]) -> None:
    for piece in pieces:
        if not piece.written.called:
            piece.written.callback(None)
