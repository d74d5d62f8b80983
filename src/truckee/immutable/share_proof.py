"""
Proof that a server has a share of a file, instead of its word for it.

Source: formats, "What a reader checks".  A share counts when its UEB is the one that the
cap names, its hash chain leads from its number to the root in that UEB, and, where a
segment is given, its block of that segment is the one that its hash tree promises.  Whoever
knows a piece of its blocks compares that instead, which is less to read.
"""

from __future__ import annotations

from random import Random

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof, ShareProof
from truckee.codec.geometry import Geometry
from truckee.codec.guess import proof_reads
from truckee.codec.hashes import ueb_hash
from truckee.codec.share import HEADER_SIZE, ShareLayout, ShareOffsets
from truckee.codec.ueb import geometry_in_ueb
from truckee.flow.cpu import Workers
from truckee.flow.together import together
from truckee.immutable.download.speculative_reads import HeadStart
from truckee.immutable.samples import Part
from truckee.storage.interfaces import IShareReader


async def read_proof(reader: IShareReader, total: int) -> tuple[ShareOffsets, bytes, bytes]:
    """
    Return a share's offsets, its hash chain and its UEB, none of them checked.

    :raises ValueError: when they are not where the header says.
    """
    offsets = ShareOffsets.parse(await reader.read(0, HEADER_SIZE), total)
    chain, ueb = offsets.split_proof(await reader.read(*offsets.proof))
    return offsets, chain, ueb


def claimed_cap(
    storage_index: bytes, needed: int, total: int, ueb: bytes
) -> tuple[ChkVerifyCap, Geometry]:
    """
    Return the cap that *ueb* makes, which nobody has vouched for, and how it cuts the file.

    :raises ValueError: when it is not the UEB of a file with these shares.
    """
    geometry = geometry_in_ueb(ueb)
    if (geometry.needed, geometry.total) != (needed, total):
        raise ValueError("the UEB states other numbers of shares")
    return (
        ChkVerifyCap(storage_index, ueb_hash(ueb), needed, total, geometry.size),
        geometry,
    )


async def prove_share(
    cap: ChkVerifyCap,
    number: int,
    reader: IShareReader,
    cpu: Workers,
    *,
    expected: ShareLayout | None = None,
    segment: int | None = None,
    piece: Part | None = None,
) -> tuple[FileProof, ShareProof]:
    """
    Return the proof that *reader* has share *number* of the file of *cap*.

    With a *segment* its block is read and checked as well; with a *piece*, whose offset is
    that from the first block, these bytes.  When the share is laid out as *expected*, all
    reads are sent at once and the proof takes one round trip.

    :raises ValueError: when it is something else; the text says where.
    :raises ReadError: when it cannot be read.
    """
    early = HeadStart(reader)
    if expected is not None:
        early.begin(proof_reads(expected, segment, _place_of(piece)))
    try:
        offsets, chain, ueb = await read_proof(early, cap.total)
        file = FileProof.check(cap, ueb)
        share = ShareProof.check(file, number, offsets, chain)
        if segment is not None:
            await prove_block(file, share, early, cpu, segment)
        if piece is not None:
            offset, known = piece
            if await early.read(offsets.data + offset, len(known)) != known:
                raise ValueError("its blocks are not what was uploaded")
        return file, share
    finally:
        early.settle()


def _place_of(piece: Part | None) -> tuple[int, int] | None:
    return None if piece is None else (piece[0], len(piece[1]))


async def prove_random_block(
    cap: ChkVerifyCap, number: int, reader: IShareReader, cpu: Workers, random: Random
) -> None:
    """Prove that a share and one of its blocks are there.  Raises as ``prove_share``."""
    file, share = await prove_share(cap, number, reader, cpu)
    await prove_block(file, share, reader, cpu, random.randrange(file.geometry.segments))


async def prove_block(
    file: FileProof, share: ShareProof, reader: IShareReader, cpu: Workers, segment: int
) -> None:
    """
    Check that the block of *segment* is there and is that of *share*.

    A chain alone does not show it: whoever has one share knows its neighbor's chain.

    :raises ValueError: :raises ReadError: as ``prove_share`` does.
    """
    if not 0 <= segment < file.geometry.segments:
        raise ValueError(f"the file has no segment {segment}")
    offset, length = share.block_range(file.geometry, range(segment, segment + 1))
    hashes = [
        (share.offsets.block_tree + at, size) for at, size in share.blocks.missing(segment)
    ]
    block, *rows = await together(
        reader.read(*where) for where in [(offset, length), *hashes]
    )
    if rows:
        await cpu.run(share.blocks.add, segment, rows)
    if len(block) != length or not await cpu.run(share.is_good, segment, block):
        raise ValueError(f"the block of segment {segment} is wrong")
