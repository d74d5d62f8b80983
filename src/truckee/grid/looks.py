"""Asking all servers for the shares of a file, of which one may hang."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.grid.asking import Round
from truckee.storage.interfaces import IShareReader, IStorageServer
from truckee.storage.limited import TooSlow

Held = Mapping[IStorageServer, Mapping[int, IShareReader]]  # shares by server


@define(eq=False)
class Looks:
    """
    What was learned from earlier questions to all servers.

    All are waited for, up to the timeout of a call: what is thought missing would be made
    again.  One that gave no answer until then has one question at a time, for which nobody
    waits, until it has answered one.
    """

    _clock: IReactorTime
    _silent: set[IStorageServer] = field(factory=set, init=False)
    _rounds: set[Round[IStorageServer]] = field(factory=set, init=False)
    _under_way: Counter[IStorageServer] = field(factory=Counter, init=False)

    async def everywhere(
        self, storage_index: bytes, servers: Sequence[IStorageServer]
    ) -> tuple[Held, Sequence[IStorageServer]]:
        """
        Return the finished shares of a file by server, and the servers without an answer.

        One that has no shares answered.
        """
        skipped: set[IStorageServer] = set()
        if self._may_skip(servers):
            skipped = self._silent & self._under_way.keys()
        question = Round(
            [server for server in servers if server not in skipped],
            self._clock,
            lambda _: self._may_skip(servers),
            self._silent,
            grace=False,
        )

        async def look(server: IStorageServer) -> Mapping[int, IShareReader]:
            self._under_way[server] += 1
            try:
                return await server.buckets(storage_index)
            except TooSlow:
                self._be_silent(server)
                raise
            finally:
                self._under_way[server] -= 1
                if not self._under_way[server]:
                    del self._under_way[server]

        self._rounds.add(question)
        try:
            held = await question.ask(look)
        finally:
            self._rounds.discard(question)
        return held, [server for server in servers if server not in held]

    def _may_skip(self, servers: Sequence[IStorageServer]) -> bool:
        """Whether silent ones are not waited for: of many our own line may be the fault."""
        return 3 * len(self._silent.intersection(servers)) <= len(servers)

    def _be_silent(self, server: IStorageServer) -> None:
        self._silent.add(server)
        for each in list(self._rounds):
            each.look_again()
