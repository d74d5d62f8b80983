"""Reports of damaged shares to the operators of servers."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.mutable.versions import Place

log = Logger()

_REMEMBERED = 1000  # shares that were reported and are not reported again
# Of one server in flight: it may claim to have any number of shares.
_IN_FLIGHT = 4


@define(eq=False)
class Advisories:
    """
    Report damaged shares to their servers, in the background and each of them once.

    Nobody waits for a server that does not answer; one that has several reports to answer
    gets no more.
    """

    _sent: OrderedDict[tuple[bytes, Place], None] = field(
        factory=OrderedDict, init=False, repr=False
    )
    _waiting: dict[object, int] = field(factory=dict, init=False, repr=False)

    def send(self, storage_index: bytes, place: Place, reason: str) -> None:
        """Log what is wrong with a share and report it."""
        key = storage_index, place
        if key in self._sent or self._waiting.get(place.server, 0) >= _IN_FLIGHT:
            return
        log.warn(
            "Share {share} on {server} is not usable: {reason}",
            share=place.number,
            server=place.server.name,
            reason=reason,
        )
        self._sent[key] = None
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        Deferred.fromCoroutine(self._send(storage_index, place, reason))

    async def _send(self, storage_index: bytes, place: Place, reason: str) -> None:
        server = place.server
        slots = server.slots
        if slots is None:
            return
        self._waiting[server] = self._waiting.get(server, 0) + 1
        try:
            await slots.advise_corrupt(storage_index, place.number, reason)
        except Exception as error:
            log.warn(
                "{server} took no advice: {error}", server=server.name, error=str(error)
            )
        finally:
            self._waiting[server] -= 1
            if not self._waiting[server]:
                del self._waiting[server]
