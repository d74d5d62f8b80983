"""
Shares in progress that a server somewhere else keeps, reached over foolscap.

Source: ``docs/formats/kept-shares.md``, "Over foolscap".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, ClassVar

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Corrupt, Unavailable
from truckee.flow.together import Work
from truckee.storage import foolscap_calls
from truckee.storage.channel_frames import Kind
from truckee.storage.foolscap_schema import RIKeptShareWriter
from truckee.storage.interfaces import (
    MAX_KEPT_SIZE,
    BadAnswer,
    IKeptShares,
    IKeptWriter,
    Opened,
)
from truckee.storage.server_channels import ServerChannels

_UNFINISHED = "truckee_unfinished_shares"
_OPEN = "truckee_open_shares"


@implementer(IKeptShares)
@define(eq=False)
class FoolscapKeptClient:
    """
    The kept shares of one server.

    *ask* calls a method of the server: its name, the arguments, and as *late* what gets an
    answer for which nobody waits any more.
    """

    far: ClassVar[bool] = True
    name: str
    _ask: Callable[..., Work[Any]] = field(repr=False)
    _canary: Referenceable = field(repr=False)  # tells the server that we are gone
    _channels: ServerChannels

    async def unfinished(
        self, storage_index: bytes, upload_secret: bytes
    ) -> Mapping[int, int]:
        """See ``IKeptShares``."""
        found: dict[int, int] = await self._ask(_UNFINISHED, storage_index, upload_secret)
        for share, length in found.items():
            if not (0 <= share < 256 and 0 <= length <= MAX_KEPT_SIZE):
                raise BadAnswer(self.name, _UNFINISHED)
        return found

    async def open(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        """See ``IKeptShares``."""
        self._channels.prepare(Kind.WRITE)
        answer = await self._ask(
            _OPEN,
            storage_index,
            secrets.renew,
            secrets.cancel,
            upload_secret,
            set(shares),
            size,
            open_ended,
            brief,
            self._canary,
            late=self._leave,
        )
        already, opened = answer
        if not shares >= opened.keys() or not all(
            0 <= length <= size for _, length, _ in opened.values()
        ):
            self._leave(answer)
            raise BadAnswer(self.name, _OPEN)
        writers = {
            share: FoolscapKeptWriter(
                self.name,
                remote,
                length,
                partial(self._channels.write, storage_index, share, handle),
            )
            for share, (remote, length, handle) in opened.items()
        }
        return Opened(already, writers)

    def _leave(self, answer: tuple[Any, Mapping[int, tuple[Any, int, bytes]]]) -> None:
        """Have the server keep what it opened for nobody."""
        for remote, length, _ in answer[1].values():
            writer = FoolscapKeptWriter(self.name, remote, length)
            done = Deferred.fromCoroutine(writer.leave())
            done.addErrback(lambda _: None)


async def no_channel(offset: int, parts: Sequence[Buffer]) -> bool:
    """Take nothing."""
    return False


@implementer(IKeptWriter)
@define(eq=False)
class FoolscapKeptWriter:
    """A share in progress over there, which outlives its writer."""

    _server: str
    _remote: Any = field(repr=False)
    length: int  # bytes
    _channel: Callable[[int, Sequence[Buffer]], Work[bool]] = field(
        default=no_channel, repr=False
    )
    _open: bool = field(default=True, init=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        if not any(map(len, parts)):
            return  # a server refuses an empty write
        if not await self._channel(offset, parts):
            await self._call("write", offset, b"".join(parts))

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        await self._call("close", size)
        self._open = False

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        """See ``IKeptWriter``."""
        hashes: list[bytes] = await self._call("hashes", offset, piece, count)
        if len(hashes) > count:
            raise BadAnswer(self._server, "hashes")
        return hashes

    async def abort(self) -> None:
        """See ``IShareWriter``; without a connection the server keeps it."""
        await self._end("abort")

    async def leave(self) -> None:
        """See ``IKeptWriter``; without a connection the server has done it already."""
        await self._end("leave")

    async def _end(self, method: str) -> None:
        if self._open:
            self._open = False
            try:
                await self._call(method)
            except (Unavailable, Corrupt):
                return

    async def _call(self, method: str, *arguments: object) -> Any:
        return await foolscap_calls.call(
            self._server, self._remote, RIKeptShareWriter, method, *arguments
        )
