"""
Shares that are there before an upload begins: do they belong to the same file?

They are found by storage index, which says nothing about the content; and a server may
keep something broken, or lie.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof
from truckee.codec.hashes import ueb_hash
from truckee.codec.share import ShareOffsets
from truckee.codec.ueb import size_in_ueb
from truckee.flow.together import together
from truckee.immutable.share_proof import read_proof
from truckee.immutable.sinks import KeyReused
from truckee.storage.interfaces import IShareReader, IStorageServer, ReadError
from truckee.storage.limited import in_time

# What a share has to be read in by those who can do without it: a few round trips.
GRACE = 2.0  # seconds

Holders = Mapping[int, Mapping[IStorageServer, IShareReader]]


@define(eq=False)
class ExistingShares:
    """The UEBs of the shares that were found."""

    _storage_index: bytes
    _needed: int
    _total: int
    _uebs: dict[tuple[int, IStorageServer], bytes] = field(factory=dict, init=False)
    _same: set[bytes] = field(factory=set, init=False)  # UEBs with the same segments so far
    _readers: dict[bytes, list[tuple[ShareOffsets, IShareReader]]] = field(
        factory=dict, init=False
    )

    async def read(self, holders: Holders, clock: IReactorTime | None = None) -> None:
        """
        Look at all of *holders*; a share without a readable UEB is none.

        With a *clock*, neither is one that takes longer than ``GRACE`` to read.
        """

        async def look(share: int, server: IStorageServer, reader: IShareReader) -> None:
            try:
                proof = read_proof(reader, self._total)
                if clock is not None:
                    proof = in_time(proof, GRACE, clock, server.name)
                offsets, _chain, ueb = await proof
            except (ValueError, *ReadError):
                return
            self._uebs[share, server] = ueb
            self._readers.setdefault(ueb, []).append((offsets, reader))

        await together(
            look(share, server, reader)
            for share, found in holders.items()
            for server, reader in found.items()
        )

    @property
    def uebs(self) -> set[bytes]:
        """All UEBs that were found."""
        return set(self._uebs.values())

    def holders(self, ueb: bytes) -> dict[int, set[IStorageServer]]:
        """Return the shares that belong to the file with this UEB, and their servers."""
        found: dict[int, set[IStorageServer]] = {}
        for (share, server), theirs in self._uebs.items():
            if theirs == ueb:
                found.setdefault(share, set()).add(server)
        return found

    async def check_segment(self, segment: int, digest: bytes) -> None:
        """
        Let a segment pass, by the hash of its ciphertext, if it is theirs too.

        :raises KeyReused: when another file has this storage index.
        """
        for ueb, readers in self._readers.items():
            try:
                file = FileProof.check(self._cap(ueb), ueb)
            except ValueError:
                raise KeyReused from None
            if segment >= file.geometry.segments:
                raise KeyReused
            # A broken tree says nothing, but that of another share may.
            for offsets, reader in readers:
                theirs = await _leaf(file, offsets.crypttext_tree, reader, segment)
                if theirs == digest:
                    self._same.add(ueb)
                    break
                if theirs is not None:
                    raise KeyReused

    def check_size(self, size: int) -> None:
        """
        Let a file end at *size* bytes, after all its segments.

        :raises KeyReused: when another one goes on, or ended, elsewhere.
        """
        if any(size_in_ueb(ueb) != size for ueb in self._same):
            raise KeyReused

    def _cap(self, ueb: bytes) -> ChkVerifyCap:
        """Return a cap that names *ueb*, which nobody has vouched for."""
        size = size_in_ueb(ueb)
        return ChkVerifyCap(
            self._storage_index, ueb_hash(ueb), self._needed, self._total, size
        )


async def _leaf(
    file: FileProof, start: int, reader: IShareReader, segment: int
) -> bytes | None:
    """Return the hash of a segment from the tree at *start*; None if that is broken."""
    tree = file.crypttext
    try:
        rows = await together(
            reader.read(start + at, size) for at, size in tree.missing(segment)
        )
        tree.add(segment, rows)
    except (ValueError, *ReadError):
        return None
    return tree.leaf(segment)
