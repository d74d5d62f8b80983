"""What servers hold of one file, and whether that is enough, or all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random, SystemRandom

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.share import UnknownVersion
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import Work, together
from truckee.grid.placement import happiness
from truckee.grid.selection import Selector
from truckee.immutable.share_proof import prove_random_block
from truckee.immutable.upload.existing_shares import Holders
from truckee.immutable.verify import ShareVerifier
from truckee.storage.interfaces import IShareReader, IStorageServer, ReadError

log = Logger()

# Looks at a numbered share of a file; raises as ``ShareVerifier.verify`` does.
Examine = Callable[[ChkVerifyCap, int, IShareReader], Work[None]]

# Shares that are verified side by side.
PARALLEL = 10


@frozen(eq=False)
class BadShare:
    """A share on a server that is not what it should be."""

    number: int
    server: IStorageServer
    reason: str


@frozen(eq=False)
class CheckReport:
    """
    What was found of a file.

    Without *verified*, *good* shares are those that servers say they have, or those of
    which one block was *proved*.
    """

    cap: ChkVerifyCap
    verified: bool
    servers: Sequence[IStorageServer]  # that answered
    good: Holders
    corrupt: Sequence[BadShare]
    # Neither good nor corrupt: of a kind that is not known, or the server did not read it.
    unreadable: Sequence[BadShare]
    # That have shares and did not confirm their leases, if these were to be renewed.
    unrenewed: Sequence[IStorageServer] = ()
    silent: Sequence[IStorageServer] = ()  # that gave no answer: what they have is missing

    @property
    def missing(self) -> list[int]:
        """The shares of which there is no good one."""
        return [number for number in range(self.cap.total) if number not in self.good]

    @property
    def healthy(self) -> bool:
        """Whether every share of the file is good somewhere."""
        return not self.missing

    @property
    def recoverable(self) -> bool:
        """Whether the file can be read."""
        return len(self.good) >= self.cap.needed

    @property
    def good_hosts(self) -> int:
        """How many servers have a good share."""
        return len({server for found in self.good.values() for server in found})

    @property
    def happiness(self) -> int:
        """How many servers have each a good share of its own."""
        return happiness({number: list(found) for number, found in self.good.items()})


@define(eq=False)
class Checker:
    """Checks files on the servers that *selector* knows."""

    _selector: Selector
    _cpu: Workers
    _budget: Budget
    _random: Random = field(factory=SystemRandom, repr=False)

    async def check(
        self,
        cap: ChkVerifyCap,
        verify: bool = False,
        *,
        prove: bool = False,
        add_lease: bool = False,
        tell: bool = True,
    ) -> CheckReport:
        """
        Look for the shares of a file on all servers; *verify* each byte of them.

        To *prove* them is to read what belongs to the file and one random block, which
        shows that a server does not only claim to have a share.  With *add_lease* their
        leases are renewed; unless told not to *tell*, servers hear of their corrupt shares.
        """
        held, silent = await self._selector.everywhere(cap.storage_index)
        unrenewed: list[IStorageServer] = []
        if add_lease:
            holders = [server for server, found in held.items() if found]
            unrenewed = await self._selector.renew_on(cap.storage_index, holders)
        numbered: dict[int, dict[IStorageServer, IShareReader]] = {}
        for server, found in held.items():
            for number, reader in found.items():
                numbered.setdefault(number, {})[server] = reader
        if not (verify or prove):
            good = {n: numbered[n] for n in sorted(numbered) if n < cap.total}
            return CheckReport(cap, False, list(held), good, [], [], unrenewed, silent)
        examine: Examine = self._prove
        if verify:
            examine = ShareVerifier(self._cpu, self._budget).verify
        report = await self._examine(cap, numbered, list(held), examine, verify)
        report = evolve(report, unrenewed=unrenewed, silent=silent)
        if tell:
            for bad in report.corrupt:
                Deferred.fromCoroutine(_advise(cap, bad))
        return report

    async def _prove(self, cap: ChkVerifyCap, number: int, reader: IShareReader) -> None:
        await prove_random_block(cap, number, reader, self._cpu, self._random)

    async def _examine(
        self,
        cap: ChkVerifyCap,
        numbered: Mapping[int, Mapping[IStorageServer, IShareReader]],
        servers: Sequence[IStorageServer],
        examine: Examine,
        verified: bool,
    ) -> CheckReport:
        turns = Budget(PARALLEL)
        good: dict[int, dict[IStorageServer, IShareReader]] = {}
        corrupt: list[BadShare] = []
        unreadable: list[BadShare] = []

        async def look(number: int, server: IStorageServer, reader: IShareReader) -> None:
            await turns.take(1)
            try:
                await examine(cap, number, reader)
            except UnknownVersion as error:
                unreadable.append(BadShare(number, server, str(error)))
            except ValueError as error:
                corrupt.append(BadShare(number, server, str(error)))
            except ReadError as error:
                unreadable.append(BadShare(number, server, str(error)))
            else:
                good.setdefault(number, {})[server] = reader
            finally:
                turns.give(1)

        await together(
            look(number, server, reader)
            for number, found in sorted(numbered.items())
            for server, reader in found.items()
        )
        return CheckReport(
            cap,
            verified,
            servers,
            {number: good[number] for number in sorted(good)},
            sorted(corrupt, key=lambda bad: bad.number),
            sorted(unreadable, key=lambda bad: bad.number),
        )


async def _advise(cap: ChkVerifyCap, bad: BadShare) -> None:
    """Tell a server of a corrupt share; its answer is not waited for."""
    name = bad.server.name
    log.warn(
        "Share {share} on {server} is corrupt: {reason}",
        share=bad.number,
        server=name,
        reason=bad.reason,
    )
    try:
        await bad.server.advise_corrupt(cap.storage_index, bad.number, bad.reason)
    except Exception as error:
        log.warn("{server} took no advice: {error}", server=name, error=str(error))
