"""Which directories were changed here since some moment.  Pure."""

from __future__ import annotations

from attrs import define, field

from truckee.codec.caps import MutableReadCap

# Directories whose last change is remembered.
MOST = 10_000


@define(eq=False)
class ChangeNumbers:
    """Every change has a number, larger than those before."""

    _most: int = MOST
    latest: int = field(default=0, init=False)
    _last: dict[MutableReadCap, int] = field(factory=dict, init=False, repr=False)
    _forgotten: int = field(default=0, init=False)  # the latest that is not remembered

    def changed(self, cap: MutableReadCap) -> None:
        """A directory was changed, or may have been."""
        self.latest += 1
        self._last.pop(cap, None)
        self._last[cap] = self.latest
        if len(self._last) > self._most:
            oldest = next(iter(self._last))
            self._forgotten = self._last.pop(oldest)

    def since(self, cap: MutableReadCap, number: int) -> bool:
        """Tell whether a directory may have changed after the change *number*."""
        return self._last.get(cap, self._forgotten) > number
