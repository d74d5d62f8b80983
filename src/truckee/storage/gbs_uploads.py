"""
Shares that clients over HTTPS are writing.

They belong to whoever knows their upload secret, not to a connection.
Source: ``docs/formats/storage-https.md``, "Writing".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from hmac import compare_digest
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import Misuse, Refused, TruckeeError
from truckee.flow.timer import Timer
from truckee.storage.interfaces import IShareWriter
from truckee.storage.quotas import IDLE_LIMIT, Claim
from truckee.storage.ranges import RangeSet

log = Logger()

# Gaps in one share.  Writers in any order leave as many as they have writes under way.
_MAX_GAPS = 4096


@define
class NotInProgress(Misuse):
    """This share is not in progress."""


@define
class OtherSecret(Refused):
    """The upload secret is another one."""


@define
class TooManyGaps(Misuse):
    """This share has too many gaps; fill some first."""


@define(eq=False)
class Uploads:
    """The shares in progress, by storage index and number."""

    _reactor: Any
    _shares: dict[tuple[bytes, int], GbsShare] = field(factory=dict, init=False)

    def __contains__(self, place: tuple[bytes, int]) -> bool:
        return place in self._shares

    def begin(
        self,
        storage_index: bytes,
        secret: bytes,
        size: int,
        writers: Mapping[int, IShareWriter],
        claims: Mapping[int, Claim],
    ) -> None:
        """
        Let who knows *secret* write shares of *size* bytes with these *writers*.

        *claims* has one for each writer; it ends with the share.
        """
        for number, writer in writers.items():
            place = storage_index, number
            share = GbsShare(
                size,
                secret,
                writer,
                claims[number],
                self._reactor,
                partial(self._shares.pop, place, None),
            )
            self._shares[place] = share
            share.begin()

    def find(self, storage_index: bytes, number: int, secret: bytes) -> GbsShare:
        """
        Return a share for who knows its *secret*.

        :raises NotInProgress: :raises OtherSecret:
        """
        share = self._shares.get((storage_index, number))
        if share is None:
            raise NotInProgress
        if not compare_digest(share.secret, secret):
            raise OtherSecret
        return share

    def stop(self) -> None:
        """Remove them all."""
        for share in list(self._shares.values()):
            share.give_up()


@define(eq=False)
class GbsShare:
    """A share that a client writes; it is given up when nothing came for half an hour."""

    size: int
    secret: bytes = field(repr=False)
    _writer: IShareWriter
    _claim: Claim
    _reactor: Any
    _forget: Callable[[], object]  # takes it out of those in progress
    _written: RangeSet = field(factory=RangeSet, init=False)
    _finishing: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _timer: Timer = field(factory=Timer, init=False)

    def begin(self) -> None:
        """Watch the client."""
        self._timer.start(self._reactor.callLater, IDLE_LIMIT, self.give_up)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """What was not written yet."""
        return self._written.missing(self.size)

    async def write(self, offset: int, parts: list[bytes]) -> None:
        """Store *parts* at *offset*.  :raises TooManyGaps:"""
        self._timer.extend(IDLE_LIMIT)
        if self._written.count > _MAX_GAPS:
            raise TooManyGaps
        await self._writer.write(offset, parts)
        size = sum(map(len, parts))
        self._written.add(offset, offset + size)
        self._claim.wrote(size)

    async def finish_if_whole(self) -> bool:
        """Show it to readers if nothing is missing; return whether that was done."""
        if self.missing or self._finishing:
            return False
        self._finishing = True
        try:
            # Its last byte is here: a client that leaves now stops nothing.
            await to_the_end(self._writer.close(self.size))
        except TruckeeError:
            self._finishing = False
            raise
        self._end()
        self._claim.end()
        return True

    async def abort(self) -> None:
        """Remove it."""
        self._end()
        try:
            await to_the_end(self._writer.abort())
        finally:
            self._claim.end()

    def give_up(self) -> None:
        """Remove it; nobody waits for that."""
        done = Deferred.fromCoroutine(self.abort())
        done.addErrback(lambda failure: log.failure("A share was not removed", failure))

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._forget()
        self._timer.cancel()


async def to_the_end(work: Coroutine[Deferred[Any], Any, None]) -> None:
    """Return when *work* has ended; cancelling this leaves it at work."""
    done: Deferred[None] = Deferred()

    def end(result: Any) -> None:
        if not done.called:
            done.callback(result)
        elif isinstance(result, Failure):
            log.failure("A share could not be finished or removed", result)

    Deferred.fromCoroutine(work).addBoth(end)
    await done
