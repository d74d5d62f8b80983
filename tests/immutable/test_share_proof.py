"""Proofs that a share is there: what counts, what does not, and what it costs."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.grids import MadeFile, make_file, new_workers
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.codec.share import ShareLayout, ShareOffsets
from truckee.immutable.samples import Part
from truckee.immutable.share_proof import claimed_cap, prove_share
from truckee.storage.interfaces import IShareReader

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
ENCODING = Encoding(2, 3, 64)
SIZE = 300


@implementer(IShareReader)
@define(eq=False)
class Bytes:
    """A share in memory, which counts the bytes that are read of it."""

    data: bytes
    reads: list[int] = field(factory=list)

    async def read(self, offset: int, length: int) -> bytes:
        found = self.data[offset : offset + length]
        self.reads.append(len(found))
        return found


def made(streamed: bool = False, seed: int = 1) -> MadeFile:
    """Return a file of several segments."""
    return make_file(bytes(seed + n % 250 for n in range(SIZE)), KEY, ENCODING, streamed)


def offsets_of(share: bytes) -> ShareOffsets:
    """Return where the parts of a share are."""
    return ShareOffsets.parse(share, ENCODING.total)


class ProofTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.cpu = new_workers(self, 1)

    async def prove(
        self,
        share: bytes,
        number: int = 1,
        segment: int | None = None,
        expected: ShareLayout | None = None,
        file: MadeFile | None = None,
        piece: Part | None = None,
    ) -> Bytes:
        cap = (file or made()).cap.verify_cap()
        reader = Bytes(share)
        await prove_share(
            cap,
            number,
            reader,
            self.cpu,
            expected=expected,
            segment=segment,
            piece=piece,
        )
        return reader

    async def test_good(self) -> None:
        """A share of the file is proved, laid out either way, with any of its blocks."""
        for streamed in (False, True):
            file = made(streamed)
            for number, share in enumerate(file.shares):
                for expected in (None, file.layout, made(not streamed).layout):
                    for segment in (None, 0, 2, file.layout.geometry.segments - 1):
                        await self.prove(share, number, segment, expected, file)

    async def test_cost(self) -> None:
        """No block is read for the proof of a share, and one for that of a block."""
        file = make_file(bytes(100_000), KEY, Encoding(2, 3, 50_000))
        for segment, most in ((None, 3000), (0, 29_000)):
            for expected in (None, file.layout):
                reader = await self.prove(file.shares[1], 1, segment, expected, file)
                self.assertLess(sum(reader.reads), most)

    async def test_piece(self) -> None:
        """A piece of a large block is little to read; it must be what is known of it."""
        file = make_file(bytes(range(250)) * 400, KEY, Encoding(2, 3, 50_000))
        share, other = file.shares[1], made(streamed=True).layout
        at = offsets_of(share).data + 10_000
        piece = 10_000, share[at : at + 256]
        for expected in (None, file.layout, other):
            reader = await self.prove(share, 1, None, expected, file, piece)
            self.assertLess(sum(reader.reads), 4500)
            for wrong in (piece[1][:-1] + b"x", bytes(256)):
                with self.assertRaises(ValueError):
                    await self.prove(share, 1, None, expected, file, (10_000, wrong))
        with self.assertRaises(ValueError):
            await self.prove(share, 1, None, None, file, (200_000, piece[1]))

    async def assert_refused(self, share: bytes, number: int, segment: int | None) -> None:
        for expected in (None, made().layout):
            with self.assertRaises(ValueError):
                await self.prove(share, number, segment, expected)

    async def test_wrong(self) -> None:
        """Another share, another file, garbage, and a share without its end are refused."""
        file = made()
        for share in (
            file.shares[2],
            made(seed=2).shares[1],
            b"",
            bytes(1000),
            file.shares[1][:-5],
            file.shares[1][:100],
        ):
            await self.assert_refused(share, 1, None)
        await self.assert_refused(file.shares[1], 7, None)
        await self.assert_refused(file.shares[1], 1, 99)

    async def test_damage(self) -> None:
        """Damage to the chain is seen by any proof; to a block by that of its segment."""
        share = made().shares[1]
        offsets = offsets_of(share)

        def change(at: int) -> bytes:
            return share[:at] + bytes([share[at] ^ 1]) + share[at + 1 :]

        await self.assert_refused(change(offsets.chain + 2), 1, None)
        await self.assert_refused(change(offsets.ueb + 20), 1, None)
        for broken in (change(offsets.data), change(offsets.block_tree + 32 * 7)):
            await self.prove(broken)
            await self.assert_refused(broken, 1, 0)
        await self.prove(change(offsets.data), segment=3)


class ClaimTests(TestCase):
    def test_claim(self) -> None:
        """A UEB makes a cap, which is the file's if it tells the truth."""
        share = made().shares[0]
        start, length = offsets_of(share).proof
        _, ueb = offsets_of(share).split_proof(share[start : start + length])
        cap, geometry = claimed_cap(INDEX, 2, 3, ueb)
        self.assertEqual(cap, made().cap.verify_cap())
        self.assertEqual(geometry, made().layout.geometry)
        for needed, total in ((1, 3), (2, 4)):
            with self.assertRaises(ValueError):
                claimed_cap(INDEX, needed, total, ueb)
        with self.assertRaises(ValueError):
            claimed_cap(INDEX, 2, 3, b"nothing")
