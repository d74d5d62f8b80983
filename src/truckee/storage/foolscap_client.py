"""A storage server somewhere else, reached over foolscap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, ClassVar

from attrs import Factory, define, field
from foolscap.api import Referenceable
from foolscap.constraint import ByteStringConstraint
from twisted.internet.defer import Deferred
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Corrupt, Unavailable
from truckee.storage import foolscap_calls
from truckee.storage.channel_frames import Kind
from truckee.storage.foolscap_kept_client import FoolscapKeptClient
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    INTERFACES,
    MAX_SHARE_SIZE,
    PROTOCOL,
)
from truckee.storage.foolscap_slot_client import FoolscapSlotClient
from truckee.storage.interfaces import (
    Allocation,
    BadAnswer,
    IDirectShares,
    IKeptShares,
    IShareReader,
    IShareWriter,
    ISlotServer,
    IStorageServer,
)
from truckee.storage.server_channels import ServerChannels


@implementer(IStorageServer)
@define(eq=False)
class FoolscapServer:
    """
    One server.  Whoever keeps the connection sets ``remote`` when it comes and goes.

    Calls fail at once while there is no connection, and with it.  *knock* is called when
    somebody asked in vain.
    """

    name: str
    permutation_seed: bytes
    lease_seed: bytes
    takes_open_ends: ClassVar[bool] = True
    durable: bool = field(default=False, init=False)  # as it says when it is reached
    remote: Any = field(default=None, repr=False)  # foolscap's RemoteReference
    knock: Callable[[], None] = field(default=lambda: None, init=False, repr=False)
    _mutable: FoolscapSlotClient = Factory(
        lambda self: FoolscapSlotClient(self.name, self.ask), takes_self=True
    )
    # Foolscap holds it for the time of an upload, as the server's token of our connection.
    _canary: Referenceable = field(factory=Referenceable, init=False, repr=False)
    _keeps_shares: bool = field(default=False, init=False)  # as it says too
    _direct_shares: bool = field(default=False, init=False)  # as it says too
    channels: ServerChannels = field(
        default=Factory(
            lambda self: ServerChannels(self.name, self.ask, self._canary), takes_self=True
        ),
        init=False,
    )
    _keeper: FoolscapKeptClient = Factory(
        lambda self: FoolscapKeptClient(self.name, self.ask, self._canary, self.channels),
        takes_self=True,
    )

    @property
    def slots(self) -> ISlotServer | None:
        """See ``IStorageServer``."""
        return self._mutable if self._mutable.max_share_size else None

    @property
    def kept(self) -> IKeptShares | None:
        """See ``IStorageServer``."""
        return self._keeper if self._keeps_shares else None

    @property
    def direct(self) -> IDirectShares | None:
        """See ``IStorageServer``."""
        return FoolscapDirectShares(self) if self._direct_shares else None

    def hear(
        self,
        durable: bool,
        max_slot_share: int,
        keeps_shares: bool = False,
        direct_shares: bool = False,
    ) -> None:
        """Take in what the server says of itself when it is reached."""
        self.durable = durable
        self._mutable.max_share_size = max_slot_share
        self._keeps_shares = keeps_shares
        self._direct_shares = direct_shares

    async def available_space(self) -> int:
        """See ``IStorageServer``."""
        version = await self.call(self.remote, "get_version")
        known = version.get(PROTOCOL)
        if not isinstance(known, dict):
            raise BadAnswer(self.name, "get_version")
        space = known.get(AVAILABLE_SPACE, known.get(MAX_SHARE_SIZE))
        if not isinstance(space, int):
            raise BadAnswer(self.name, "get_version")
        return space

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """
        See ``IStorageServer``.

        The protocol knows no open end: such a share is allocated at its largest size,
        and closed early; the server keeps it sparse.
        """
        already, writers = await self.ask(
            "allocate_buckets",
            storage_index,
            secrets.renew,
            secrets.cancel,
            set(shares),
            size,
            self._canary,
            # The server does not know who is cancelled: what it allocates is given back.
            late=self._give_back,
        )
        return Allocation(
            already,
            # A server might offer what was not asked for.
            {
                share: FoolscapWriter(self, writer)
                for share, writer in writers.items()
                if share in shares
            },
        )

    def _give_back(self, answer: tuple[object, Mapping[int, Any]]) -> None:
        for remote in answer[1].values():
            done = Deferred.fromCoroutine(FoolscapWriter(self, remote).abort())
            done.addErrback(lambda _: None)

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        """See ``IStorageServer``."""
        self.channels.prepare(Kind.READ)
        found = await self.call(self.remote, "get_buckets", storage_index)
        return {
            share: FoolscapReader(self, reader, storage_index, share)
            for share, reader in found.items()
        }

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``IStorageServer``."""
        await self.call(
            self.remote, "add_lease", storage_index, secrets.renew, secrets.cancel
        )

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``IStorageServer``."""
        text = reason.encode("utf-8")
        await self.call(
            self.remote, "advise_corrupt_share", b"immutable", storage_index, share, text
        )

    async def ask(
        self,
        method: str,
        *arguments: object,
        only: Any = None,
        late: Callable[[Any], None] | None = None,
    ) -> Any:
        """Return the answer of the server; see ``call``."""
        if self.remote is None:
            self.knock()
        return await self.call(self.remote, method, *arguments, only=only, late=late)

    async def call(
        self,
        remote: Any,
        method: str,
        *arguments: object,
        only: Any = None,
        late: Callable[[Any], None] | None = None,
    ) -> Any:
        """Return the answer of *remote*, an object over there; see ``foolscap_calls``."""
        interface = INTERFACES[method]
        return await foolscap_calls.call(
            self.name, remote, interface, method, *arguments, only=only, late=late
        )


@implementer(IDirectShares)
@define(eq=False)
class FoolscapDirectShares:
    """Shares over there, in one call each."""

    far: ClassVar[bool] = True
    _server: FoolscapServer

    async def store(
        self, storage_index: bytes, secrets: LeaseSecrets, share: int, data: bytes
    ) -> bool:
        """See ``IDirectShares``."""
        method = "truckee_store_share"
        stored = await self._server.ask(
            method, storage_index, secrets.renew, secrets.cancel, share, data
        )
        if stored not in (0, 1):
            raise BadAnswer(self._server.name, method)
        return bool(stored)

    async def read(
        self, storage_index: bytes, share: int, offset: int, length: int
    ) -> bytes:
        """See ``IDirectShares``."""
        data: bytes = await self._server.ask(
            "truckee_read_share",
            storage_index,
            share,
            offset,
            length,
            only=ByteStringConstraint(length),
        )
        return data


@implementer(IShareWriter)
@define(eq=False)
class FoolscapWriter:
    """A share in progress over there."""

    _server: FoolscapServer
    _remote: Any = field(repr=False)
    _open: bool = field(default=True, init=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        data = b"".join(parts)
        if data:  # a server refuses an empty write
            await self._server.call(self._remote, "write", offset, data)

    async def close(self, size: int) -> None:
        """See ``IShareWriter``; the file over there keeps its allocated length."""
        await self._server.call(self._remote, "close")
        self._open = False

    async def abort(self) -> None:
        """See ``IShareWriter``; without a connection the server has done it already."""
        if self._open:
            self._open = False
            try:
                await self._server.call(self._remote, "abort")
            except (Unavailable, Corrupt):
                return


@implementer(IShareReader)
@define(eq=False)
class FoolscapReader:
    """A finished share over there."""

    _server: FoolscapServer
    _remote: Any = field(repr=False)
    _storage_index: bytes
    _share: int

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        found = await self._server.channels.read(
            self._storage_index, self._share, offset, length
        )
        if found is not None:
            return found
        # Of a longer answer nothing is kept in memory.
        only = ByteStringConstraint(length)
        data: bytes = await self._server.call(
            self._remote, "read", offset, length, only=only
        )
        return data
