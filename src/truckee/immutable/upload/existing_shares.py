"""
Shares that servers claim to have before an upload begins: are they there, and of this file?

They are found by storage index, which says nothing about the content; and a server may
have something broken, or lie.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random, SystemRandom

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof
from truckee.codec.geometry import MAX_SHARES, Encoding, Geometry
from truckee.codec.hashes import ueb_hash
from truckee.codec.share import ShareOffsets
from truckee.codec.ueb import geometry_in_ueb, size_in_ueb
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.together import together
from truckee.immutable.read_back import read_back
from truckee.immutable.samples import Part
from truckee.immutable.share_proof import prove_block, read_proof
from truckee.immutable.upload.sinks import KeyReused
from truckee.storage.interfaces import IShareReader, IStorageServer, ReadError
from truckee.storage.limited import in_time

log = Logger()

# Timeout in seconds for proving a share that can be uploaded instead: a few round trips.
GRACE = 2.0
# The same at the end of an upload, when the share cannot go elsewhere any more.
_COMPARING = 10.0

# Blocks of one server that are read side by side, so that a silent server delays no other.
_PARALLEL = 2
# A larger block is not read.
_MAX_BLOCK = 4 << 20  # bytes

# Files of which it is remembered who claimed shares of them falsely.
_MAX_REMEMBERED = 1000

Holders = Mapping[int, Mapping[IStorageServer, IShareReader]]


@define(eq=False)
class FalselyClaimed:
    """Which servers claimed shares of a file that turned out not to be its own."""

    _servers: OrderedDict[bytes, set[bytes]] = field(factory=OrderedDict, init=False)

    def add(self, storage_index: bytes, server: IStorageServer) -> None:
        """Believe nothing more that *server* claims of this file."""
        self._servers.setdefault(storage_index, set()).add(server.lease_seed)
        self._servers.move_to_end(storage_index)
        while len(self._servers) > _MAX_REMEMBERED:
            self._servers.popitem(last=False)

    def without(self, storage_index: bytes, holders: Holders) -> Holders:
        """Return *holders* without these servers."""
        liars = self._servers.get(storage_index, set())
        return {
            share: {
                server: reader
                for server, reader in found.items()
                if server.lease_seed not in liars
            }
            for share, found in holders.items()
        }


@define(eq=False)
class ExistingShares:
    """
    The shares that were found, each proved by its UEB and hash chain.

    Whether the UEB is that of the file which is uploaded is known at its end only; then
    blocks are compared, too.  A share whose UEB says that it cannot be, by *encoding* and
    *size*, is none.  Without an *encoding* nothing will be known, and a block is read now.
    """

    _storage_index: bytes
    _workers: Workers  # who hash
    _encoding: Encoding | None = None  # None: whatever the UEB says
    _size: int | None = None  # bytes; None: not known yet
    _random: Random = field(factory=SystemRandom, repr=False)
    _uebs: dict[tuple[int, IStorageServer], bytes] = field(factory=dict, init=False)
    _found: dict[tuple[int, IStorageServer], tuple[ShareOffsets, IShareReader]] = field(
        factory=dict, init=False
    )
    _same: set[bytes] = field(factory=set, init=False)  # UEBs with the same segments so far
    _readers: dict[bytes, list[tuple[ShareOffsets, IShareReader]]] = field(
        factory=dict, init=False
    )

    async def prove(self, claims: Holders, clock: IReactorTime | None = None) -> Holders:
        """
        Return those of *claims* that are proved, and may be of this file.

        With a *clock*, one that takes longer than ``GRACE`` to read is none of them.
        """
        total = MAX_SHARES if self._encoding is None else self._encoding.total
        turns: defaultdict[IStorageServer, Budget] = defaultdict(lambda: Budget(_PARALLEL))
        proved: dict[int, dict[IStorageServer, IShareReader]] = {}

        async def look(share: int, server: IStorageServer, reader: IShareReader) -> None:
            offsets, chain, ueb = await read_proof(reader, total)
            self._readers.setdefault(ueb, []).append((offsets, reader))
            geometry = geometry_in_ueb(ueb)
            self._check(geometry)
            cap = _cap_of(self._storage_index, ueb, geometry)
            file = FileProof.check(cap, ueb)
            known = ShareProof.check(file, share, offsets, chain)
            if self._encoding is None:
                # Of a file that is uploaded, blocks are compared at its end.
                async with turns[server].hold(1):
                    segment = self._random.randrange(geometry.segments)
                    await prove_block(file, known, reader, self._workers, segment)
            self._uebs[share, server] = ueb
            self._found[share, server] = offsets, reader
            proved.setdefault(share, {})[server] = reader

        async def attempt(share: int, server: IStorageServer, reader: IShareReader) -> None:
            try:
                work = look(share, server, reader)
                await (work if clock is None else in_time(work, GRACE, clock, server.name))
            except (ValueError, *ReadError) as error:
                log.warn(
                    "Share {share} on {server} does not count: {error}",
                    share=share,
                    server=server.name,
                    error=str(error),
                )

        await together(
            attempt(share, server, reader)
            for share, found in claims.items()
            for server, reader in found.items()
        )
        return {share: proved[share] for share in sorted(proved)}

    async def watch(self, claims: Holders) -> None:
        """Have ``check_segment`` look at *claims* too, which count for nothing else."""
        total = MAX_SHARES if self._encoding is None else self._encoding.total

        async def look(reader: IShareReader) -> None:
            with suppress(ValueError, *ReadError):
                offsets, _chain, ueb = await read_proof(reader, total)
                self._readers.setdefault(ueb, []).append((offsets, reader))

        await together(look(each) for found in claims.values() for each in found.values())

    @property
    def uebs(self) -> set[bytes]:
        """The UEBs of all shares that were proved."""
        return set(self._uebs.values())

    def holders(self, ueb: bytes) -> dict[int, set[IStorageServer]]:
        """Return the shares that belong to the file with this UEB, and their servers."""
        found: dict[int, set[IStorageServer]] = {}
        for (share, server), theirs in self._uebs.items():
            if theirs == ueb:
                found.setdefault(share, set()).add(server)
        return found

    def others(self, ueb: bytes) -> list[tuple[int, IStorageServer]]:
        """Return the shares that were proved to belong to files with other UEBs."""
        return [each for each, theirs in self._uebs.items() if theirs != ueb]

    async def compare(
        self, ueb: bytes, piece: Callable[[int], Part], clock: IReactorTime
    ) -> list[tuple[int, IStorageServer]]:
        """
        Compare a *piece* of the blocks of each share of the file with this UEB.

        It gets a share number, and its offset is that from the first block.  Shares that
        are not read in time count no more; those that are something else are
        returned, too.
        """
        wrong: list[tuple[int, IStorageServer]] = []

        async def look(key: tuple[int, IStorageServer]) -> None:
            share, server = key
            offsets, reader = self._found[key]
            offset, data = piece(share)
            work = read_back(reader, [(offsets.data + offset, data)])
            try:
                await in_time(work, _COMPARING, clock, server.name)
            except ValueError:
                del self._uebs[key]
                wrong.append(key)
            except ReadError:
                del self._uebs[key]

        await together(
            [look(key) for key, theirs in list(self._uebs.items()) if theirs == ueb]
        )
        return wrong

    def _check(self, geometry: Geometry) -> None:
        """:raises ValueError: when the file that is uploaded is not cut like that."""
        if geometry.block_size > _MAX_BLOCK:
            raise ValueError("its blocks are too large to read one of them")
        if self._encoding is None:
            return
        if self._size not in (None, geometry.size):
            raise ValueError("it is of a file of another size")
        if geometry != self._encoding.geometry(geometry.size):
            raise ValueError("it is of a file that is cut in another way")

    async def check_segment(self, segment: int, digest: bytes) -> None:
        """
        Let a segment pass, by the hash of its ciphertext, if it is theirs too.

        :raises KeyReused: when another file has this storage index.
        """
        for ueb, readers in self._readers.items():
            try:
                file = self._file(ueb)
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

        :raises KeyReused: when the file that is stored under the key has another size.
        """
        if any(size_in_ueb(ueb) != size for ueb in self._same):
            raise KeyReused

    def _file(self, ueb: bytes) -> FileProof:
        """Return what *ueb* says, for which nobody vouches.  :raises ValueError:"""
        cap = _cap_of(self._storage_index, ueb, geometry_in_ueb(ueb))
        return FileProof.check(cap, ueb)


def _cap_of(storage_index: bytes, ueb: bytes, geometry: Geometry) -> ChkVerifyCap:
    """Return the cap of the file that has this *ueb*."""
    return ChkVerifyCap(
        storage_index, ueb_hash(ueb), geometry.needed, geometry.total, geometry.size
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
