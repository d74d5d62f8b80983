"""
Over what the messages of an upload go to a helper: foolscap, or a share channel beside it.

Source: ``docs/formats/helper-push.md``, "Beside foolscap".
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.flow.changes import Changes
from truckee.helper.gateway.push_session import LARGEST, Line, Message
from truckee.helper.protocol import RIPushUpload
from truckee.helper.wire import OK, Pushed
from truckee.net.foolscap.checked_calls import call
from truckee.storage.channel_frames import Kind
from truckee.storage.interfaces import CallFailed
from truckee.storage.server_channels import ServerChannels

log = Logger()

# A channel costs a handshake and a thread at each end: less than this goes without one.
_WORTH = 2 << 20  # bytes


@define(eq=False)
class PushWay:
    """
    To one upload at a helper, over one connection.

    All messages arrive in the order of their offsets: a channel is taken when nothing is on
    its way over foolscap, and what a channel loses goes over foolscap again at once.
    """

    _upload: Any = field(repr=False)  # foolscap's reference
    _storage_index: bytes
    _channels: ServerChannels
    _handle: bytes = field(default=b"", init=False, repr=False)  # of the upload
    _asked: bool = field(default=False, init=False)  # for the handle
    _beside: bool = field(default=False, init=False)  # messages go over a channel
    _under_way: int = field(default=0, init=False)  # messages on a channel
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    def choose(self, on_their_way: bool) -> bool:
        """Choose for the next message; return whether it may go now."""
        ready = bool(self._handle) and self._channels.is_open(Kind.WRITE)
        if ready and not self._beside and on_their_way:
            return False
        self._beside = ready
        return True

    def carried(self, line: Line) -> None:
        """So much went over *line*: open a channel if it is worth one."""
        if line.message >= LARGEST and line.delivered >= _WORTH:
            self._channels.prepare(Kind.WRITE)
            if not self._asked and self._channels.is_open(Kind.WRITE):
                self._asked = True
                asking = Deferred.fromCoroutine(self._ask())
                asking.addErrback(
                    lambda failure: log.debug(
                        "Nothing is pushed over a channel: {error}",
                        error=repr(failure.value),
                    )
                )

    async def _ask(self) -> None:
        self._handle = await call(self._upload, RIPushUpload, "handle")

    async def push(self, message: Message) -> Pushed:
        """Return what the helper says; the errors are foolscap's."""
        if self._beside and await self._push_beside(message):
            return Pushed(message.offset + message.size, OK)
        answer = await call(
            self._upload, RIPushUpload, "push", message.offset, message.data
        )
        return Pushed.from_wire(answer)

    async def landed(self) -> None:
        """Return when nothing is on its way over a channel, which calls would overtake."""
        await self._changes.until(lambda: not self._under_way)

    async def _push_beside(self, message: Message) -> bool:
        """Tell whether the helper has *message* now."""
        self._under_way += 1
        try:
            return await self._channels.write(
                self._storage_index, 0, self._handle, message.offset, [message.data]
            )
        except CallFailed:
            # Over foolscap the helper says what is wrong.
            return False
        finally:
            self._under_way -= 1
            self._changes.wake()
