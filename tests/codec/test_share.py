"""Where the parts of a share stand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.share import HEADER_SIZE, ShareLayout, ShareOffsets, ueb_size

SMALL = Encoding().geometry(56)
# The largest 3-of-10 file that stock clients still write in version 1.
LARGEST_V1 = 12_875_464_371


def words(text: str) -> bytes:
    """Return the bytes of a hexadecimal text with spaces."""
    return bytes.fromhex(text)


def offsets_of(layout: ShareLayout) -> tuple[int, int, int, int, int]:
    """Return all offsets that a reader uses."""
    return layout.data, layout.crypttext_tree, layout.block_tree, layout.chain, layout.ueb


def parsed(header: bytes, total: int = 10) -> tuple[int, int, int, int, int]:
    """Return all offsets that a reader finds."""
    found = ShareOffsets.parse(header, total)
    return found.data, found.crypttext_tree, found.block_tree, found.chain, found.ueb


def header_of(version: int, *fields: int) -> bytes:
    """Return a header with any eight fields."""
    size = 4 if version == 1 else 8
    return version.to_bytes(4, "big") + b"".join(f.to_bytes(size, "big") for f in fields)


class LayoutTests(SynchronousTestCase):
    def test_example_header(self) -> None:
        """The header of the example file's shares is known to the byte."""
        layout = ShareLayout.stock(SMALL)
        self.assertEqual(
            layout.pack_header(),
            words(
                "00000001 00000013 00000013 00000024 00000037 00000057 00000077 "
                "00000097 00000141"
            ),
        )
        self.assertEqual(layout.size, 633)
        self.assertEqual(layout.pack_ueb_length(308), words("00000134"))

    def test_example_header_of_version_2(self) -> None:
        """Version 2 has the same parts in wider fields."""
        layout = ShareLayout(2, SMALL, 32)
        self.assertEqual(
            layout.pack_header(),
            header_of(2, 19, 19, 0x44, 0x57, 0x77, 0x97, 0xB7, 0x161),
        )
        self.assertEqual(layout.size, 669)
        self.assertEqual(layout.pack_ueb_length(308), words("0000000000000134"))

    def test_offsets(self) -> None:
        """The parts of a file of four segments stand where stock clients put them."""
        geometry = Encoding().geometry(3145745)
        for version, expected in (
            (1, (36, 1048842, 1049066, 1049290, 1049460)),
            (2, (68, 1048874, 1049098, 1049322, 1049492)),
        ):
            layout = ShareLayout(version, geometry, 224)
            self.assertEqual(offsets_of(layout), expected)
            plain = parsed(layout.pack_header())
            self.assertEqual(plain, expected)
        self.assertEqual(ShareLayout.stock(geometry), ShareLayout(1, geometry, 224))
        # The plaintext tree's place is written although nobody reads it.
        self.assertEqual(
            ShareLayout(1, geometry, 224).pack_header()[16:20], (1048618).to_bytes(4, "big")
        )

    def test_header_fields(self) -> None:
        """Fields are four bytes wide in version 1, eight in version 2, at fixed places."""
        geometry = Encoding(2, 5, 100).geometry(950)
        for version, width, end in ((1, 4, 0x24), (2, 8, 0x44)):
            layout = ShareLayout(version, geometry, 7)
            header = layout.pack_header()
            self.assertEqual(len(header), end)
            self.assertEqual(layout.data, end)
            expected = (
                geometry.block_size,
                geometry.share_data_size,
                layout.data,
                layout.data + geometry.share_data_size,
                layout.crypttext_tree,
                layout.block_tree,
                layout.chain,
                layout.ueb,
            )
            self.assertEqual(header, header_of(version, *expected))
            self.assertEqual(
                header[4 + 3 * width : 4 + 4 * width][-2:],
                (950 // 2 + end).to_bytes(2, "big"),
            )

    @given(st.integers(1, 256), st.integers(1, 1 << 45), st.integers(1, 1 << 22), st.data())
    def test_laws(self, total: int, size: int, largest: int, data: st.DataObject) -> None:
        """The parts follow each other without gaps, and readers find them."""
        needed = data.draw(st.integers(1, total))
        geometry = Encoding(needed, total, largest).geometry(size)
        widened = 1 << (geometry.segments - 1).bit_length()
        tree = 32 * (2 * widened - 1)
        levels = (total - 1).bit_length()
        for layout in (ShareLayout.stock(geometry), ShareLayout.streamed(geometry)):
            self.assertEqual(layout.data, 0x24 if layout.version == 1 else 0x44)
            plaintext = layout.data + -(-size // needed)
            stock = layout == ShareLayout.stock(geometry)
            self.assertEqual(layout.crypttext_tree, plaintext + (tree if stock else 0))
            self.assertEqual(layout.block_tree, layout.crypttext_tree + tree)
            self.assertEqual(layout.chain, layout.block_tree + tree)
            self.assertEqual(layout.ueb, layout.chain + 34 * (levels + 1))
            length = 4 if layout.version == 1 else 8
            self.assertEqual(layout.size, layout.ueb + length + ueb_size(geometry))
            self.assertEqual(layout.block(0), layout.data)
            last = geometry.segments - 1
            end = layout.block(last) + geometry.block_length(last)
            self.assertEqual(end, plaintext)
            self.assertEqual(parsed(layout.pack_header(), total), offsets_of(layout))

    def test_version(self) -> None:
        """Version 2 is written when a field of version 1 is too small, and only then."""
        self.assertEqual(ShareLayout.stock(Encoding().geometry(LARGEST_V1)).version, 1)
        self.assertEqual(ShareLayout.stock(Encoding().geometry(LARGEST_V1 + 1)).version, 2)
        large = ShareLayout.stock(Encoding().geometry(LARGEST_V1 + 1))
        self.assertEqual(large.plaintext_tree_size, 32 * (2 * 16384 - 1))

    def test_streamed(self) -> None:
        """The data of a streamed share starts at the same place whatever its size."""
        self.assertEqual(ShareLayout.streamed_data_offset(), 0x44)
        for size in (1, 56, 1 << 20, 1 << 40):
            layout = ShareLayout.streamed(Geometry(size, 3, 10, 1048578))
            self.assertEqual(layout.version, 2)
            self.assertEqual(layout.data, 0x44)
            self.assertEqual(layout.block(1), 0x44 + 349526)


class OffsetsTests(SynchronousTestCase):
    def test_more_than_the_header(self) -> None:
        """Bytes after the header are ignored, so one read serves both versions."""
        self.assertEqual(HEADER_SIZE, 0x44)
        for layout in (ShareLayout.stock(SMALL), ShareLayout.streamed(SMALL)):
            header = layout.pack_header()
            self.assertEqual(parsed(header + b"data" * 20), offsets_of(layout))
            self.assertEqual(parsed((header + bytes(68))[:HEADER_SIZE]), offsets_of(layout))

    def test_short(self) -> None:
        """No beginning of a header passes."""
        for layout in (ShareLayout.stock(SMALL), ShareLayout.streamed(SMALL)):
            header = layout.pack_header()
            for length in range(len(header)):
                self.assertRaises(ValueError, ShareOffsets.parse, header[:length], 10)

    def test_versions(self) -> None:
        """Only versions 1 and 2 are known."""
        for version in (0, 3, 0x01000000, 0xFFFFFFFF):
            header = (
                version.to_bytes(4, "big") + ShareLayout.streamed(SMALL).pack_header()[4:]
            )
            self.assertRaises(ValueError, ShareOffsets.parse, header, 10)

    def test_unused_fields(self) -> None:
        """Block size, data size and the plaintext tree's offset may hold anything."""
        for version, top in ((1, (1 << 32) - 1), (2, (1 << 64) - 1)):
            for junk in (0, 5, top):
                header = header_of(version, junk, junk, 100, junk, 200, 300, 400, 570)
                self.assertEqual(parsed(header), (100, 200, 300, 400, 570))

    def test_any_order(self) -> None:
        """Only the chain and the UEB must be neighbours."""
        header = header_of(2, 1, 1, 900, 0, 800, 0x44, 100, 270)
        self.assertEqual(parsed(header), (900, 800, 0x44, 100, 270))

    def test_chain_length(self) -> None:
        """The chain is whole entries, at least one and at most the whole share tree."""
        for length, good in (
            (0, False),
            (34, True),
            (35, False),
            (170, True),
            (31 * 34, True),
            (33, False),
            (41 * 34, False),
            (-34, False),
            ((1 << 40) * 34, False),
        ):
            header = header_of(2, 1, 1, 0x44, 0, 1000, 2000, 3000, max(0, 3000 + length))
            if good:
                self.assertEqual(parsed(header)[3:], (3000, 3000 + length))
            else:
                self.assertRaises(ValueError, ShareOffsets.parse, header, 10)

    def test_proof(self) -> None:
        """One read holds chain and UEB; what follows the UEB is left out."""
        for layout in (ShareLayout.stock(SMALL), ShareLayout.streamed(SMALL)):
            offsets = ShareOffsets.parse(layout.pack_header(), 10)
            offset, length = offsets.proof
            self.assertEqual(offset, layout.chain)
            self.assertGreaterEqual(offset + length, layout.size)
            chain, ueb = b"c" * 170, b"u" * 308
            read = chain + layout.pack_ueb_length(308) + ueb
            self.assertEqual(offsets.split_proof(read), (chain, ueb))
            padded = (read + bytes(5000))[:length]
            self.assertEqual(offsets.split_proof(padded), (chain, ueb))
            for cut in range(len(read)):
                self.assertRaises(ValueError, offsets.split_proof, read[:cut])

    def test_ueb_length(self) -> None:
        """A UEB of no bytes, of too many, or longer than the share is refused."""
        layout = ShareLayout.streamed(SMALL)
        offsets = ShareOffsets.parse(layout.pack_header(), 10)
        for length in (0, 309, 2001, (1 << 64) - 1):
            read = bytes(170) + layout.pack_ueb_length(length) + bytes(308)
            self.assertRaises(ValueError, offsets.split_proof, read)
        read = bytes(170) + layout.pack_ueb_length(2001) + bytes(3000)
        self.assertRaises(ValueError, offsets.split_proof, read)
