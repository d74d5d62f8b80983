# mypy: disable-error-code="no-untyped-call"
"""
What was read from the shares of a slot, as answers over foolscap.

Short answers wait in memory, as many as there is room for.  Of a long one each share is
read while it leaves, as it is then; only what shares had before a change has to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any
from weakref import finalize, ref

from attrs import define, field
from foolscap.api import ListOf
from foolscap.constraint import ByteStringConstraint
from foolscap.slicer import BaseSlicer
from foolscap.slicers.dict import DictConstraint
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import Unavailable
from truckee.flow.limits import Budget
from truckee.storage.foolscap_answers import SHORT, SMALL, ShareBytes
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    ILocalSlots,
    ISlotReader,
    SlotAnswerTooLong,
    SlotChange,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.share_reads import piece_of

log = Logger()

# Seconds to wait for room, and for a peer to take what was kept for it.
_WAIT = 60.0
_TRIES = 3
# Bytes that are written without a look at whether the peer takes them.
_UNCHECKED = 16 * 1024


@define
class SlotsBusy(Unavailable):
    """The server is busy with other answers. Try again later, or read less."""


@define(eq=False)
class SlotAnswers:
    """Makes answers to requests for *slots*."""

    _slots: ILocalSlots
    _reactor: Any  # an IReactorTime
    _ready: Budget
    # What shares had before a change, where that is long.
    _before: Budget = field(factory=lambda: Budget(MAX_SLOT_DATA), init=False)

    async def read(
        self, storage_index: bytes, shares: AbstractSet[int], reads: Sequence[SlotRead]
    ) -> object:
        """Return what answers a read: what was found, or what is read while it is sent."""
        with suppress(SlotAnswerTooLong):
            return _plain(await self._slots.read(storage_index, shares, reads, SMALL))
        sizes = await self._slots.measure(storage_index, shares, reads)
        total = sum(sizes.values())
        if not sizes:
            return {}
        if self._has_room(total):
            release = self._reserve(total)
            try:
                found = await self._slots.read(storage_index, sizes.keys(), reads, total)
                return SlotData(_plain(found), release)
            except SlotAnswerTooLong:
                # It has grown since.
                release()
            except BaseException:
                release()
                raise
        return UnreadSlotData(self._slots, storage_index, sizes, reads)

    async def write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> tuple[bool, object]:
        """Test and write; return what answers that."""
        request = (storage_index, secrets, changes, reads)
        with suppress(SlotAnswerTooLong):
            answer = await self._slots.test_and_write(*request, SMALL)
            return answer.success, _plain(answer.data)
        for _ in range(_TRIES):
            sizes = await self._slots.measure(storage_index, frozenset(), reads)
            total = sum(sizes.values())
            kept = not self._has_room(total)
            release = await self._take(total) if kept else self._reserve(total)
            try:
                answer = await self._slots.test_and_write(*request, total)
            except SlotAnswerTooLong:
                release()
                continue
            except BaseException:
                release()
                raise
            data = SlotData(_plain(answer.data), release)
            if kept:
                data.expire(self._reactor, _WAIT)
            return answer.success, data
        raise SlotAnswerTooLong

    def _has_room(self, size: int) -> bool:
        return size <= SHORT and self._ready.used + size <= self._ready.limit

    def _reserve(self, size: int) -> Callable[[], object]:
        self._ready.reserve(size)
        return _once(lambda: self._ready.release(size))

    async def _take(self, size: int) -> Callable[[], object]:
        late: list[bool] = []
        turn = Deferred.fromCoroutine(self._before.take(size))
        turn.addTimeout(_WAIT, self._reactor, lambda failure, _: late.append(True))
        await turn
        if late:
            raise SlotsBusy
        return _once(lambda: self._before.give(size))


class SlotData(BaseSlicer):  # type: ignore[misc]
    """The ranges that were read, by share; *release* is called once they have left."""

    opentype = ("dict",)
    _aborting: Callable[[], object] | None = None

    def __init__(self, data: dict[int, list[bytes]], release: Callable[[], object]) -> None:
        super().__init__(None)
        self._data = data
        self._expired = False
        # At the latest: the connection may be lost before.
        self._release = finalize(self, release)

    def describe(self) -> str:
        return "<shares of a slot>"

    def expire(self, reactor: IReactorTime, seconds: float) -> None:
        """Drop the connection if it has not taken this by then."""
        # The timer does not keep it in memory.
        this = ref(self)
        timer = reactor.callLater(seconds, lambda: _expired(this()))
        release = self._release.detach()
        assert release is not None

        def released() -> None:
            if timer.active():
                timer.cancel()
            release[1]()

        self._release = finalize(self, released)

    def expired(self) -> None:
        """The time is over: end the connection, which gives the data free."""
        self._expired = True
        self._data = {}
        if self._aborting is not None:
            self._aborting()
        self._release()

    def sliceBody(self, streamable: bool, banana: Any) -> Iterator[Any]:
        """Give numbers and lists."""
        self._aborting = banana.transport.abortConnection
        if self._expired:
            self._aborting()
            yield Deferred()
        sent = _Sent()
        try:
            for share in sorted(self._data):
                yield share
                yield _Ranges(sent, self._data.pop(share))
        finally:
            self._data = {}
            self._release()


class UnreadSlotData(SlotData):
    """The same, read share by share."""

    def __init__(
        self,
        slots: ILocalSlots,
        storage_index: bytes,
        sizes: Mapping[int, int],
        reads: Sequence[SlotRead],
    ) -> None:
        super().__init__({}, int)
        self._slots = slots
        self._storage_index = storage_index
        self._sizes = sizes
        self._reads = reads
        self._open: ISlotReader | None = None
        self._over = False

    def sliceBody(self, streamable: bool, banana: Any) -> Iterator[Any]:
        """Give numbers and lists; a share that is deleted meanwhile is left out."""
        sent = _Sent()
        try:
            for share in sorted(self._sizes):
                found: list[Any] = []
                reading = Deferred.fromCoroutine(self._read(share))
                reading.addBoth(found.append)
                if not found:
                    yield reading
                ranges = found.pop()
                if isinstance(ranges, Failure):
                    log.warn("A share of a slot could not be read")
                    banana.transport.abortConnection()
                    yield Deferred()
                if ranges is not None:
                    yield share
                    yield _Ranges(sent, ranges)
                self._close()
        finally:
            self._over = True
            self._close()

    async def _read(self, share: int) -> list[Any] | None:
        """Return what was asked for of one share, or what reads it; None if it is gone."""
        size = self._sizes[share]
        if size <= piece_of(ShareBytes.sending):
            with suppress(SlotAnswerTooLong):
                found = await self._slots.read(
                    self._storage_index, {share}, self._reads, size
                )
                return list(found[share]) if share in found else None
        reader = await self._slots.open(self._storage_index, share)
        if reader is None:
            return None
        self._open = reader
        if self._over:
            self._close()
            return None
        return [_range(reader, each) for each in self._reads]

    def _close(self) -> None:
        reader, self._open = self._open, None
        if reader is not None:
            work: Coroutine[Any, Any, None] = reader.close()
            Deferred.fromCoroutine(work).addErrback(
                lambda failure: log.failure("A share could not be closed", failure)
            )


class _Ranges(BaseSlicer):  # type: ignore[misc]
    """What was found in one share; unlike those of foolscap it is dropped once it left."""

    opentype = ("list",)

    def __init__(self, sent: _Sent, parts: list[Any]) -> None:
        super().__init__(None)
        self._sent = sent
        self._parts = parts

    def describe(self) -> str:
        return "<ranges of a share>"

    def sliceBody(self, streamable: bool, banana: Any) -> Iterator[Any]:
        """Give the strings."""
        parts, self._parts = self._parts, []
        parts.reverse()
        while parts:
            yield self._sent.part(parts.pop())


@define(eq=False)
class _Sent:
    """Counts what is sent without waiting for the peer."""

    _unchecked: int = 0

    def part(self, part: Any) -> Any:
        """Return *part* so that it may be sent."""
        if not isinstance(part, bytes):
            return part
        self._unchecked += len(part)
        if not part or self._unchecked <= _UNCHECKED:
            return part
        self._unchecked = 0
        return ShareBytes(None, 0, len(part), part)


class SlotDataConstraint(DictConstraint):  # type: ignore[misc]
    """Any ranges of any shares; what we send may be read on the way."""

    def __init__(self) -> None:
        super().__init__(int, ListOf(ByteStringConstraint()))

    def checkObject(self, found: object, inbound: bool) -> None:
        if inbound or not isinstance(found, SlotData):
            DictConstraint.checkObject(self, found, inbound)


def _range(reader: ISlotReader, read: SlotRead) -> object:
    size = max(0, min(read.length, reader.length - read.offset))
    return ShareBytes(reader, read.offset, size, b"") if size else b""


def _plain(found: Mapping[int, Sequence[bytes]]) -> dict[int, list[bytes]]:
    """Return it in the types that foolscap knows."""
    return {share: list(parts) for share, parts in found.items()}


def _once(do: Callable[[], object]) -> Callable[[], object]:
    """Return what does it at its first call only."""
    left = [do]

    def call() -> None:
        if left:
            left.pop()()

    return call


def _expired(data: SlotData | None) -> None:
    if data is not None:
        data.expired()
