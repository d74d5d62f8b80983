"""The one place where a slow reader becomes a pause."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
@define(eq=False)
class Outbound:
    """
    Write to a transport no faster than it takes.

    Use it as a context manager; its end unregisters it.  When the transport goes away,
    whoever waits here is expected to be cancelled.
    """

    _consumer: IConsumer
    _paused: bool = field(default=False, init=False)
    _waiting: Deferred[None] | None = field(default=None, init=False)

    def __enter__(self) -> Outbound:
        self._consumer.registerProducer(self, True)
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.unregisterProducer()

    async def write(self, data: bytes) -> None:
        """Hand *data* over and return when the transport can take more."""
        self._consumer.write(data)
        del data
        while self._paused:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The transport is gone; the request's end cancels the writer."""
