"""
Making the shares of a file again that are missing or corrupt, without its key.

Ciphertext comes from any k good shares, segment by segment, and goes through the encoder
into the missing shares alone.
"""

from __future__ import annotations

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.encoder import EncodedFile, FileEncoder, encode_segment
from truckee.codec.geometry import Geometry
from truckee.codec.share import ShareLayout
from truckee.errors import Corrupt, Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget, Exclusive
from truckee.flow.together import Group, Turns, together
from truckee.grid.selection import NotEnoughServers, Selector
from truckee.immutable.check import Checker, CheckReport
from truckee.immutable.download.fetch import Fetcher
from truckee.immutable.download.sources import Located
from truckee.immutable.upload.existing_shares import Holders
from truckee.immutable.upload.share_set import OutgoingShares
from truckee.immutable.upload.status import UploadStatus
from truckee.storage.interfaces import NoSpace
from truckee.storage.journal import Journal

log = Logger()

# Segments of one file under way: one is fetched, one is coded, one is written.
WINDOW = 3


@define
class NotTheSame(Corrupt):
    """
    Shares made anew from this file's ciphertext would not be its own: another program
    made them in another way. Nothing was repaired; upload the file again.
    """


@define
class AllLost(Unavailable):
    """All servers failed that had taken a share. Try again."""


@frozen(eq=False)
class RepairReport:
    """A file before and after; both are the same when nothing was attempted."""

    before: CheckReport
    attempted: bool
    after: CheckReport

    @property
    def successful(self) -> bool:
        """Whether it was attempted, and nothing is missing now."""
        return self.attempted and self.after.healthy


@define(eq=False)
class Repairer:
    """Repairs files on the servers that *selector* knows."""

    checker: Checker
    _selector: Selector
    _journal: Journal
    _cpu: Workers
    _budget: Budget  # bytes of file data in memory
    _clock: IReactorTime
    active: int = field(default=0, init=False)  # repairs under way
    _by_storage_index: Exclusive = field(factory=Exclusive, init=False)

    async def check_and_repair(
        self, cap: ChkVerifyCap, verify: bool = False, *, add_lease: bool = False
    ) -> RepairReport:
        """
        Check a file, repair it if it is not healthy, and check it once more.

        :raises NotEnoughShares: when it cannot be read any more.
        :raises BrokenFile: :raises NotTheSame: when whoever stored it made a mistake.
        """
        self.active += 1
        try:
            async with self._by_storage_index.hold(cap.storage_index):
                # What servers only claim to have is missing, and claims are no success.
                before = await self.checker.check(
                    cap, verify, prove=True, add_lease=add_lease
                )
                if before.healthy:
                    return RepairReport(before, False, before)
                try:
                    await self.repair(cap, before)
                except (NoSpace, NotEnoughServers) as error:
                    log.warn("No server takes what is missing: {error}", error=str(error))
                    return RepairReport(before, True, before)
                after = await self.checker.check(cap, verify, prove=True, tell=False)
                return RepairReport(before, True, after)
        finally:
            self.active -= 1

    async def repair(self, cap: ChkVerifyCap, report: CheckReport) -> None:
        """
        Store what *report* says is missing, as far as servers take it.

        :raises NoSpace: :raises NotEnoughServers: when they take nothing of it.
        """

        async def find(storage_index: bytes, needed: int) -> Holders:
            return report.good

        fetcher = Fetcher(cap, await Located.search(cap, find), self._cpu, self._clock)
        geometry = await fetcher.geometry()
        layout = ShareLayout.stock(geometry)
        refusing = {
            number: [
                bad.server
                for bad in (*report.corrupt, *report.unreadable)
                if bad.number == number
            ]
            for number in report.missing
        }
        placement = await self._selector.place_missing(
            cap.storage_index, report.missing, layout.size, report.good, refusing
        )
        group = Group()
        shares = OutgoingShares(
            placement,
            0,  # one share more is better than none
            self._selector.request(cap.storage_index, layout.size).one,
            group,
            self._clock,
            UploadStatus(),
            (0, layout.pack_header()),
            patient=True,
        )
        shares.watch()
        stream = _Repair(cap, geometry, fetcher, shares, group, self._cpu, self._budget)
        try:
            file = await stream.run()
            await shares.finish(file, layout)
            async with self._journal.showing(cap.storage_index, shares.servers):
                await shares.close(layout.size)
                await shares.remove_lost()
        except Exception:
            shares.stop_watching()
            await group.stop()
            await shares.abort()
            raise


@define(eq=False)
class _Repair:
    """The segments of one file on their way from good shares to new ones."""

    _cap: ChkVerifyCap
    _geometry: Geometry
    _fetcher: Fetcher
    _shares: OutgoingShares
    _group: Group
    _cpu: Workers
    _budget: Budget
    _encoder: FileEncoder = field(init=False)
    _turns: Turns = field(factory=Turns, init=False)
    _window: Budget = field(factory=lambda: Budget(WINDOW), init=False)

    def __attrs_post_init__(self) -> None:
        cap = self._cap
        self._encoder = FileEncoder(cap.storage_index, cap.needed, cap.total)

    async def run(self) -> EncodedFile:
        """
        Return what ends the shares, when all blocks are stored.

        :raises NotTheSame: when it is not what ends the shares that are there.
        """
        geometry = self._geometry
        # What is fetched, the segment that it makes, and what that becomes.
        whole = geometry.segment_size
        cost = 2 * whole + whole * geometry.total // geometry.needed
        for segment in range(geometry.segments):
            await self._window.take(1)
            try:
                await self._budget.take(cost)
            except Exception:
                self._window.give(1)
                raise
            if self._group.failure is not None or not self._shares.live:
                # Nothing is started any more that would give these back.
                self._budget.give(cost)
                self._window.give(1)
                self._group.check()
                raise AllLost
            self._group.start(self._segment(segment, cost))
        await self._group.join()
        file = await self._cpu.run(self._encoder.finish, geometry.segment_size)
        if file.verify_cap != self._cap:
            raise NotTheSame
        return file

    async def _segment(self, number: int, cost: int) -> None:
        k, n = self._geometry.needed, self._geometry.total
        offset = ShareLayout.stock(self._geometry).block(number)
        try:
            ciphertext = await self._fetcher.segment(number)
            encoded = await self._cpu.run(encode_segment, ciphertext, k, n)

            async def absorb() -> None:
                await self._turns.wait(number)
                await self._cpu.run(self._encoder.absorb, ciphertext, encoded)
                self._turns.done()

            await together([absorb(), self._shares.store(offset, encoded.blocks)])
        finally:
            self._budget.give(cost)
            self._window.give(1)
