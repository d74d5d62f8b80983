"""Finding the shares of a file and proving which of them are its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof
from truckee.errors import Unavailable
from truckee.immutable.existing import Holders, read_proof
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


@define(eq=False)
class Source:
    """One share on one server."""

    number: int
    server: IStorageServer
    reader: IShareReader
    proof: ShareProof | None = field(default=None, init=False)
    useless: bool = field(default=False, init=False)  # for every segment


# Given a storage index and k.
Find = Callable[[bytes, int], Awaitable[Holders]]


@define(eq=False)
class Located:
    """
    The sources of one file: those that were proved, those not looked at yet.

    A source that turns out to be bad is given up for good.
    """

    cap: ChkVerifyCap
    file: FileProof | None = field(default=None, init=False)
    good: list[Source] = field(factory=list, init=False)
    _untried: list[Source] = field(factory=list, init=False)
    _proving: DeferredLock = field(factory=DeferredLock, init=False, repr=False)

    @classmethod
    async def search(cls, cap: ChkVerifyCap, find: Find) -> Located:
        """Ask for the shares of *cap*.  :raises NotEnoughShares: when there are too few."""
        located = cls(cap)
        holders = await find(cap.storage_index, cap.needed)
        # First one source of each share, then the second ones: any k shares do.  A share
        # number that the file does not have is a server's mistake.
        by_share = [
            [Source(number, server, reader) for server, reader in found.items()]
            for number, found in sorted(holders.items())
            if 0 <= number < cap.total
        ]
        while any(by_share):
            located._untried += [sources.pop(0) for sources in by_share if sources]
        if len(holders) < cap.needed:
            raise NotEnoughShares(len(holders), cap.needed)
        return located

    async def prove(self, count: int, avoid: frozenset[Source]) -> list[Source]:
        """
        Return *count* good sources of distinct shares, none of them in *avoid*.

        :raises NotEnoughShares: when there are not so many.
        """
        await self._proving.acquire()
        try:
            while True:
                usable = {
                    each.number: each for each in reversed(self.good) if each not in avoid
                }
                if len(usable) >= count:
                    return [usable[number] for number in sorted(usable)][:count]
                # One whose share is usable already is kept for the day its sibling fails.
                source = next((s for s in self._untried if s.number not in usable), None)
                if source is None:
                    raise NotEnoughShares(len(usable), self.cap.needed)
                self._untried.remove(source)
                await self._prove(source)
        finally:
            self._proving.release()

    def give_up(self, source: Source, reason: str, *, corrupt: bool = False) -> None:
        """
        Never use *source* again; if it is *corrupt*, tell its server.

        The server's answer is not waited for.
        """
        if source.useless:
            return  # several segments can find that out at once
        source.useless = True
        if source in self.good:
            self.good.remove(source)
        log.warn(
            "Share {share} on {server} is not usable: {reason}",
            share=source.number,
            server=source.server.name,
            reason=reason,
        )
        if corrupt:
            Deferred.fromCoroutine(self._advise(source, reason))

    async def _advise(self, source: Source, reason: str) -> None:
        index = self.cap.storage_index
        try:
            await source.server.advise_corrupt(index, source.number, reason)
        except Exception as error:
            name = source.server.name
            log.warn("{server} took no advice: {error}", server=name, error=str(error))

    async def _prove(self, source: Source) -> None:
        try:
            offsets, chain, ueb = await read_proof(source.reader, self.cap.total)
            file = FileProof.check(self.cap, ueb) if self.file is None else self.file
            if self.file is not None:
                FileProof.check(self.cap, ueb)
            source.proof = ShareProof.check(file, source.number, offsets, chain)
        except ValueError as error:
            self.give_up(source, str(error), corrupt=True)
        except ReadError as error:
            self.give_up(source, str(error))
        else:
            self.file = file
            self.good.append(source)
