"""How many connections may wait to be accepted."""

from __future__ import annotations

import socket

from twisted.internet.interfaces import IListeningPort

# All that a burst brings while one turn of the event loop takes long.  Those for whom there
# is no place are tried again by the client's system: after a second, then after three.
# One client takes Twisted's 50 in a millisecond.  The system has a limit of its own.
WAITING = 1024


def let_wait(port: IListeningPort, description: str) -> None:
    """Let enough wait at *port*, unless its endpoint's *description* says how many."""
    listening = getattr(port, "socket", None)
    if isinstance(listening, socket.socket) and "backlog=" not in description:
        # Systems take the number of a socket that listens already, too.
        listening.listen(WAITING)
