"""
Finding out which versions of a mutable file there are, and where their shares are.

Source: ``docs/formats/mutable.md``, "Mapping".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import MutableCap, MutableVerifyCap, MutableWriteCap
from truckee.errors import Unavailable
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.flow.together import Group
from truckee.grid.permute import permuted
from truckee.mutable.advisories import Advisories
from truckee.mutable.answer_times import AnswerTimes
from truckee.mutable.in_flight import InFlight
from truckee.mutable.private_key import KeySearch
from truckee.mutable.share_reads import CHANGING, ServerShares, read_shares
from truckee.mutable.versions import DamagedShare, Place, Versions
from truckee.storage.interfaces import IStorageServer, ReadError

log = Logger()

# Servers that are asked at once, slow ones not counted: each may answer with a megabyte.
_AT_ONCE = 20
# With slow ones.
_MOST_IN_FLIGHT = 100
# Blocks that came with the first reads and are kept for a reader, each less than 4 kB.
_MOST_BLOCKS = 256


@define
class HasNoSlots(Unavailable):
    """{server} has no mutable files, or was not reached yet."""

    server: str


class Purpose(Enum):
    """What a map is for: how many servers are asked."""

    READ = "read"  # until a version can be read
    WRITE = "write"  # until no further server is likely to have a share
    CHECK = "check"  # all
    REPAIR = "repair"  # all, and the private key is read

    @property
    def needs_key(self) -> bool:
        """Whether the private key is looked for."""
        return self in (Purpose.WRITE, Purpose.REPAIR)


@define(eq=False)
class Mapper:
    """Finds the versions of mutable files on *servers*."""

    _servers: Callable[[], Iterable[IStorageServer]]
    _needed: int  # k of files of which no share was seen yet
    _total: int  # N of these
    _cpu: Workers
    _clock: IReactorTime
    advisories: Advisories = field(factory=Advisories)  # for readers too
    _times: AnswerTimes = field(factory=AnswerTimes, init=False)

    async def map(
        self,
        cap: MutableCap,
        purpose: Purpose,
        *,
        write_cap: MutableWriteCap | None = None,
        before: Versions | None = None,
    ) -> Versions:
        """
        Return the versions that were found; to WRITE and to REPAIR takes the *write_cap*.

        It does not raise for servers: they are among the failed ones.  Those that had
        shares *before* are asked first, and a private key from there is not read again.
        The private key is None after all servers were asked, and none had a good one.
        """
        if purpose.needs_key and write_cap is None:
            raise ValueError("only a write cap opens the private key")
        verify_cap = cap.verify_cap()
        order = permuted(self._servers(), verify_cap.storage_index)
        job = _Map(
            cap=verify_cap,
            purpose=purpose,
            write_cap=write_cap,
            default=(self._needed, self._total),
            cpu=self._cpu,
            clock=self._clock,
            times=self._times,
            advisories=self.advisories,
        )
        self._times.forget(self._clock.seconds())
        return await job.run(order, before or Versions())


@define(eq=False, kw_only=True)
class _Map:
    """One map in the making."""

    _cap: MutableVerifyCap
    _purpose: Purpose
    _write_cap: MutableWriteCap | None = field(repr=False)
    _default: tuple[int, int]  # k, N
    _cpu: Workers
    _clock: IReactorTime
    _times: AnswerTimes
    _advisories: Advisories
    _order: Sequence[IStorageServer] = field(default=(), init=False)  # permuted
    _unasked: list[IStorageServer] = field(factory=list, init=False)  # the next one first
    _found: Versions = field(factory=Versions, init=False)
    _asked: InFlight[IStorageServer] = field(factory=InFlight, init=False)
    _key: KeySearch | None = field(default=None, init=False)
    _group: Group = field(factory=Group, init=False)
    _changes: Changes = field(factory=Changes, init=False)

    async def run(self, order: Sequence[IStorageServer], before: Versions) -> Versions:
        """Return what is found; see ``Mapper.map``."""
        known = {place.server for place in before.shares}
        self._order = order
        self._unasked = sorted(order, key=lambda server: server not in known)
        if self._write_cap is not None and self._purpose.needs_key:
            self._key = KeySearch(
                self._write_cap,
                self._cpu,
                self._clock,
                self._advisories,
                self._group,
                self._changes,
                before.private_key,
            )
        first = known & set(order)
        try:
            while not self._is_done(first):
                if self._start_more(len(first)):
                    continue
                if not any(self._waiting):
                    break
                await self._wait()
            self._group.check()
            if self._key is not None:
                self._found.private_key = self._key.key
            given_up = [server for server in self._order if self._is_given_up(server)]
            for server in given_up:
                self._found.failed[server] = "it did not answer in time, nor does it now"
            self._found.asked_all = len(self._asked) == len(given_up) and not self._unasked
        finally:
            await self._group.stop()
        return self._found

    # When it is enough.

    def _is_done(self, first: set[IStorageServer]) -> bool:
        """Whether further answers would change nothing; those of *first* are waited for."""
        found = self._found
        if self._purpose in (Purpose.CHECK, Purpose.REPAIR):
            return self._only_silent_ones_are_left()
        if found.best is None:
            return False
        # Slow servers do not hold up a reader, when there are no others to ask.
        left = [*self._unasked, *self._asked.quick]
        if not left and self._purpose is Purpose.READ:
            return True
        if found.hidden:
            return False
        if self._purpose is Purpose.WRITE:
            key = self._key is not None and self._key.key is not None
            return key and all(map(self._has_answered, {*self._to_search(), *first}))
        return not first.intersection(left) and self._answers >= 2 * self._needed

    def _only_silent_ones_are_left(self) -> bool:
        """Whether all have answered but for few, which gave no answer for a while."""
        if self._unasked or (self._key is not None and self._key.key is None):
            return False
        given_up = sum(map(self._is_given_up, self._order))
        # Of many our own connection may be the fault.
        return 0 < given_up == len(self._asked) and 3 * given_up <= len(self._order)

    def _to_search(self) -> Sequence[IStorageServer]:
        """
        Return whose answers a writer needs, if nobody else turns out to have shares.

        They end with k servers behind the last that has some.
        """
        holders, failed = self._holders, self._found.failed
        last = max((n for n, each in enumerate(self._order) if each in holders), default=-1)
        row = 0
        for number, server in enumerate(self._order):
            row += number > last and server not in failed
            if row == self._needed:
                return self._order[: number + 1]
        return self._order

    @property
    def _needed(self) -> int:
        best = self._found.best
        return self._default[0] if best is None else best.geometry.needed

    @property
    def _total(self) -> int:
        best = self._found.best
        return self._default[1] if best is None else best.geometry.total

    @property
    def _holders(self) -> set[IStorageServer]:
        return {place.server for place in (*self._found.shares, *self._found.damaged)}

    @property
    def _answers(self) -> int:
        return len(self._holders) + len(self._found.empty)

    def _has_answered(self, server: IStorageServer) -> bool:
        """Whether *server* need not be waited for."""
        if server in self._asked:
            return self._is_given_up(server)
        return server not in self._unasked

    def _is_given_up(self, server: IStorageServer) -> bool:
        """Whether *server* is late once more."""
        late = server in self._asked.slow
        return late and self._times.is_silent(server, self._clock.seconds())

    # Asking.

    def _start_more(self, first: int) -> bool:
        """Ask whom it takes, the *first* ones in any case; return whether any was asked."""
        quick = len(self._asked.quick)
        count = min(
            self._more(first) - quick, _AT_ONCE - quick, _MOST_IN_FLIGHT - len(self._asked)
        )
        servers, self._unasked = _cut(self._unasked, count)
        for server in servers:
            self._asked.start(server, self._clock.seconds())
        for server in servers:
            self._group.start(self._ask(server))
        return (self._key is not None and self._key.start_next()) or bool(servers)

    def _more(self, first: int) -> int:
        """Return how many servers shall be in flight, slow ones not counted."""
        if self._purpose in (Purpose.CHECK, Purpose.REPAIR):
            return _AT_ONCE
        start = max(2 * self._needed, first)
        if self._purpose is Purpose.WRITE:
            start = self._total + self._needed
        left = start - self._answers
        if left > 0:
            return left
        found, key = self._found, self._key
        has_key = key is not None and (key.key is not None or bool(key.reads.quick))
        if has_key and found.best is not None and not found.hidden:
            unasked = [each for each in self._to_search() if each in self._unasked]
            return len(self._asked.quick) + len(unasked)
        # All others, some at a time.
        return 2 * self._needed

    async def _ask(self, server: IStorageServer) -> None:
        answer: ServerShares | Exception | None = None
        try:
            answer = await self._read(server)
        finally:
            now = self._clock.seconds()
            seconds = self._asked.end(server, now)
            if isinstance(answer, ServerShares):
                self._times.answered(server, seconds)
                self._take(server, answer)
            elif answer is not None:
                self._times.failed(server, answer, now)
                self._found.failed[server] = str(answer) or type(answer).__name__
            self._changes.wake()

    async def _read(self, server: IStorageServer) -> ServerShares | Exception:
        """Return the shares of *server*, or why they could not be read."""
        slots = server.slots
        if slots is None:
            return HasNoSlots(server.name)
        try:
            return await read_shares(
                slots, self._cap.storage_index, self._cap.fingerprint, self._cpu
            )
        except CancelledError:
            raise
        except Exception as error:
            if not isinstance(error, ReadError):
                log.failure("{server} cannot be asked for shares", server=server.name)
            return error

    def _take(self, server: IStorageServer, answer: ServerShares) -> None:
        found = self._found
        if not answer.verified and not answer.damaged:
            found.empty.append(server)
        for number, share in answer.verified.items():
            place = Place(server, number)
            found.shares[place] = share
            block = answer.blocks.get(number)
            if block is not None and len(found.blocks) < _MOST_BLOCKS:
                found.blocks[place] = block
            if self._key is not None:
                part = share.header.layout.private_key
                self._key.add(place, part, answer.private_keys.get(number))
        for number, (head, reason) in answer.damaged.items():
            place = Place(server, number)
            found.damaged[place] = DamagedShare(place, head, reason)
            if reason != CHANGING:
                self._advisories.send(self._cap.storage_index, place, reason)

    @property
    def _waiting(self) -> list[InFlight[IStorageServer] | InFlight[Place]]:
        return [self._asked] if self._key is None else [self._asked, self._key.reads]

    async def _wait(self) -> None:
        """Return when one has answered, or has become slow."""
        timeout = self._times.late
        waiting = self._waiting
        left = [each.next_slow(self._clock.seconds(), timeout) for each in waiting]
        soon = min((seconds for seconds in left if seconds is not None), default=None)
        if soon is None:
            await self._changes.once()
        else:
            await self._changes.once_within(self._clock, soon)
        self._group.check()
        for each in waiting:
            each.mark_slow(self._clock.seconds(), timeout)


def _cut(
    servers: list[IStorageServer], count: int
) -> tuple[list[IStorageServer], list[IStorageServer]]:
    count = max(0, count)
    return servers[:count], servers[count:]
