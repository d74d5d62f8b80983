"""
What one introducer has told of servers, within bounds.  Pure: time is an argument.

Whoever is in a grid can announce servers, as many and as often as he likes.
"""

from __future__ import annotations

from attrs import define, field

from truckee.grid.announcements import Announcement, is_newer

MAX_SERVERS = 1000  # of one introducer; grids have some tens
MAX_BYTES = 4 << 20  # of all that they say

# A server that announces something new is listened to so often at once, and then once in
# so many seconds; the last thing it said is never lost.
BURST = 3
INTERVAL = 60.0  # seconds


@define(eq=False)
class _Server:
    known: Announcement
    size: int  # bytes of what it said
    credit: float  # changes that are taken at once
    since: float  # seconds, when that was so
    later: tuple[Announcement, int] | None = None


@define(eq=False)
class Announced:
    """The announcements that count now, and those that will later."""

    refused: int = field(default=0, init=False)  # servers for which there was no room
    _servers: dict[str, _Server] = field(factory=dict, init=False, repr=False)
    _waiting: set[str] = field(factory=set, init=False)  # servers with something later
    _bytes: int = field(default=0, init=False)

    @property
    def known(self) -> dict[str, Announcement]:
        """What was said last, by server."""
        return {name: server.known for name, server in self._servers.items()}

    def take(self, news: Announcement, size: int, now: float) -> bool:
        """Return whether *news* of *size* bytes counts at once."""
        server = self._servers.get(news.server_id)
        if server is None:
            if len(self._servers) >= MAX_SERVERS or self._bytes + size > MAX_BYTES:
                self.refused += 1
                return False
            self._servers[news.server_id] = _Server(news, size, BURST - 1, now)
            self._bytes += size
            return True
        last = server.later[0] if server.later is not None else server.known
        if not is_newer(news, last):
            return False
        if self._bytes + size - server.size > MAX_BYTES:
            self.refused += 1
            return False
        server.credit = min(BURST, server.credit + (now - server.since) / INTERVAL)
        server.since = now
        if server.credit < 1:
            server.later = news, size
            self._waiting.add(news.server_id)
            return False
        self._apply(server, news, size)
        return True

    def due(self, now: float) -> list[Announcement]:
        """Return what counts from now on, of what was said earlier."""
        found = []
        for name in sorted(self._waiting):
            server = self._servers[name]
            if server.later is None or self._wait(server, now) > 0:
                continue
            server.credit = min(BURST, server.credit + (now - server.since) / INTERVAL)
            server.since = now
            news, size = server.later
            self._apply(server, news, size)
            found.append(news)
        return found

    def wait(self, now: float) -> float | None:
        """Return in how many seconds something is due; None: nothing will be."""
        waits = [self._wait(self._servers[name], now) for name in self._waiting]
        return min(waits, default=None)

    def _wait(self, server: _Server, now: float) -> float:
        return max(0.0, (1 - server.credit) * INTERVAL - (now - server.since))

    def _apply(self, server: _Server, news: Announcement, size: int) -> None:
        self._bytes += size - server.size
        server.known, server.size, server.later = news, size, None
        server.credit -= 1
        self._waiting.discard(news.server_id)
