"""The one place where a slow reader becomes a pause."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from truckee.flow.changes import Changes


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
    _changes: Changes = field(factory=Changes, init=False, repr=False)

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
            await self._changes.once()

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._paused = False
        self._changes.wake()

    def stopProducing(self) -> None:
        """The transport is gone; the request's end cancels the writer."""
