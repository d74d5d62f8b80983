"""Ciphertext that nobody came back for is deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.helper.ownership import Owner, parse_name
from truckee.helper.server.spool import Spool, UploadKey
from truckee.status.ages import LastUse

log = Logger()


@define(eq=False)
class Expiry:
    """Knows since when nothing happened to each file, however clocks jump."""

    _spool: Spool
    _clock: IReactorTime
    _now: Callable[[], float]  # Unix seconds
    _last_uses: dict[str, LastUse] = field(factory=dict, init=False)  # of files, by name

    def clean(self, in_use: Collection[UploadKey]) -> None:
        """Delete what is too old and not *in_use*."""
        files = list(self._spool.files())
        names = {path.name for path in files}
        self._last_uses = {
            name: last for name, last in self._last_uses.items() if name in names
        }
        for path in files:
            known = parse_name(path.name)
            if known is None:
                continue
            index, owner = known
            if (index, owner.id) not in in_use:
                with suppress(OSError):
                    self._expire(path, index, owner)

    def _expire(self, path: Path, index: bytes, owner: Owner) -> None:
        """Delete a file if nothing happened to it for too long.  :raises OSError:"""
        status = path.stat()
        recorded = max(status.st_mtime, status.st_ctime)
        clock, now = self._clock.seconds(), self._now()
        last = self._last_uses.get(path.name)
        if last is None or last.recorded != recorded:
            last = self._last_uses[path.name] = LastUse.found(recorded, clock, now)
        after = self._spool.quotas.limits.expire_after
        if last.time_left(after, clock, now) < 0:
            del self._last_uses[path.name]
            log.info("{name} expired", name=path.name)
            self._spool.expire(path, index, owner, status.st_size)
