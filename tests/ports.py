"""Ports for the servers that tests start, which no other process takes meanwhile."""

from __future__ import annotations

import random
import socket
from collections import deque
from contextlib import closing

# Below those that systems give to connections and to who asks for any port.
_FIRST, _LAST = 15_000, 32_000
# For each port a UDP socket, which marks it for all tests as long as this process runs.
_marks: deque[socket.socket] = deque(maxlen=64)


def free_port() -> int:
    """Return a port of this process alone, on which nothing listens."""
    while True:
        port = random.randrange(_FIRST, _LAST)
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        if len(_marks) == _marks.maxlen:
            _marks.popleft().close()
        _marks.append(mark)
        return port


def free_ports(count: int) -> list[int]:
    """Return as many."""
    return [free_port() for _ in range(count)]
