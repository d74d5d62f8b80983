"""
Uploads that gateways push to over share channels, beside foolscap.

Source: ``docs/formats/helper-push.md``, "Beside foolscap".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field, frozen

from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Unavailable
from truckee.flow.together import Work
from truckee.helper.wire import CLOSED, Pushed
from truckee.storage.channel_server import ShareChannels


@define
class NoPushChannels(Unavailable):
    """There are no channels to this helper: these calls go over foolscap."""


@define
class PushRefused(Misuse):
    """The helper did not take this: {code}. Over foolscap it says the same again."""

    code: str


class Push(Protocol):
    """One gateway's part in an upload."""

    async def push(self, offset: int, data: Buffer) -> Pushed:
        """Take *data* at *offset*; whatever is wrong is a code."""


@define(eq=False)
class PushHandles:
    """Names that only the gateway of an upload knows."""

    channels: ShareChannels | None = field(default=None, init=False)  # None: there are none
    _pushes: dict[bytes, Push] = field(factory=dict, init=False, repr=False)

    def new(self, push: Push) -> bytes:
        """Return a handle for *push*.  :raises NoPushChannels:"""
        if self.channels is None:
            raise NoPushChannels
        handle = self.channels.new_handle()
        self._pushes[handle] = push
        return handle

    def forget(self, handle: bytes) -> None:
        """Take nothing more under *handle*, if it is one."""
        self._pushes.pop(handle, None)

    def sink(self, handle: bytes) -> PushSink | None:
        """Return what is pushed to under *handle*."""
        if handle not in self._pushes or self.channels is None:
            return None
        return PushSink(self, handle, self.channels.in_loop)

    async def push(self, handle: bytes, offset: int, data: Buffer) -> None:
        """Have *data* taken, whole.  :raises PushRefused:"""
        push = self._pushes.get(handle)
        code = CLOSED if push is None else (await push.push(offset, data)).code
        if code:
            raise PushRefused(code.decode("ascii"))


@frozen(eq=False)
class PushSink:
    """An upload, for the thread of a channel, which remembers it for longer than it is."""

    _handles: PushHandles
    _handle: bytes = field(repr=False)
    _in_loop: Callable[[Callable[[], Work[None]]], Any]

    def write_here(self, offset: int, data: Buffer) -> None:
        """See ``Sink``.  :raises PushRefused:"""
        self._in_loop(lambda: self._handles.push(self._handle, offset, data))
