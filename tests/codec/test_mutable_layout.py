"""Where the parts of a mutable share stand."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import SHARE_0
from tests.codec.test_mutable_prefix import MDMF, prefixes
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import (
    HEADER_SIZE,
    MDMF_DATA_OFFSET,
    SDMF_HEADER_SIZE,
    MutableLayout,
    Part,
    ShareHeader,
    chain_size,
)
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.slot_container import MAX_SHARE_SIZE

TABLE = bytes.fromhex(
    "000000000000007b000000000000053d00000000000005c500000000000006c500000000000007eb"
    "00000000000008770000000000018f470000000000019027"
)
NAMES = ("public_key", "signature", "chain", "block_tree", "data", "private_key")


def with_offsets(prefix: Prefix, offsets: list[int]) -> bytes:
    """Return a header with these offsets, whatever they say."""
    if prefix.geometry.salted:
        return prefix.pack() + b"".join(at.to_bytes(8, "big") for at in offsets)
    sizes = [4, 4, 4, 4, 8, 8]
    pairs = zip(offsets, sizes, strict=True)
    return prefix.pack() + b"".join(at.to_bytes(size, "big") for at, size in pairs)


def offsets_of(header: ShareHeader) -> list[int]:
    """Return the offsets of a header as they stand in it."""
    packed = header.layout.pack(header.prefix.geometry.salted)
    sizes = [8] * 8 if header.prefix.geometry.salted else [4, 4, 4, 4, 8, 8]
    offsets, at = [], 0
    for size in sizes:
        offsets.append(int.from_bytes(packed[at : at + size], "big"))
        at += size
    return offsets


class LayoutTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Both kinds of headers are read and written as stock does."""
        sdmf = ShareHeader.parse(SHARE_0)
        self.assertEqual(
            offsets_of(sdmf), [0x191, 0x291, 0x2D5, 0x2F5, 0x2FF, len(SHARE_0)]
        )
        self.assertEqual(sdmf.pack(), SHARE_0[:SDMF_HEADER_SIZE])
        self.assertEqual(
            sdmf.layout, MutableLayout.planned(sdmf.prefix.geometry, 294, 1218)
        )
        mdmf = ShareHeader.parse(MDMF + TABLE)
        self.assertEqual(mdmf.pack(), MDMF + TABLE)
        self.assertEqual(len(mdmf.pack()), HEADER_SIZE)
        self.assertEqual(
            mdmf.layout, MutableLayout.planned(mdmf.prefix.geometry, 294, 1218)
        )
        self.assertEqual(mdmf.layout.end, 102439)
        ten = MutableLayout.planned(MutableGeometry.sdmf(1, 3, 10), 294, 1218)
        starts = [getattr(ten, name).offset for name in NAMES]
        self.assertEqual(starts[:5], [107, 401, 657, 793, 825])
        empty = MutableLayout.planned(MutableGeometry.mdmf(0, 3, 10), 294, 1218)
        self.assertEqual((empty.data.length, empty.end), (0, 2199))

    def test_chain(self) -> None:
        """A chain has an entry for each level of the share tree but the root."""
        sizes = [chain_size(total) // 34 for total in (1, 2, 3, 4, 5, 10, 16, 17, 255)]
        self.assertEqual(sizes, [0, 1, 2, 2, 3, 4, 4, 5, 8])

    @given(prefixes(), st.integers(1, 1024), st.integers(1, 4096), st.binary(max_size=9))
    def test_round_trip(
        self, prefix: Prefix, public: int, private: int, behind: bytes
    ) -> None:
        """What a writer plans is parsed, if its keys fit; parts do not overlap."""
        try:
            layout = MutableLayout.planned(prefix.geometry, public, private)
        except ValueError:
            head = HEADER_SIZE + private + chain_size(prefix.geometry.total) + 256 + public
            self.assertGreater(head, MDMF_DATA_OFFSET)
            return
        header = ShareHeader(prefix, layout)
        packed = header.pack()
        self.assertEqual(ShareHeader.parse(memoryview(packed + behind)), header)
        parts = sorted((getattr(layout, name) for name in NAMES), key=lambda p: p.offset)
        parts = [part for part in parts if part.length]
        self.assertTrue(all(a.end <= b.offset for a, b in pairwise(parts)))
        self.assertEqual(parts[-1].end, layout.end)
        with self.assertRaisesRegex(BadShare, "it ends in its"):
            ShareHeader.parse(packed[:-1])

    @given(prefixes(), st.data())
    def test_any_offsets(self, prefix: Prefix, data: st.DataObject) -> None:
        """Whatever offsets come, they are within bounds and in order, or a bad share."""
        try:
            layout = MutableLayout.planned(prefix.geometry, 294, 1218)
        except ValueError:
            return
        offsets = offsets_of(ShareHeader(prefix, layout))
        at = data.draw(st.integers(0, len(offsets) - 1))
        wide = prefix.geometry.salted or at > 3
        near = st.integers(-40, 40).map(lambda step: max(offsets[at] + step, 0))
        most = (1 << 64 if wide else 1 << 32) - 1
        offsets[at] = min(data.draw(st.integers(0, most) | near), most)
        with contextlib.suppress(BadShare):
            found = ShareHeader.parse(with_offsets(prefix, offsets)).layout
            self.assertLessEqual(found.end, MAX_SHARE_SIZE)
            self.assertLessEqual(found.public_key.length, 1024)
            self.assertEqual(found.signature.length, 256)
            self.assertLessEqual(found.chain.length, 340)
            self.assertGreaterEqual(found.data.length, prefix.geometry.data_size)
            self.assertLessEqual(found.private_key.length, 4096)

    def test_refused(self) -> None:
        """Impossible offsets are refused with a sentence that says why."""
        sdmf, mdmf = ShareHeader.parse(SHARE_0), ShareHeader.parse(MDMF + TABLE)
        for header, at, value, why in (
            (sdmf, 0, 106, "out of order"),
            (sdmf, 0, 107, "public key cannot have 0 bytes"),
            (sdmf, 0, 400, "signature cannot have 257 bytes"),
            (sdmf, 1, 1 << 31, "out of order"),
            (sdmf, 2, 0x2D4, "chain cannot have 67 bytes"),
            (sdmf, 3, 0x2F6, "block tree cannot have 33 bytes"),
            (sdmf, 4, 0x2FE, "data cannot have 9 bytes"),
            (sdmf, 5, (1 << 64) - 1, "private key cannot have"),
            (mdmf, 0, 122, "out of order"),
            (mdmf, 0, 1341, "private key cannot have 0 bytes"),
            (mdmf, 4, 2168, "out of order"),
            (mdmf, 5, 0x878, "data cannot have"),
            (mdmf, 7, 0x19028, "block tree cannot have"),
            (mdmf, 7, 1 << 63, "block tree cannot have"),
        ):
            offsets = offsets_of(header)
            offsets[at] = value
            with self.assertRaisesRegex(BadShare, why):
                ShareHeader.parse(with_offsets(header.prefix, offsets))

    def test_spare_entries(self) -> None:
        """Two entries more in a chain are borne, a part of one is not."""
        sdmf = ShareHeader.parse(SHARE_0)
        for extra, good in ((34, True), (68, True), (35, False), (102, False)):
            offsets = offsets_of(sdmf)
            offsets[2:] = [at + extra for at in offsets[2:]]
            data = with_offsets(sdmf.prefix, offsets)
            if good:
                self.assertEqual(ShareHeader.parse(data).layout.chain.length, 68 + extra)
            else:
                with self.assertRaisesRegex(BadShare, "chain"):
                    ShareHeader.parse(data)

    def test_cut(self) -> None:
        """A part is cut from what was read around it, or it is not there."""
        part = Part(5, 3)
        data = bytes(range(10))
        self.assertEqual(part.cut(data), b"\5\6\7")
        self.assertEqual(part.cut(data[5:8], 5), b"\5\6\7")
        for short in ((data[:7], 0), (data, 6), (b"", 5)):
            self.assertIsNone(part.cut(*short))
