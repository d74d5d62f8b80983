"""From a cap to plaintext, any range of it, in order."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Geometry
from truckee.flow.cpu import Workers
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.download.open_files import OpenFiles
from truckee.immutable.download.read_ahead import Download
from truckee.immutable.download.recent_segments import Key, RecentSegments
from truckee.immutable.download.shared_file import SharedFile


@define(eq=False)
class Downloader:
    """Reads files; ``stop`` it in the end."""

    _files: OpenFiles
    _cpu: Workers
    _holdings: Holdings
    _clock: IReactorTime
    _recent: RecentSegments = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._recent = RecentSegments(self._holdings, self._clock)

    def stop(self) -> None:
        """Keep nothing any more."""
        self._recent.stop()

    async def open(self, cap: ChkReadCap, start: int = 0) -> OpenFile:
        """
        Return the file, once it is known how it is cut; the byte at *start* is read next.

        :raises NotEnoughShares: when the file cannot be read now.
        """
        shared = self._files.get(cap.verify_cap())
        try:
            geometry = await shared.geometry(start)
        except Exception:
            shared.settle()
            raise
        return OpenFile(
            cap.key,
            shared,
            geometry,
            self._cpu,
            self._holdings,
            self._clock,
            self._recent,
        )


@define(eq=False)
class OpenFile:
    """One file for one reader, who has the key; nothing has to be closed."""

    _key: bytes = field(repr=False)
    _shared: SharedFile
    geometry: Geometry
    _cpu: Workers
    holdings: Holdings
    clock: IReactorTime
    _recent: RecentSegments = field(repr=False)

    def read(self, start: int = 0, end: int = 0) -> Download:
        """Return the bytes from *start* up to, not including, *end*."""
        return Download(self, start, end)

    @property
    def segment_size(self) -> int:
        """Bytes of every segment but the last."""
        return self.geometry.segment_size

    def settle(self) -> None:
        """Forget what was read early and not taken."""
        self._shared.settle()

    async def segments(self, numbers: range) -> list[bytes]:
        """
        Return the plaintext of adjacent segments.

        :raises NotEnoughShares: when too few shares are good for one of them.
        """
        recent = self._recent.get(self._name(numbers[0])) if len(numbers) == 1 else None
        if recent is not None:
            return [recent]
        ciphertexts = await self._shared.segments(numbers)
        offset = numbers[0] * self.geometry.segment_size
        return await self._cpu.run(_decrypt, self._key, offset, ciphertexts)

    def leave(self, number: int, plaintext: bytes) -> None:
        """Keep a segment of which a part was read, for a while."""
        self._recent.put(self._name(number), plaintext)

    def abandon(self, number: int, fetching: Deferred[bytes]) -> None:
        """Keep it in the same way once it is here, if that takes but a moment."""
        if self._shared.is_near:
            self._recent.finish(self._name(number), fetching)
        else:
            fetching.cancel()

    def _name(self, number: int) -> Key:
        return self._key, self._shared.cap, number


def _decrypt(key: bytes, offset: int, ciphertexts: Sequence[bytes]) -> list[bytes]:
    """Decrypt adjacent pieces of a file, the first of which is at *offset*."""
    plaintexts = []
    for ciphertext in ciphertexts:
        plaintexts.append(crypt(key, offset, ciphertext))
        offset += len(ciphertext)
    return plaintexts
