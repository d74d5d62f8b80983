"""A directory that a client lists, some names at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.codec.directory_children import Link
from truckee.flow.limits import Exclusive
from truckee.flow.timer import Timer
from truckee.flow.together import Work
from truckee.frontends.sftp.attributes import Attributes, entry
from truckee.frontends.sftp.errors import ListingExpired
from truckee.frontends.sftp.view import View
from truckee.frontends.sftp.wire import MAX_STRING
from truckee.tree.directories import Directory

# Bytes of one answer, at least of those that have more than one name.
_MOST = 128 << 10
# What nobody asks for more of is forgotten after so long.
_EXPIRE = 300.0  # seconds


@define(eq=False)
class Listing:
    """
    The names of one directory, as it was when it was opened.

    Names that a path cannot have are left out: those with a slash, ``.`` and ``..``, and
    those that are too long to be asked for.
    """

    _view: View
    _directory: Directory
    attributes: Attributes
    _clock: IReactorTime
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False, repr=False)
    _batches: Iterator[list[tuple[str, Link]]] | None = field(default=None, init=False)
    _ready: list[bytes] = field(factory=list, init=False, repr=False)
    _expired: bool = field(default=False, init=False)
    _timer: Timer = field(factory=Timer, init=False, repr=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)

    @classmethod
    async def open(cls, view: View, names: Sequence[str], clock: IReactorTime) -> Listing:
        """Return the listing of the directory at *names*."""
        attributes = await view.attributes(names)
        directory = await view.directory(names)
        listing = cls(view, directory, attributes, clock)
        await listing._stack.enter_async_context(view.seen.directories.hold(directory))
        listing._begin(await view.new_names(directory))
        return listing

    def _begin(self, new: Sequence[tuple[str, Attributes]]) -> None:
        self._batches = self._view.links(self._directory)
        names = [(name, self.attributes) for name in (".", "..")]
        self._add([*names, *new])
        self._timer.start(self._clock.callLater, _EXPIRE, self._expire)

    async def next(self) -> list[bytes]:
        """Return some entries as they are sent; none: that was all."""
        async with self._turns.hold(None):
            if self._expired:
                raise ListingExpired
            self._timer.extend(_EXPIRE)
            while not self._ready and self._batches is not None:
                batch = next(self._batches, None)
                if batch is None:
                    await self._free()
                else:
                    self._add(await self._view.listed(self._directory, batch))
            return self._take()

    def _take(self) -> list[bytes]:
        size, count = 0, 0
        for each in self._ready:
            size += len(each)
            if count and size > _MOST:
                break
            count += 1
        found, self._ready = self._ready[:count], self._ready[count:]
        return found

    def _add(self, found: Sequence[tuple[str, Attributes]]) -> None:
        for name, attributes in found:
            raw = name.encode("utf-8", "surrogatepass")
            plain = name in (".", "..") and attributes is self.attributes
            usable = name not in ("", ".", "..") and "/" not in name and "\0" not in name
            if plain or (usable and len(raw) < MAX_STRING):
                self._ready.append(entry(raw, attributes, self._view.now()))

    def _expire(self) -> None:
        self._expired = True
        Deferred.fromCoroutine(self._free())

    async def _free(self) -> None:
        self._batches = None
        await self._stack.aclose()

    def close(self) -> Work[None]:
        """Free what it has."""
        self._timer.cancel()
        return self._free()
