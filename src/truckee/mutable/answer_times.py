"""How soon servers answered, in all maps of a node."""

from __future__ import annotations

from attrs import define, field

from truckee.immutable.download.hedged_reads import Pace
from truckee.storage.interfaces import IStorageServer
from truckee.storage.limited import TooSlow

# A server that did not answer in time is not waited for again for so long.
_FORGIVEN = 300.0  # seconds


@define(eq=False)
class AnswerTimes:
    """
    What a map knows from earlier ones: when an answer is late, and who gives none.

    A writer waits for all who may have shares, up to the timeout of a request.  A server
    that hangs costs that once, and not at each change of a directory.
    """

    _pace: Pace = field(factory=Pace, init=False)
    _silent: dict[IStorageServer, float] = field(factory=dict, init=False)  # since

    @property
    def late(self) -> float:
        """Seconds after which a server is called slow."""
        return self._pace.patience()

    def answered(self, server: IStorageServer, seconds: float) -> None:
        """*server* took so long."""
        self._silent.pop(server, None)
        self._pace.took(seconds)

    def failed(self, server: IStorageServer, error: Exception, now: float) -> None:
        """*server* gave no answer."""
        self._silent.pop(server, None)
        if isinstance(error, TooSlow):
            self._silent[server] = now

    def is_silent(self, server: IStorageServer, now: float) -> bool:
        """Tell whether *server* did not answer in time a while ago, nor since."""
        return now - self._silent.get(server, now - 2 * _FORGIVEN) < _FORGIVEN

    def forget(self, now: float) -> None:
        """Drop what does not count any more; servers come and go."""
        for server in [each for each in self._silent if not self.is_silent(each, now)]:
            del self._silent[server]
