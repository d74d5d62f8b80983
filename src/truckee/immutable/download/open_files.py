"""Files in use, and those that were a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkVerifyCap
from truckee.flow.timer import Timer
from truckee.immutable.download.shared_file import SharedFile

# A file that nobody reads is kept so long.
_KEEP = 60.0  # seconds
# As many such files, and so much of their hash trees.
_MOST = 64
_MOST_HELD = 8 << 20  # bytes


@define(eq=False)
class OpenFiles:
    """One ``SharedFile`` for each verify cap, while anybody has it and a while after."""

    _open: Callable[[ChkVerifyCap], SharedFile]
    _clock: IReactorTime
    _in_use: WeakValueDictionary[ChkVerifyCap, SharedFile] = field(
        factory=WeakValueDictionary, init=False
    )
    # The one that was asked for last comes last.
    _kept: OrderedDict[ChkVerifyCap, SharedFile] = field(factory=OrderedDict, init=False)
    _timer: Timer = field(factory=Timer, init=False)

    def get(self, cap: ChkVerifyCap) -> SharedFile:
        """Return the file of *cap*; whoever has it has the same one."""
        file = self._in_use.get(cap)
        if file is None:
            file = self._in_use[cap] = self._open(cap)
        file.used = self._clock.seconds()
        self._kept[cap] = file
        self._kept.move_to_end(cap)
        self._forget(file)
        if not self._timer.running:
            self._timer.start(self._clock.callLater, _KEEP, self._tick)
        return file

    def stop(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()
        self._timer.cancel()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def _tick(self) -> None:
        self._forget()
        if self._kept:
            self._timer.start(self._clock.callLater, _KEEP / 4, self._tick)

    def _forget(self, latest: SharedFile | None = None) -> None:
        """Let go of what is too old or too much, but of *latest*."""
        oldest = self._clock.seconds() - _KEEP
        held = sum(file.held for file in self._kept.values())
        count = len(self._kept)
        for cap, file in list(self._kept.items()):
            too_much = count > _MOST or held > _MOST_HELD
            if file is not latest and (too_much or file.used <= oldest):
                del self._kept[cap]
                count -= 1
                held -= file.held
