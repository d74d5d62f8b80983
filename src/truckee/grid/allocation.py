"""New shares of one file: planned, asked for, and planned again around who refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.grid.asking import Round, most
from truckee.grid.share_request import ShareRequest
from truckee.storage.interfaces import IShareWriter, IStorageServer

# Rounds of planning around servers that refuse.
_ROUNDS = 5

# Where new shares are to be, as (share: server); empty when there is nothing left to do.
Plan = Callable[["Allocation"], Mapping[int, IStorageServer]]
# What servers say that they have of the shares that they were to take, and more.
Claims = Mapping[IStorageServer, Set[int]]


@define(eq=False)
class Allocation:
    """The shares of one file that servers agreed to take, and who may take more."""

    _request: ShareRequest
    writeable: Sequence[IStorageServer]  # the best first
    _clock: IReactorTime
    _silent: set[IStorageServer] = field(repr=False)  # see Round
    _happy: int = 0  # servers below which slow ones are waited for
    writers: dict[int, IShareWriter] = field(factory=dict, init=False)
    servers: dict[int, IStorageServer] = field(factory=dict, init=False)  # of the writers
    refusing: dict[int, set[IStorageServer]] = field(factory=dict, init=False)
    failures: list[Exception] = field(factory=list, init=False)  # of those without answers

    def refuse(self, share: int, server: IStorageServer) -> None:
        """Note that *server* is not to be asked to take *share* any more."""
        self.refusing.setdefault(share, set()).add(server)

    def holders(
        self, existing: Mapping[int, Collection[IStorageServer]]
    ) -> dict[int, list[IStorageServer]]:
        """Return on whom each share is or will be, of those that exist and the new ones."""
        found = {share: list(servers) for share, servers in existing.items()}
        for share, server in self.servers.items():
            found.setdefault(share, []).append(server)
        return found

    def still_possible(
        self, wanted: Mapping[int, IStorageServer], existing: Collection[int]
    ) -> dict[int, IStorageServer]:
        """Return what of a plan nobody has or took yet, where servers may take more."""
        return {
            share: server
            for share, server in wanted.items()
            if share not in self.servers
            and share not in existing
            and server in self.writeable
            and server not in self.refusing.get(share, ())
        }

    async def fill(
        self, plan: Plan, claimed: Callable[[Claims], Awaitable[None]] | None = None
    ) -> None:
        """
        Have servers take what *plan* says, until nothing is left or nobody takes it.

        *claimed* learns of servers that say to have a share already; they are planned with
        for one round more, since they may take others.  A share is not offered twice to
        who did not take it.
        """
        forgiven: set[IStorageServer] = set()
        for _ in range(_ROUNDS):
            wanted = plan(self)
            if not wanted:
                break
            refused, claims = await self._ask(wanted)
            if claimed is None:
                for share, server in wanted.items():
                    if self.servers.get(share) is not server:
                        self.refuse(share, server)
            elif claims:
                await claimed(claims)
                # A liar could claim the next share each time, so this is for once.
                refused -= claims.keys() - forgiven
                forgiven |= claims.keys()
            self.writeable = [each for each in self.writeable if each not in refused]

    async def abort(self) -> None:
        """Free what servers reserved."""
        for writer in self.writers.values():
            await writer.abort()

    async def _ask(
        self, wanted: Mapping[int, IStorageServer]
    ) -> tuple[set[IStorageServer], dict[IStorageServer, Set[int]]]:
        """Carry out a plan; return who refused, and what servers claim to have."""
        shares: dict[IStorageServer, set[int]] = {}
        for share, server in wanted.items():
            shares.setdefault(server, set()).add(share)
        claims: dict[IStorageServer, Set[int]] = {}

        async def allocate(server: IStorageServer) -> bool:
            wishes = shares[server]
            answer = await self._request.ask(server, wishes)
            for share in wishes & answer.writers.keys():
                self.writers[share] = answer.writers[share]
                self.servers[share] = server
            if wishes & answer.already:
                claims[server] = answer.already
            return wishes <= answer.writers.keys()

        asked = list(shares)
        many = most(asked)
        others = set(self.writeable).difference(asked)
        demanded = min(self._happy, len({*others, *asked, *self.servers.values()}))

        def enough(answers: Mapping[IStorageServer, bool]) -> bool:
            # Those who are not asked could have the shares of those who are not waited for.
            possible = others.union(self.servers.values())
            return many(answers) and len(possible) >= demanded

        question = Round(asked, self._clock, enough, self._silent, harm=True)
        pleased = await question.ask(allocate)
        self.failures += question.failures
        return {server for server in asked if not pleased.get(server)}, claims
