"""What is signed of a mutable file."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import SHARE_0
from tests.codec.test_mutable_geometry import geometries
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import MAX_PREFIX_SIZE, MAX_SEQUENCE, Prefix

SDMF = bytes.fromhex(
    "0000000000000000018979c8bc0b970841cc4ccff32d716dd0b6789d96d5c746c6412e6c961b21b9a8"
    "000102030405060708090a0b0c0d0e0f020300000000000000140000000000000014"
)
MDMF = bytes.fromhex(
    "01000000000000000160b396f3dc862b40b107fa277fdd11b0d3163f3c07f7f3a553a81691451a1320"
    "030a000000000002000100000000000493e0"
)


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    """Any prefix a share may have."""
    geometry = draw(geometries())
    iv = None if geometry.salted else draw(st.binary(min_size=16, max_size=16))
    root = draw(st.binary(min_size=32, max_size=32))
    return Prefix(draw(st.integers(0, MAX_SEQUENCE)), root, geometry, iv)


class PrefixTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Both kinds are read and written as stock does."""
        sdmf, mdmf = Prefix.parse(SDMF), Prefix.parse(MDMF)
        self.assertEqual(sdmf.geometry, MutableGeometry.sdmf(20, 2, 3))
        self.assertEqual(mdmf.geometry, MutableGeometry.mdmf(300_000, 3, 10))
        self.assertEqual((sdmf.sequence, sdmf.iv), (1, bytes(range(16))))
        self.assertEqual((mdmf.sequence, mdmf.iv), (1, None))
        self.assertEqual((sdmf.format, mdmf.format), ("SSK", "MDMF"))
        for prefix, packed, tested in ((sdmf, SDMF, 57), (mdmf, MDMF, 41)):
            self.assertEqual(prefix.pack(), packed)
            self.assertEqual(prefix.size, len(packed))
            self.assertEqual(prefix.checkstring, packed[:tested])
        self.assertEqual(Prefix.parse(SHARE_0), sdmf)

    @given(prefixes(), st.binary(max_size=80))
    def test_round_trip(self, prefix: Prefix, behind: bytes) -> None:
        """What is packed is parsed, whatever stands behind it; a part of it is not."""
        packed = prefix.pack()
        self.assertLessEqual(len(packed), MAX_PREFIX_SIZE)
        self.assertEqual(Prefix.parse(memoryview(packed + behind)), prefix)
        with self.assertRaisesRegex(BadShare, "ends in its prefix"):
            Prefix.parse(packed[: len(behind) % len(packed)])

    @given(st.binary(min_size=75, max_size=75), st.integers(0, 255))
    def test_any_bytes(self, noise: bytes, kind: int) -> None:
        """Whatever comes is a prefix that packs to what came, or a bad share."""
        for data in (noise, bytes([kind % 3]) + noise[1:], SDMF[:57] + noise[57:]):
            with contextlib.suppress(BadShare):
                prefix = Prefix.parse(data)
                self.assertTrue(data.startswith(prefix.pack()))

    def test_refused(self) -> None:
        """An impossible prefix is refused with a sentence that says why."""
        for data, why in (
            (b"\2" + SDMF[1:], "version 2 of the format is unknown"),
            (SDMF[:57] + b"\0" + SDMF[58:], "0-of-3"),
            (SDMF[:57] + b"\4" + SDMF[58:], "4-of-3"),
            (SDMF[:66] + b"\x15" + SDMF[67:], "multiple of k"),
            (SDMF[:74] + b"\x16" + SDMF[75:], "do not hold the file"),
            (MDMF[:43] + bytes(8) + MDMF[51:], "do not hold the file"),
        ):
            with self.assertRaisesRegex(BadShare, why):
                Prefix.parse(data)

    def test_bounds(self) -> None:
        """A writer cannot make a prefix that does not fit."""
        cut = MutableGeometry.mdmf(1, 1, 1)
        one = MutableGeometry.sdmf(1, 1, 1)
        for arguments in (
            (MAX_SEQUENCE + 1, bytes(32), cut, None),
            (-1, bytes(32), cut, None),
            (1, bytes(31), cut, None),
            (1, bytes(32), cut, bytes(16)),
            (1, bytes(32), one, None),
            (1, bytes(32), one, bytes(15)),
        ):
            with self.assertRaises(ValueError):
                Prefix(*arguments)
