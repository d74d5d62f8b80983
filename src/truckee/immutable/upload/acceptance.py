"""
Whether what is on servers when an upload ends is enough to give its cap out.

What servers claimed before, and what they were sent, counts when it is proved.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.encoder import EncodedFile
from truckee.codec.geometry import Encoding
from truckee.codec.share import ShareLayout
from truckee.errors import Unavailable
from truckee.grid.placement import happiness
from truckee.grid.selection import TooFewShares
from truckee.immutable.samples import Part, Samples
from truckee.immutable.upload.existing_shares import ExistingShares, FalselyClaimed
from truckee.immutable.upload.share_set import OutgoingShares, Placed, with_streams
from truckee.immutable.upload.share_stream import ShareStream
from truckee.immutable.upload.sinks import FalseClaims, NewFile
from truckee.immutable.upload.status import LostShare
from truckee.immutable.upload.stored_proof import StoredProof

log = Logger()


@define
class DamagedShares(Unavailable):
    """
    Servers hold broken shares of this file, and only {found} servers hold good ones,
    where {needed} are demanded (shares.happy). Upload it with key=random, or repair it.
    """

    found: int
    needed: int


@define
class NotProved(Unavailable):
    """
    Only {found} servers gave back a part of what was stored on them, and {needed} are
    demanded (shares.happy). Upload the file again.
    """

    found: int
    needed: int


@define(eq=False)
class Acceptance:
    """The end of one upload: ``check_claims`` before readers see it, then ``prove``."""

    _file: NewFile
    _encoding: Encoding
    _happy: int
    _existing: ExistingShares
    _false: FalselyClaimed
    _shares: OutgoingShares
    _samples: Samples
    _clock: IReactorTime

    async def check_claims(self, ueb: bytes, data: int) -> None:
        """
        Compare what servers claimed with what was uploaded, before readers can see it.

        *data* is the offset of the first block in the shares that were uploaded.

        :raises FalseClaims: when shares are in no place because of claims, and somebody
            can bring the file again, when they will be placed.
        """

        def piece(share: int) -> Part:
            offset, sample = self._samples.of(share)
            return offset - data, sample

        others = self._existing.others(ueb)
        others += await self._existing.compare(ueb, piece, self._clock)
        placed = with_streams(self._existing.holders(ueb), self._shares.live)
        for share, server in others:
            self._false.add(self._file.storage_index, server)
            reason = "what it has is not this share"
            lost = LostShare(share, server.name, reason)
            self._file.status.lost.append(lost)
            log.warn("Share {lost.share} on {lost.server}: {lost.reason}", lost=lost)
        if self._file.resumable and any(share not in placed for share, _server in others):
            raise FalseClaims(", ".join(sorted({server.name for _share, server in others})))

    async def prove(self, file: EncodedFile, layout: ShareLayout) -> None:
        """
        Count what is there: new shares that are given back, and old ones of this very file.

        :raises DamagedShares: :raises TooFewShares: :raises NotProved: when that is not
            enough.
        """
        existing = self._existing.holders(file.ueb)
        needed, happy = self._encoding.needed, self._happy

        def enough(proved: Sequence[ShareStream]) -> bool:
            holders = with_streams(existing, proved)
            return len(holders) >= needed and happiness(holders) >= happy

        stored = StoredProof(
            self._file.storage_index,
            lambda share: self._samples.parts(share, file, layout),
            enough,
            self._clock,
        )
        live = self._shares.live
        written = happiness(with_streams(existing, live))
        if written < happy:
            raise DamagedShares(written, happy)
        await stored.run(live)
        for stream, reason in stored.wrong:
            self._shares.drop(stream, reason)
        holders = with_streams(existing, stored.proved)
        if happiness(holders) < happy:
            raise NotProved(happiness(holders), happy)
        if len(holders) < needed:
            raise TooFewShares(len(holders), needed)
        self._tell(holders, with_streams(existing, self._shares.live))

    def _tell(self, proved: Placed, written: Placed) -> None:
        """Fill in the status that the file's owner sees."""
        status = self._file.status
        ordered = {
            share: sorted(servers, key=lambda server: (server.name, server.lease_seed))
            for share, servers in sorted(written.items())
        }
        status.happiness = happiness(proved)
        status.durable = all(server.durable for on in written.values() for server in on)
        status.unproved = sorted(written.keys() - proved.keys())
        status.shares = {
            share: [server.name for server in on] for share, on in ordered.items()
        }
        status.seeds = {
            share: [server.lease_seed for server in on] for share, on in ordered.items()
        }
