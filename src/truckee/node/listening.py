"""Where other nodes reach this one: endpoints, and what others are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from truckee.flow.backlog import let_wait
from truckee.node.config_values import endpoint_text
from truckee.node.interfaces import automatic_hints, local_addresses


@implementer(IStreamServerEndpoint)
@define(eq=False)
class WatchedEndpoint:
    """An endpoint that tells us, too, how listening went; foolscap only logs it."""

    _endpoint: IStreamServerEndpoint
    _description: str
    listening: Deferred[None] = field(factory=Deferred, init=False)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        done: Deferred[IListeningPort] = self._endpoint.listen(factory)

        def tell(result: Any) -> Any:
            let_wait(result, self._description)
            self.listening.callback(None)
            return result

        def tell_failure(failure: Any) -> None:
            # Foolscap would have it logged with a traceback, and does not need it.
            self.listening.errback(failure)

        done.addCallbacks(tell, tell_failure)
        return done


def connection_hints(location: str, port: str) -> Sequence[str]:
    """Return connection hints, with AUTO replaced by this machine's addresses."""
    hints = []
    for hint in location.split(","):
        if hint.strip().upper() != "AUTO":
            hints.append(hint.strip())
            continue
        for description in port.split(","):
            hints += automatic_hints(endpoint_text(description), local_addresses())
    return list(dict.fromkeys(hints))
