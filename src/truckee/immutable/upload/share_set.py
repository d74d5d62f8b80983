"""All shares of one file on their way to servers, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.encoder import EncodedFile
from truckee.codec.hashes import Buffer
from truckee.codec.share import ShareLayout
from truckee.errors import Corrupt, Unavailable
from truckee.flow.timer import Timer
from truckee.flow.together import Group, Work, together
from truckee.grid.placement import happiness
from truckee.grid.selection import NotEnoughServers, Placement
from truckee.immutable.upload.continued_writer import ContinuedWriter
from truckee.immutable.upload.late_writer import LateWriter
from truckee.immutable.upload.share_stream import ShareStream
from truckee.immutable.upload.status import LostShare, UploadStatus
from truckee.immutable.upload.stragglers import laggards
from truckee.storage.interfaces import IShareWriter, IStorageServer, NoSpace

log = Logger()

# How often it is looked whether one server keeps the others waiting.
LOOK = 0.1  # seconds

Placed = dict[int, set[IStorageServer]]  # servers by share number


def with_streams(
    existing: Mapping[int, set[IStorageServer]], streams: Sequence[ShareStream]
) -> Placed:
    """Return the servers of all shares, those of *streams* and those in *existing*."""
    found = {share: set(servers) for share, servers in existing.items()}
    for stream in streams:
        found.setdefault(stream.share, set()).add(stream.server)
    return found


@define
class LeftBehind(Unavailable):
    """{server} took {seconds:.1f} seconds for a write while all others waited."""

    server: str
    seconds: float


@define
class NotGivenBack(Corrupt):
    """{server} did not keep a share: {reason}."""

    server: str
    reason: str


# Segments of a fast file whose blocks go to a server in one call: half of the window, so
# that others are coded meanwhile.
_TOGETHER = 2


@define(eq=False)
class OutgoingShares:
    """
    The new shares of one file, each a ``ShareStream``.

    A server that fails, or that all others wait for, loses its share.  As long as no
    segment has passed all servers, the share is begun again on another one; later it is
    given up.  The upload ends when happiness is lost.
    """

    _placement: Placement
    _happy: int
    _take: Callable[[int, IStorageServer], Work[IShareWriter]]  # room for one more share
    _group: Group
    _clock: IReactorTime
    _status: UploadStatus
    # Bytes and their offset that may be written to any of them at any time.
    _harmless: tuple[int, Buffer] | None
    _patient: bool = False  # slow servers are waited for, as long as they answer
    _streams: list[ShareStream] = field(factory=list, init=False)
    # Blocks by offset that not all servers have, until the first segment has passed.
    _first: dict[int, Sequence[Buffer]] = field(factory=dict, init=False, repr=False)
    _gathered: int = field(default=0, init=False)  # segments that wait for the next
    # Of shares that were begun again: they have to take what has not passed yet.
    _again: list[Deferred[None]] = field(factory=list, init=False, repr=False)
    _passed: bool = field(default=False, init=False)
    _look: Timer = field(factory=Timer, init=False)

    def __attrs_post_init__(self) -> None:
        for share, writer in self._placement.writers.items():
            self._begin(share, self._placement.servers[share], writer)

    @property
    def live(self) -> list[ShareStream]:
        """Those that were not given up."""
        return [stream for stream in self._streams if stream.error is None]

    @property
    def servers(self) -> dict[int, IStorageServer]:
        """Where the live ones go, by share number."""
        return {stream.share: stream.server for stream in self.live}

    async def store(
        self, offset: int, blocks: Sequence[Buffer], more: bool = False
    ) -> None:
        """
        Write the *blocks* of one segment, one to each share.

        If there are *more* in a moment, what they have for a share goes in one call.
        """
        if not self._passed:
            self._first[offset] = blocks
        queued = [each.queue(offset, blocks[each.share]) for each in self._streams]
        self._gathered += 1
        if not more or self._gathered >= _TOGETHER:
            self._gathered = 0
            for stream in list(self._streams):
                stream.go()
        for written in queued:
            if written is not None:
                await written
        while self._again:
            await self._again.pop()
        # From now on a share that is lost cannot be had again from here.
        self._passed = True
        self._first.clear()

    async def finish(self, file: EncodedFile, layout: ShareLayout) -> None:
        """Write what follows the blocks of *file*, and the headers last."""
        await together(_finish(stream, file, layout) for stream in self.live)
        self._group.check()

    async def close(self, size: int) -> None:
        """Show all live ones, of *size* bytes, to readers."""
        await together(stream.close(size) for stream in self._streams)
        self.stop_watching()

    def drop(self, stream: ShareStream, reason: str) -> None:
        """Count a closed share as lost, whatever its server said."""
        stream.error = NotGivenBack(stream.server.name, reason)
        self._name_lost(stream)

    async def remove_lost(self) -> None:
        """Remove what was given up; who was left behind may take its time."""
        lost = [stream for stream in self._streams if stream.error is not None]
        await together(self._remove(stream) for stream in lost)

    async def abort(self, keep: bool = False) -> None:
        """
        Remove all of them; nobody writes to them any more.

        With *keep* servers that keep shares in progress keep them.
        """
        self.stop_watching()
        await together(_end(stream.writer, keep) for stream in self._streams)

    def watch(self) -> None:
        """Keep idle shares alive; leave behind a server that all the others wait for."""
        self._look.start(self._clock.callLater, LOOK, self.watch)
        live = self.live
        for stream in live:
            stream.keep_alive()
        for stream in () if self._patient else laggards(live):
            if self._happiness_without(stream, self._spare(stream)) >= self._happy:
                stream.leave_behind(LeftBehind(stream.server.name, stream.waited or 0.0))

    def stop_watching(self) -> None:
        """May be called twice."""
        self._look.cancel()

    def _begin(
        self, share: int, server: IStorageServer, writer: IShareWriter
    ) -> ShareStream:
        now = self._clock.seconds
        lost = self._on_lost
        stream = ShareStream(share, server, writer, self._group, now, lost, self._harmless)
        self._streams.append(stream)
        return stream

    def _on_lost(self, lost: ShareStream) -> None:
        """Place a share elsewhere, or continue without it while happiness is enough."""
        self._name_lost(lost)
        spare = self._spare(lost)
        if spare is not None:
            self._replace(lost.share, spare)
        found = self._happiness_without(lost, None)
        if found < self._happy:
            if isinstance(lost.error, NoSpace):
                raise lost.error
            raise NotEnoughServers(found, self._happy) from lost.error

    def _name_lost(self, lost: ShareStream) -> None:
        log.warn(
            "Share {share} on {server} was given up: {error}",
            share=lost.share,
            server=lost.server.name,
            error=repr(lost.error),
        )
        self._status.lost.append(LostShare(lost.share, lost.server.name, str(lost.error)))

    def _spare(self, lost: ShareStream) -> IStorageServer | None:
        """Return who could take a lost share now; the one to whom the fewest others go."""
        if self._passed:
            return None
        failed = {each.server for each in self._streams if each.error is not None}
        failed.add(lost.server)
        load = Counter(stream.server for stream in self.live)
        spare = [server for server in self._placement.spare if server not in failed]
        return min(spare, key=lambda each: load[each], default=None)

    def _replace(self, share: int, server: IStorageServer) -> None:
        """Begin a share again on another server."""
        writer = LateWriter(partial(self._take, share, server))
        stream = self._begin(share, server, writer)
        for offset, blocks in self._first.items():
            # A copy: the segment's memory is counted only until the others have it.
            written = stream.queue(offset, bytes(blocks[share]))
            if written is not None:
                self._again.append(written)
        stream.go()

    def _happiness_without(self, lost: ShareStream, spare: IStorageServer | None) -> int:
        """Return the happiness if *lost* were given up, and *spare* took its share."""
        found = self._placement.existing.items()
        holders = {share: set(servers) for share, servers in found}
        for stream in self.live:
            if stream is not lost:
                holders.setdefault(stream.share, set()).add(stream.server)
        if spare is not None:
            holders.setdefault(lost.share, set()).add(spare)
        return happiness(holders)

    async def _remove(self, lost: ShareStream) -> None:
        if not isinstance(lost.error, LeftBehind):
            await lost.writer.abort()
            return
        removing = Deferred.fromCoroutine(lost.writer.abort())
        removing.addErrback(lambda failure: log.failure("A share was not removed", failure))


def whole_shares(
    file: EncodedFile, layout: ShareLayout, blocks: Sequence[Buffer]
) -> list[Buffer]:
    """Return all shares of a *file* of one segment, which has these *blocks*."""
    header = layout.pack_header()
    return [
        b"".join([header, block, *_behind(file, layout, share)])
        for share, block in enumerate(blocks)
    ]


def _behind(file: EncodedFile, layout: ShareLayout, share: int) -> list[Buffer]:
    """Return what stands behind the blocks of *share*."""
    return [bytes(layout.plaintext_tree_size), *file.trailer(share, layout)]


async def _end(writer: IShareWriter, keep: bool) -> None:
    if keep and isinstance(writer, ContinuedWriter):
        await writer.leave()
    else:
        await writer.abort()


async def _finish(stream: ShareStream, file: EncodedFile, layout: ShareLayout) -> None:
    end = layout.data + file.geometry.share_data_size
    # One piece, which is one call: over a network each costs a round trip.
    await stream.put(end, b"".join(_behind(file, layout, stream.share)))
    await stream.put(0, layout.pack_header())
