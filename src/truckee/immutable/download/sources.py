"""Finding the shares of a file and proving which of them are its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof
from truckee.errors import Unavailable
from truckee.flow.descriptors import TooManyOpenFiles, ended
from truckee.flow.limits import Exclusive
from truckee.immutable.download.speculative_reads import HeadStart
from truckee.immutable.download.speed import Speed
from truckee.immutable.share_proof import read_proof
from truckee.immutable.upload.existing_shares import Holders
from truckee.storage.interfaces import IShareReader, IStorageServer, ReadError

log = Logger()


@define
class NotEnoughShares(Unavailable):
    """
    {found} good shares of this file were found, and {needed} are needed to read it. Try
    again when more servers are connected.
    """

    found: int  # distinct share numbers
    needed: int  # k

    def __str__(self) -> str:
        # Programs look for the names that these have in Tahoe-LAFS.
        name = "NotEnoughSharesError" if self.found else "NoSharesError"
        return f"{name}: {Unavailable.__str__(self)}"


@define(eq=False)
class Source:
    """One share on one server."""

    number: int
    server: IStorageServer
    reader: HeadStart
    proof: ShareProof | None = field(default=None, init=False)
    useless: bool = field(default=False, init=False)  # for every segment
    told: bool = field(
        default=False, init=False
    )  # somebody sees to it that its server knows
    corrupt: bool = field(default=False, init=False)  # beyond doubt
    speed: Speed = field(factory=Speed, init=False)


def _delay(source: Source, best: float) -> int:
    """
    Return its ``Speed.delay``; one that is proved already is worth a doubling.

    So all servers get their part when much is asked for at once.
    """
    doublings = source.speed.delay(best)
    return doublings if source.proof is None else max(0, doublings - 1)


# Given a storage index and k.
Find = Callable[[bytes, int], Awaitable[Holders]]


@define(eq=False)
class Located:
    """
    The sources of one file, in the order in which they are asked.

    A source that turns out to be of another file, or out of reach, is given up for good.
    """

    cap: ChkVerifyCap
    file: FileProof | None = field(default=None, init=False)
    _sources: list[Source] = field(factory=list, init=False)
    _proving: Exclusive = field(factory=Exclusive, init=False, repr=False)
    # Why a source could not be read, when that was our own fault.
    _out_of_descriptors: bool = field(default=False, init=False)

    @classmethod
    async def search(
        cls, cap: ChkVerifyCap, find: Find, before: Located | None = None
    ) -> Located:
        """
        Ask for the shares of *cap*.

        What was found out *before* of sources that are still there is not forgotten.

        :raises NotEnoughShares: when there are too few.
        """
        located = cls(cap)
        holders = await find(cap.storage_index, cap.needed)
        # First one source of each share, then the second ones: any k shares do.  A share
        # number that the file does not have is a server's mistake.
        by_share = [
            [Source(number, server, HeadStart(reader)) for server, reader in found.items()]
            for number, found in sorted(holders.items())
            if 0 <= number < cap.total
        ]
        while any(by_share):
            located._sources += [sources.pop(0) for sources in by_share if sources]
        if len(holders) < cap.needed:
            raise NotEnoughShares(len(holders), cap.needed)
        if before is not None:
            located.file = before.file
            located._remember(before._sources)
        return located

    @property
    def needed(self) -> int:
        """k."""
        return self.cap.needed

    @property
    def held(self) -> int:
        """The bytes of hash trees in memory."""
        proofs = [source.proof for source in self._sources if source.proof is not None]
        trees = [proof.blocks for proof in proofs]
        if self.file is not None:
            trees.append(self.file.crypttext)
        return sum(tree.held for tree in trees)

    def choose(self, avoid: Set[Source], taken: Set[int]) -> Source | None:
        """
        Return the best source of a share not in *taken* that is not in *avoid*.

        That is one with the fewest faults, and of those one that will probably answer soon.
        """
        usable = [
            source
            for source in self._sources
            if not source.useless and source not in avoid and source.number not in taken
        ]
        known = [each.speed.usual for each in self._sources if each.speed.usual is not None]
        best = min(known, default=0.0)
        return min(
            usable, key=lambda each: (each.speed.faults, _delay(each, best)), default=None
        )

    def settle(self) -> None:
        """Forget what was read early."""
        for source in self._sources:
            source.reader.settle()

    def not_enough(self, avoid: Set[Source]) -> NotEnoughShares | TooManyOpenFiles:
        """
        Return the error that tells how many good shares there are beside *avoid*.

        Where this process had no descriptor to read one with, nothing is said of shares.
        """
        if self._out_of_descriptors:
            return TooManyOpenFiles()
        good = {
            source.number
            for source in self._sources
            if source.proof is not None and not source.useless and source not in avoid
        }
        return NotEnoughShares(len(good), self.cap.needed)

    async def prove(self, source: Source) -> bool:
        """Return whether *source* belongs to the file, after a look at it if need be."""
        async with self._proving.hold(source):
            if source.proof is None and not source.useless:
                await self._prove(source)
        return not source.useless

    def unreadable(self, source: Source, error: Exception) -> None:
        """Never use *source* again, which could not be read."""
        self._out_of_descriptors |= ended(error)
        self.give_up(source, str(error))

    def give_up(self, source: Source, reason: str, *, corrupt: bool = False) -> None:
        """Never use *source* again; if it is *corrupt*, tell its server."""
        if not source.useless:  # several segments can find that out at once
            source.useless = True
            self.report(source, reason, corrupt=corrupt)

    def report(self, source: Source, reason: str, *, corrupt: bool) -> None:
        """
        Log what is wrong with *source*; if it is *corrupt*, tell its server, once.

        The server's answer is not waited for.
        """
        log.warn(
            "Share {share} on {server} is not usable: {reason}",
            share=source.number,
            server=source.server.name,
            reason=reason,
        )
        if corrupt and not source.told:
            source.told = True
            Deferred.fromCoroutine(self._advise(source, reason))

    def _remember(self, sources: Sequence[Source]) -> None:
        """Know which are slow or corrupt; one that was out of reach may be back."""
        known = {(source.number, source.server): source for source in sources}
        for source in self._sources:
            before = known.get((source.number, source.server))
            if before is not None:
                source.speed.faults = before.speed.faults
                source.speed.usual = before.speed.usual
                source.told, source.corrupt = before.told, before.corrupt
                source.useless = before.useless and before.corrupt

    async def _advise(self, source: Source, reason: str) -> None:
        index = self.cap.storage_index
        try:
            if await self._is_replaced(source):
                source.told = False
                return
            source.corrupt = True
            await source.server.advise_corrupt(index, source.number, reason)
        except Exception as error:
            name = source.server.name
            log.warn("{server} took no advice: {error}", server=name, error=str(error))

    async def _is_replaced(self, source: Source) -> bool:
        """
        Tell whether a share that seems corrupt is another one than was looked at.

        One that was removed and stored anew may have its parts elsewhere.
        """
        now = await source.server.buckets(self.cap.storage_index)
        if source.number not in now:
            return True
        try:
            _, proof = await self._proof(source.number, now[source.number])
        except ValueError:
            return False
        return source.proof is None or source.proof.offsets != proof.offsets

    async def _proof(
        self, number: int, reader: IShareReader
    ) -> tuple[FileProof, ShareProof]:
        """Return what is known of the file and of one share.  :raises ValueError:"""
        offsets, chain, ueb = await read_proof(reader, self.cap.total)
        file = FileProof.check(self.cap, ueb)
        # All share what is known of the file, such as its tree.
        file = self.file or file
        return file, ShareProof.check(file, number, offsets, chain)

    async def _prove(self, source: Source) -> None:
        try:
            self.file, source.proof = await self._proof(source.number, source.reader)
        except ValueError as error:
            self.give_up(source, str(error), corrupt=True)
        except ReadError as error:
            self.unreadable(source, error)
