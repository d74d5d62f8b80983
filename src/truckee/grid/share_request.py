"""What servers are asked that are to take shares of one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.codec.secrets import LeaseSecrets, upload_secret
from truckee.grid.asking import Round, most
from truckee.storage.direct_client import DirectWriter
from truckee.storage.interfaces import (
    MAX_DIRECT_SHARE,
    Allocation,
    IKeptShares,
    IKeptWriter,
    IShareWriter,
    IStorageServer,
    NoSpace,
    NotConnected,
    Opened,
)


class Keep(Enum):
    """For how long servers are to keep shares that were cut off."""

    NOT = "not"
    # As long as the upload lasts that writes them; no later run continues them.
    BRIEFLY = "briefly"
    LONG = "long"  # another run continues them


@frozen(eq=False)
class ShareRequest:
    """
    Shares of *size* bytes each, or at most that if *open_ended*.

    They are to outlive a cut, on servers that keep shares in progress, as *keep* says.
    """

    storage_index: bytes
    size: int
    open_ended: bool
    keep: Keep
    _secrets: Callable[[IStorageServer], LeaseSecrets] = field(repr=False)
    fresh: bool = False  # the storage index is new: nobody has shares of it

    async def ask(self, server: IStorageServer, shares: Set[int]) -> Allocation:
        """
        Have *server* take *shares*; see ``IStorageServer.allocate``.

        Short shares of a fresh file are offered only when they are closed, to servers that
        take them in one call.
        """
        direct = server.direct
        if direct is not None and direct.far and self._is_short:
            secrets = self._secrets(server)
            return Allocation(
                set(),
                {
                    share: DirectWriter(
                        server.name, direct, self.storage_index, secrets, share, self.size
                    )
                    for share in shares
                },
            )
        kept = server.kept
        # In this process nothing is cut off, and to write again costs little.
        if kept is not None and kept.far and self.keep is not Keep.NOT:
            return await self._open(kept, server, shares)
        secrets = self._secrets(server)
        return await server.allocate(
            self.storage_index, secrets, shares, self.size, self.open_ended
        )

    @property
    def _is_short(self) -> bool:
        lasts = self.keep is not Keep.NOT or self.open_ended
        return self.fresh and not lasts and self.size <= MAX_DIRECT_SHARE

    async def _open(
        self, kept: IKeptShares, server: IStorageServer, shares: Set[int]
    ) -> Opened:
        index, secrets = self.storage_index, self._secrets(server)
        own = upload_secret(secrets)
        brief = self.keep is Keep.BRIEFLY
        return await kept.open(
            index, secrets, own, shares, self.size, self.open_ended, brief
        )

    async def one(self, share: int, server: IStorageServer) -> IShareWriter:
        """Have *server* take one more share.  :raises NoSpace: when it does not."""
        answer = await self.ask(server, {share})
        if share not in answer.writers:
            raise NoSpace(server.name)
        return answer.writers[share]

    async def again(self, share: int, server: IStorageServer) -> IKeptWriter | None:
        """
        Continue a share that *server* keeps; None when it is finished.

        :raises NotConnected: :raises NoSpace: when that cannot be done, or not now.
        """
        if server.kept is None:
            raise NotConnected(server.name)
        answer = await self._open(server.kept, server, {share})
        if share in answer.already:
            return None
        if share not in answer.writers:
            raise NoSpace(server.name)
        return answer.writers[share]

    async def unfinished(
        self,
        servers: Sequence[IStorageServer],
        total: int,
        clock: IReactorTime,
        silent: set[IStorageServer],
    ) -> dict[int, IStorageServer]:
        """
        Return which of *servers* keeps the most of each of *total* shares.

        Nobody is asked where no earlier run can have left any.  Of those who are *silent*
        see ``Round``.
        """
        able = [
            server
            for server in servers
            if self.keep is Keep.LONG and server.kept is not None and server.kept.far
        ]
        found = await Round(able, clock, most(able), silent).ask(self._unfinished)
        best: dict[int, tuple[int, IStorageServer]] = {}
        for server in able:
            for share, length in found.get(server, {}).items():
                if 0 <= share < total and length > best.get(share, (0, server))[0]:
                    best[share] = length, server
        return {share: server for share, (_, server) in best.items()}

    async def _unfinished(self, server: IStorageServer) -> Mapping[int, int]:
        if server.kept is None:
            return {}
        own = upload_secret(self._secrets(server))
        return await server.kept.unfinished(self.storage_index, own)

    async def forget(self, server: IStorageServer) -> None:
        """Have *server* remove what it keeps of these shares."""
        found = await self._unfinished(server)
        if found and server.kept is not None:
            opened = await self._open(server.kept, server, found.keys())
            for writer in opened.writers.values():
                await writer.abort()
