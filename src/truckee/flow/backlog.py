"""How many connections may wait to be accepted, and how many are in one turn."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IListeningPort

# All that a burst brings while one turn of the event loop takes long.  Those for whom there
# is no place are tried again by the client's system: after a second, then after three.
# One client takes Twisted's 50 in a millisecond.  The system has a limit of its own.
WAITING = 1024
# A few milliseconds of a turn of the event loop; Twisted takes 20 more in each turn as long
# as more come, and whoever was accepted before waits for all of them, once a step.
IN_ONE_TURN = 16


def let_wait(port: IListeningPort, description: str) -> None:
    """
    Let enough wait at *port*, and accept them little by little.

    How many wait is as its endpoint's *description* says, if it does.
    """
    _accept_little(port)
    listening = getattr(port, "socket", None)
    if isinstance(listening, socket.socket) and "backlog=" not in description:
        # Systems take the number of a socket that listens already, too.
        listening.listen(WAITING)


def _accept_little(port: Any) -> None:
    accept = getattr(port, "doRead", None)
    if accept is None:
        return

    def accept_some() -> None:
        port.numberAccepts = min(port.numberAccepts, IN_ONE_TURN)
        accept()

    port.doRead = accept_some
