"""
Finding servers for a new file: ask, plan, allocate, plan again around refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.secrets import LeaseSecrets, lease_secrets
from truckee.errors import Unavailable
from truckee.flow.together import Work
from truckee.grid.allocation import Allocation, Claims
from truckee.grid.answered import Answered
from truckee.grid.asking import Round, check_descriptors, most
from truckee.grid.looks import Held, Looks
from truckee.grid.permute import permuted
from truckee.grid.placement import happiness, match, plan, plan_missing
from truckee.grid.share_request import Keep, ShareRequest
from truckee.storage.interfaces import IShareReader, IShareWriter, IStorageServer, NoSpace

log = Logger()

Holders = Mapping[int, Mapping[IStorageServer, IShareReader]]  # servers by share
# Given the shares that servers claim to have, returns those that they proved to have.
Prove = Callable[[Holders], Work[Holders]]


async def nobody() -> None:
    """Wait for no servers."""


@define
class NotEnoughServers(Unavailable):
    """
    Shares could be placed on {found} servers only, and {needed} are demanded
    (shares.happy). Wait for more servers, or lower shares.happy in tahoe.cfg.
    """

    found: int
    needed: int


@define
class NotEnoughApproved(NotEnoughServers):
    """
    Shares could be placed on {found} servers only, and {needed} are demanded
    (shares.happy): {refused} more can be reached, and no grid manager in the section
    [grid_managers] of tahoe.cfg approves of them. The first page says why.
    """

    refused: int


@define
class TooFewShares(Unavailable):
    """
    Only {found} different shares could be stored, and {needed} are needed to read the
    file. Wait for more servers.
    """

    found: int
    needed: int


@frozen(eq=False)
class Placement:
    """Where the shares of one new file go."""

    writers: Mapping[int, IShareWriter]
    servers: Mapping[int, IStorageServer]  # of the writers
    existing: Mapping[int, Mapping[IStorageServer, IShareReader]]  # finished, and proved
    spare: Sequence[IStorageServer]  # who could take another share, the best first

    def happiness(self, lost: frozenset[int] = frozenset()) -> int:
        """Return the happiness without the new shares in *lost*."""
        holders = {share: set(found) for share, found in self.existing.items()}
        for share, server in self.servers.items():
            if share not in lost:
                holders.setdefault(share, set()).add(server)
        return happiness(holders)


@define(eq=False)
class Selector:
    """
    Places files on the servers that *takers* returns at that time.

    Files are found on all that *servers* returns, which has the takers too.
    """

    _servers: Callable[[], Iterable[IStorageServer]]
    _takers: Callable[[], Iterable[IStorageServer]]
    _secret: bytes = field(repr=False)  # 32 bytes, of this client, for leases
    _happy: int
    _clock: IReactorTime
    _arrivals: Callable[[], Work[None]] = nobody  # waits for servers that are expected
    _silent: set[IStorageServer] = field(factory=set)  # the last time
    _answered: Answered = field(
        default=Factory(lambda self: Answered(self._clock), takes_self=True)
    )
    _looks: Looks = field(default=Factory(lambda self: Looks(self._clock), takes_self=True))

    def demanding(self, happy: int) -> Selector:
        """Return one that knows what this one knows, with another least happiness."""
        return evolve(self, happy=happy)

    @property
    def happy(self) -> int:
        """The least happiness with which an upload is a success."""
        return self._happy

    @property
    def needs_known_size(self) -> bool:
        """Whether there are servers enough, but too few for files of unknown size."""
        servers = list(self._takers())
        able = sum(server.takes_open_ends for server in servers)
        return able < self._happy <= len(servers)

    def candidates(self, storage_index: bytes) -> Sequence[IStorageServer]:
        """Return the servers that a file can be on now, the first for it first."""
        return permuted(self._takers(), storage_index)

    async def find(
        self, storage_index: bytes, needed: int
    ) -> Mapping[int, Mapping[IStorageServer, IShareReader]]:
        """
        Return the finished shares of a file, by number and server.

        Once *needed* of them are found, slow servers are not waited for long: each on a
        server of its own, or after most servers answered, since one that claims all
        shares may lie.
        """
        servers = permuted(self._servers(), storage_index)
        many = most(servers)

        def enough(held: Held) -> bool:
            claims = {server: list(found) for server, found in held.items()}
            different = {share for found in claims.values() for share in found}
            if len(different) < needed:
                return False
            return many(held) or len(match(claims)) >= needed

        question = Round(servers, self._clock, enough, self._silent)
        held = await question.ask(lambda server: server.buckets(storage_index))
        if not enough(held):
            check_descriptors(question.failures)
        return _by_share(servers, held)

    async def survey(
        self, storage_index: bytes, total: int
    ) -> Mapping[int, Mapping[IStorageServer, IShareReader]]:
        """Return the finished shares of a file where a new one would be placed."""
        candidates = permuted(self._takers(), storage_index)[: 2 * total]
        held = await self._ask(storage_index, candidates, [])
        return _of_file(total, candidates, held)

    async def not_taking(self, storage_index: bytes, total: int) -> Holders:
        """Return what those servers claim to have of a file that may be given no shares."""
        takers = set(self._takers())
        order = permuted(self._servers(), storage_index)
        others = [server for server in order if server not in takers][: 2 * total]
        return _of_file(total, others, await self._ask(storage_index, others, []))

    async def everywhere(
        self, storage_index: bytes
    ) -> tuple[Held, Sequence[IStorageServer]]:
        """Return the finished shares by server, and who gave no answer; see ``Looks``."""
        servers = permuted(self._servers(), storage_index)
        return await self._looks.everywhere(storage_index, servers)

    async def _ask(
        self,
        storage_index: bytes,
        candidates: Sequence[IStorageServer],
        failures: list[Exception],
        least: int = 0,
    ) -> Held:
        """
        Return the finished shares by server; *failures* get why others said nothing.

        As long as there are fewer answers than *least*, slow servers are waited for.
        """
        enough = most(candidates, least)
        question = Round(candidates, self._clock, enough, self._silent)
        held = await question.ask(lambda server: server.buckets(storage_index))
        failures += question.failures
        self._answered.heard(candidates, held)
        return held

    async def _willing(
        self,
        storage_index: bytes,
        candidates: Sequence[IStorageServer],
        failures: list[Exception],
        fresh: bool,
    ) -> tuple[Held, set[IStorageServer]]:
        """Return what *candidates* have of a file, and who of them may be given shares."""
        known = self._answered.lately(candidates) if fresh else set()
        rest = [server for server in candidates if server not in known]
        held = await self._ask(storage_index, rest, failures, self._happy - len(known))
        return held, known | held.keys()

    def _candidates(
        self, request: ShareRequest, total: int
    ) -> tuple[Sequence[IStorageServer], Sequence[IStorageServer]]:
        """Return who may have shares of the file, and who can take such shares."""
        order = permuted(self._takers(), request.storage_index)
        able = [
            server for server in order if server.takes_open_ends or not request.open_ended
        ]
        asked = {*order[: 2 * total], *able[: 2 * total]}
        return [server for server in order if server in asked], able

    async def place(
        self,
        request: ShareRequest,
        total: int,
        *,
        needed: int,
        prove: Prove,
        fresh: bool = False,
    ) -> Placement:
        """
        Have *total* shares taken.

        Servers that take no open ends get none that have one.  What servers have already is
        counted if they *prove* it; others get the shares that are claimed falsely, and who
        has something else under the number of a share gets another one.  Shares
        that were cut off are continued where they are, also on servers that are
        expected to be connected in a moment.

        Of a *fresh* file nobody can have shares, as its storage index is new.  Servers are
        asked then only if they gave no such answer lately: whoever gives none is given no
        shares, since nobody might be able to read them.

        :raises TooManyOpenFiles: when there is not enough happiness for that reason.
        :raises NoSpace: when there is not enough because servers are full.
        :raises NotEnoughServers: when there is not enough for another reason.
        :raises TooFewShares: when there are fewer than *needed* different shares.
        """
        storage_index, request = request.storage_index, evolve(request, fresh=fresh)
        if request.keep is Keep.LONG and not fresh:
            await self._arrivals()
        candidates, able = self._candidates(request, total)
        failures: list[Exception] = []
        held, willing = await self._willing(storage_index, candidates, failures, fresh)
        existing = await prove(_of_file(total, candidates, held))
        writeable = [server for server in able if server in willing]
        new = Allocation(request, writeable, self._clock, self._silent, self._happy)
        cut_off = await request.unfinished(writeable, total, self._clock, self._silent)

        def planned(new: Allocation) -> Mapping[int, IStorageServer]:
            going_on = new.still_possible(cut_off, existing)
            return going_on or plan(
                total, new.holders(existing), new.writeable, new.refusing
            )

        async def claimed(claims: Claims) -> None:
            # Somebody else may have stored it meanwhile.
            nonlocal existing
            late = await self._ask(storage_index, list(claims), failures)
            proved = await prove(_of_file(total, list(claims), late))
            existing = _joined(existing, proved)
            for server, shares in claims.items():
                for share in shares:
                    if server not in existing.get(share, ()):
                        new.refuse(share, server)

        try:
            await new.fill(planned, claimed)
            self._answered.forget(willing.difference(new.writeable))
            placement = Placement(new.writers, new.servers, existing, new.writeable)
            happy = placement.happiness()
            different = len(new.writers.keys() | existing.keys())
            if happy < self._happy or different < needed:
                check_descriptors([*failures, *new.failures])
                await self._explain(candidates, happy, request.size)
                raise TooFewShares(different, needed)
        except Exception:
            await new.abort()
            raise
        return placement

    async def place_missing(
        self,
        storage_index: bytes,
        missing: Collection[int],
        size: int,
        good: Mapping[int, Mapping[IStorageServer, IShareReader]],
        refusing: Mapping[int, Collection[IStorageServer]],
    ) -> Placement:
        """
        Allocate *missing* shares, those that somebody takes.

        *good* shares stay alone; servers that hold something else under the number of a
        share are *refusing* it.

        :raises NoSpace: :raises NotEnoughServers: when nobody takes any.
        """
        total = len(missing) + len(good)
        candidates = permuted(self._takers(), storage_index)[: 2 * total]
        request = self.request(storage_index, size)
        new = Allocation(request, candidates, self._clock, self._silent)
        for share in missing:
            for server in refusing.get(share, ()):
                new.refuse(share, server)

        def planned(new: Allocation) -> Mapping[int, IStorageServer]:
            left = [share for share in missing if share not in new.servers]
            return plan_missing(left, new.holders(good), new.writeable, new.refusing)

        try:
            await new.fill(planned)
            if not new.writers:
                check_descriptors(new.failures)
                await self._explain(candidates, 0, size)
        except Exception:
            await new.abort()
            raise
        unfit = {server for found in new.refusing.values() for server in found}
        spare = [server for server in new.writeable if server not in unfit]
        return Placement(new.writers, new.servers, good, spare)

    def request(
        self,
        storage_index: bytes,
        size: int,
        open_ended: bool = False,
        keep: Keep = Keep.NOT,
    ) -> ShareRequest:
        """Return what servers are asked for that are to take shares of a file."""
        secrets = partial(self.secrets, storage_index)
        return ShareRequest(storage_index, size, open_ended, keep, secrets)

    async def forget(self, request: ShareRequest, total: int) -> None:
        """Have the servers on which *total* shares may be remove what they keep of them."""
        servers = permuted(self._takers(), request.storage_index)[: 2 * total]
        await Round(servers, self._clock, most(servers), self._silent).ask(request.forget)

    async def renew(self, storage_index: bytes, placement: Placement) -> None:
        """Renew the leases of shares that were there, where no allocation did it."""
        holders = {server for found in placement.existing.values() for server in found}
        asked = set(placement.servers.values())
        await self.renew_on(storage_index, holders - asked)

    async def renew_on(
        self, storage_index: bytes, servers: Collection[IStorageServer]
    ) -> list[IStorageServer]:
        """Renew leases on *servers*, or add them; return those that did not confirm it."""
        rest = sorted(servers, key=lambda server: server.name)
        done = await Round(rest, self._clock, most(rest), self._silent).ask(
            lambda server: server.add_lease(
                storage_index, self.secrets(storage_index, server)
            )
        )
        return [server for server in rest if server not in done]

    def secrets(self, storage_index: bytes, server: IStorageServer) -> LeaseSecrets:
        """Return this client's lease secrets for a file on *server*."""
        return lease_secrets(self._secret, storage_index, server.lease_seed)

    async def _explain(
        self, candidates: Sequence[IStorageServer], found: int, size: int
    ) -> None:
        """Raise the error that tells why there is not enough happiness."""
        space = await Round(candidates, self._clock, most(candidates)).ask(
            lambda server: server.available_space()
        )
        full = [server.name for server in candidates if space.get(server, size) < size]
        if full:
            raise NoSpace(", ".join(full))
        if found < max(self._happy, 1):
            takers = set(self._takers())
            refused = sum(server not in takers for server in self._servers())
            if refused:
                raise NotEnoughApproved(found, self._happy, refused)
            raise NotEnoughServers(found, self._happy)


def _of_file(
    total: int, servers: Sequence[IStorageServer], held: Held
) -> dict[int, dict[IStorageServer, IShareReader]]:
    """Leave out numbers that the file does not have, which are a server's mistake."""
    found = _by_share(servers, held).items()
    return {share: holders for share, holders in found if 0 <= share < total}


def _joined(
    one: Holders, other: Holders
) -> dict[int, Mapping[IStorageServer, IShareReader]]:
    return {
        share: {**one.get(share, {}), **other.get(share, {})}
        for share in sorted(one.keys() | other.keys())
    }


def _by_share(
    servers: Sequence[IStorageServer],
    held: Held,
) -> dict[int, dict[IStorageServer, IShareReader]]:
    """Turn shares by server into servers by share, servers in their order."""
    found: dict[int, dict[IStorageServer, IShareReader]] = {}
    for server in servers:
        for share, reader in held.get(server, {}).items():
            found.setdefault(share, {})[server] = reader
    return found
