"""Foolscap tubs, as a node needs them."""

from __future__ import annotations

from time import monotonic
from typing import Any

from foolscap.api import Tub

from truckee.net.foolscap.broker import BoundedBroker
from truckee.net.foolscap.connection_bounds import ConnectionBounds

# Seconds of silence before a peer is asked whether it lives, and before it counts as gone.
# A write of a megabyte on a thin line is not silence: bytes keep coming.
KEEPALIVE = 60
DISCONNECT = 300

# The same on a line to a helper, where a dead peer keeps an upload from going on.
HELPER_KEEPALIVE = 30
HELPER_DISCONNECT = 90


def make_tub(
    certificate: bytes | None,
    keepalive: int = KEEPALIVE,
    disconnect: int = DISCONNECT,
    bounds: ConnectionBounds | None = None,
) -> Any:
    """
    Return a tub that is not started: with a lasting identity, or with a new one.

    All its connections share *bounds*, which several tubs may have together.

    *certificate* and its key are in PEM.  :raises ValueError: when they are damaged.
    """
    try:
        # Foolscap would make a new one in place of a file that cannot be read just now.
        tub = Tub() if certificate is None else Tub(certData=certificate)
    except Exception:
        if certificate is None:
            raise
        raise ValueError("it is not a certificate and its key") from None
    tub.brokerClass = BoundedBroker
    tub.bounds = bounds or ConnectionBounds(monotonic)
    tub.bounds_known = lambda transport: None
    # With exposed types a remote error cannot be awaited.
    tub.setOption("expose-remote-exception-types", False)
    tub.setOption("accept-gifts", False)
    tub.setOption("keepaliveTimeout", keepalive)
    tub.setOption("disconnectTimeout", disconnect)
    # Our tracebacks, with the paths in them, are not for strangers.
    tub.unsafeTracebacks = False
    return tub
