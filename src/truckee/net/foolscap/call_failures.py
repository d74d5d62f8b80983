"""What becomes of a call to a peer that fails."""

from __future__ import annotations

from typing import Any

from foolscap.api import DeadReferenceError, RemoteException
from twisted.internet.error import ConnectError, ConnectionLost

# What a stock helper says of servers that are missing fits in.
_MOST = 400  # characters


def is_lost(error: Exception) -> bool:
    """Tell whether the connection is gone; what became of the call is not known then."""
    return isinstance(error, (DeadReferenceError, ConnectionLost, ConnectError))


def tub_of(reference: Any) -> bytes:
    """
    Return the id of the tub at the other end of a reference that a peer sent.

    TLS proved it; references to objects of third parties are not accepted.
    """
    return str(reference.getRemoteTubID()).encode("ascii")


def reason_of(error: Exception) -> str:
    """Return what a peer says of its error: not to be believed, nor to be long."""
    text = str(error)
    if isinstance(error, RemoteException):
        text = error.failure.getErrorMessage()
    return ascii(text.partition("\n")[0][:_MOST])[1:-1]
