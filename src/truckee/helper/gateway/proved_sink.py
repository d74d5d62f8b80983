"""
A helper's word and the servers' proof: no cap for a file that a helper only claims.

Source: ``docs/formats/helper-push.md``, "The proof".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import Attribute, implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.codec.share import ShareLayout
from truckee.errors import Unavailable
from truckee.helper.errors import HelperLied
from truckee.immutable.share_proof import claimed_cap
from truckee.immutable.upload.ciphertext_samples import CiphertextSamples
from truckee.immutable.upload.presence import Presence, PresenceProver
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    NewFile,
    NotThroughHelper,
)

log = Logger()

# A file whose shares a helper did not store goes to the servers for so long.
_AVOIDED = 3600.0  # seconds
_MOST_AVOIDED = 1000  # files


@define
class CannotProve(Unavailable):
    """
    This gateway is connected to {found} storage servers, so it could not check that its
    helper stores the file on {needed} of them (shares.happy). Wait for more servers. Where
    it can reach its helper alone, set helper.verify = false in [client] of tahoe.cfg.
    """

    found: int
    needed: int


@define
class NotProved(Unavailable, NotThroughHelper):
    """
    The helper said that the file is stored, but on the {asked} servers that this gateway
    asked it found {found} of its shares ({shares}) with a happiness of {happiness}, and
    {needed} are needed, so there is no cap. Upload the file again with helper=no. If the
    helper uses servers that this gateway does not know, add their introducer here.
    """

    found: int
    needed: int
    happiness: int
    asked: int
    shares: str  # their numbers


class IHelperSink(ICiphertextSink):
    """A sink to a helper."""

    claimed_ueb: bytes = Attribute(
        "The UEB of the file if the helper says that it is stored already; else empty."
    )


@implementer(ICiphertextSinks)
@define(eq=False)
class ProvedSinks:
    """Opens sinks to a helper whose files are proved to be stored before they count."""

    _inner: ICiphertextSinks
    _encoding: Encoding
    _happy: int
    _prover: PresenceProver
    _clock: IReactorTime
    # Storage indexes of files that the helper did not store, and until when that counts.
    _avoided: OrderedDict[bytes, float] = field(factory=OrderedDict, init=False)

    @property
    def needs_known_size(self) -> bool:
        """See ``ICiphertextSinks``."""
        return bool(self._inner.needs_known_size)

    async def open(self, file: NewFile) -> ProvedSink:
        """
        See ``ICiphertextSinks``.

        :raises CannotProve: when too few servers are connected.
        :raises NotThroughHelper: when the helper claims what is not so, now or before.
        """
        connected = self._prover.connected
        if connected < self._happy:
            raise CannotProve(connected, self._happy)
        if self._avoided.get(file.storage_index, 0.0) > self._clock.seconds():
            raise HelperLied
        sink: Any = await self._inner.open(file)  # an IHelperSink
        proved = None
        if sink.claimed_ueb:
            try:
                proved = await self._check_claim(file, sink.claimed_ueb)
            except Exception:
                await sink.abort()
                raise
        samples = self._prover.samples(self._encoding, file.size)
        return ProvedSink(sink, file, self, proved, samples)

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``."""
        await self._inner.forget(file)

    async def _check_claim(self, file: NewFile, ueb: bytes) -> ChkVerifyCap:
        """Return the cap of a file that is said to be there, if it may be this one."""
        needed, total = self._encoding.needed, self._encoding.total
        try:
            cap, geometry = claimed_cap(file.storage_index, needed, total, ueb)
        except ValueError:
            raise self.lied(file) from None
        if geometry != self._encoding.geometry(file.size or geometry.size):
            raise self.lied(file)
        await self.prove(file, cap)
        return cap

    async def prove(
        self, file: NewFile, cap: ChkVerifyCap, samples: CiphertextSamples | None = None
    ) -> None:
        """Return once the file of *cap* is proved to be stored.  :raises NotProved:"""
        kind = ShareLayout.stock if file.size is not None else ShareLayout.streamed
        layout = kind(self._encoding.geometry(cap.size))
        presence = await self._prover.prove(cap, layout, self._happy, samples)
        if not presence.enough:
            self._avoid(file)
            raise self._not_proved(cap, presence)

    def lied(self, file: NewFile) -> HelperLied:
        """Take note that the helper holds something else; return the error that says so."""
        self._avoid(file)
        return HelperLied()

    def _avoid(self, file: NewFile) -> None:
        self._avoided[file.storage_index] = self._clock.seconds() + _AVOIDED
        self._avoided.move_to_end(file.storage_index)
        while len(self._avoided) > _MOST_AVOIDED:
            self._avoided.popitem(last=False)

    def _not_proved(self, cap: ChkVerifyCap, presence: Presence) -> NotProved:
        numbers = ", ".join(map(str, sorted(presence.shares))) or "none"
        needed = max(cap.needed, self._happy)
        found, happiness = len(presence.shares), presence.happiness
        return NotProved(found, needed, happiness, presence.asked, numbers)


@implementer(ICiphertextSink)
@define(eq=False)
class ProvedSink:
    """One file on its way to a helper, and to the servers behind it."""

    inner: ICiphertextSink
    _file: NewFile
    _sinks: ProvedSinks
    _proved: ChkVerifyCap | None  # what is proved to be stored already
    _samples: CiphertextSamples = field(repr=False)

    @property
    def chunk_size(self) -> int:
        """See ``ICiphertextSink``."""
        return int(self.inner.chunk_size)

    async def write(self, chunk: Buffer) -> None:
        """See ``ICiphertextSink``."""
        await self.inner.write(chunk)
        self._samples.feed(chunk)

    async def close(self) -> ChkVerifyCap:
        """See ``ICiphertextSink``.  :raises NotProved: when the file is not stored."""
        try:
            cap: ChkVerifyCap = await self.inner.close()
        except HelperLied:
            raise self._sinks.lied(self._file) from None
        if cap != self._proved:
            await self._sinks.prove(self._file, cap, self._samples)
        return cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``."""
        await self.inner.abort()
