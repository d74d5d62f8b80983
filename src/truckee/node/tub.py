"""Foolscap tubs, as a node needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foolscap.api import Tub
from foolscap.broker import Broker
from foolscap.tokens import BananaError

from truckee.codec.geometry import MAX_SEGMENT_SIZE
from truckee.node.keys import BadSecret

# Seconds of silence before a peer is asked whether it lives, and before it counts as gone.
# A write of a megabyte on a thin line is not silence: bytes keep coming.
KEEPALIVE = 60
DISCONNECT = 300

# The same on a line to a helper, where a dead peer keeps an upload from going on.
HELPER_KEEPALIVE = 30
HELPER_DISCONNECT = 90

# What is kept of one string that is not whole yet: a block of a file with k = 1 is the
# longest there is, and fits in.
MOST = MAX_SEGMENT_SIZE + (1 << 20)  # bytes
# Lists within lists; no message of ours or of stock nodes has half as many.
DEEPEST = 32


class _Broker(Broker):  # type: ignore[misc]
    """A connection whose peer cannot fill our memory, nor our stack."""

    def handleData(self, chunk: bytes) -> None:
        Broker.handleData(self, chunk)
        if len(self.buffer) > MOST:
            raise BananaError("a string is too long")

    def handleOpen(self, *arguments: object) -> None:
        if len(self.receiveStack) > DEEPEST:
            raise BananaError("lists are too deep")
        Broker.handleOpen(self, *arguments)


def make_tub(
    certificate: Path | None, keepalive: int = KEEPALIVE, disconnect: int = DISCONNECT
) -> Any:
    """
    Return a tub that is not started: with a lasting identity, or with a new one.

    *certificate* is made when there is none yet.  :raises BadSecret: when it is damaged.
    """
    try:
        tub = Tub() if certificate is None else Tub(certFile=str(certificate))
    except Exception:
        if certificate is None:
            raise
        raise BadSecret(certificate, "it is not a certificate and its key") from None
    tub.brokerClass = _Broker
    # With exposed types a remote error cannot be awaited.
    tub.setOption("expose-remote-exception-types", False)
    tub.setOption("accept-gifts", False)
    tub.setOption("keepaliveTimeout", keepalive)
    tub.setOption("disconnectTimeout", disconnect)
    # Our tracebacks, with the paths in them, are not for strangers.
    tub.unsafeTracebacks = False
    return tub
