"""Calls of objects of a storage server over foolscap, whose errors are ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foolscap.api import DeadReferenceError, RemoteException, Violation
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionLost

from truckee.net.foolscap import checked_calls
from truckee.storage.interfaces import BadAnswer, CallFailed, NotConnected

_MAX_REASON = 200  # characters of what a peer says of its error
_MAX_KIND = 50  # and of its name


async def call(
    server: str,
    remote: Any,
    interface: Any,
    method: str,
    *arguments: object,
    only: Any = None,
    late: Callable[[Any], None] | None = None,
) -> Any:
    """
    Return the answer of *remote*, an object of *server*; None: it has no connection.

    What foolscap's constraint *only* refuses is no answer.  Who is cancelled has an answer
    that still comes given to *late*.
    """
    if remote is None:
        raise NotConnected(server)
    answer = checked_calls.call(remote, interface, method, *arguments, only=only)
    if late is None:
        return await _errors(server, method, answer)
    answered: Deferred[Any] = Deferred()
    answer.addBoth(_hand_over, answered)
    try:
        return await _errors(server, method, answered)
    except CancelledError:
        answer.addCallbacks(late, lambda _: None)
        raise


def _hand_over(result: Any, answered: Deferred[Any]) -> Any:
    """Give *result* to whoever waits for it, or pass it on when nobody does any more."""
    if answered.called:
        return result
    return answered.callback(result)


async def _errors(server: str, method: str, answer: Deferred[Any]) -> Any:
    """Return *answer*, or raise one of our errors for foolscap's."""
    try:
        return await answer
    except (DeadReferenceError, ConnectionLost, ConnectError):
        raise NotConnected(server) from None
    except RemoteException as error:
        # The peer's own words: not to be believed, nor to be long.
        reason = str(error.failure.getErrorMessage()).partition("\n")[0]
        kind = str(getattr(error.failure.type, "__name__", ""))
        raise CallFailed(
            server, method, ascii(reason[:_MAX_REASON]), kind[:_MAX_KIND]
        ) from None
    except Violation:
        raise BadAnswer(server, method) from None
