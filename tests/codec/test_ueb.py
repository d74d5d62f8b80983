"""The UEB, whose hash is in the cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import Encoding, Geometry
from truckee.codec.hashes import ueb_hash
from truckee.codec.netstring import netstring
from truckee.codec.ueb import (
    MAX_SIZE,
    Ueb,
    fields_in_ueb,
    geometry_in_ueb,
    pack_ueb,
    parse_ueb,
    size_in_ueb,
    ueb_of_fields,
)

FLAT = bytes.fromhex("80ed8bd9cc0ccab9fa8cd2c823c0ad806cbff4c6a44045c38f64a3e3cb5275fd")
CRYPTTEXT = bytes.fromhex(
    "12af5b54aeaede9c953c3906275f6fdfc9f4635904a2c748cd7cb531f2a4990d"
)
SHARE = bytes.fromhex("5c6817fbce7633f83eb533324ee64b0d4936a5fe0873dc1cf2a24cf68c21da74")

EXAMPLE = (
    b"codec_name:3:crs,codec_params:7:57-3-10,"
    b"crypttext_hash:32:%b,crypttext_root_hash:32:%b,"
    b"needed_shares:1:3,num_segments:1:1,segment_size:2:57,"
    b"share_root_hash:32:%b,size:2:56,tail_codec_params:7:57-3-10,total_shares:2:10,"
) % (FLAT, CRYPTTEXT, SHARE)

hashes = st.binary(min_size=32, max_size=32)


def text_of(values: dict[bytes, bytes]) -> bytes:
    """Return a UEB with any keys and values."""
    return b"".join(key + b":" + netstring(value) for key, value in values.items())


NEEDED = {
    b"crypttext_root_hash": CRYPTTEXT,
    b"segment_size": b"57",
    b"share_root_hash": SHARE,
}


class PackTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The UEB of the example file is known to the byte, and so is its hash."""
        ueb = pack_ueb(Encoding().geometry(56), FLAT, CRYPTTEXT, SHARE)
        self.assertEqual(ueb, EXAMPLE)
        self.assertEqual(len(ueb), 308)
        self.assertEqual(
            ueb_hash(ueb).hex(),
            "f11f5bcf54b9f9a705ed2b796545eb8317fab8ff041ed8340fa7ca5161ba3ab7",
        )

    def test_tail(self) -> None:
        """The tail's parameters carry the padded tail, the segments are counted."""
        ueb = pack_ueb(Encoding().geometry(3145745), FLAT, CRYPTTEXT, SHARE)
        self.assertIn(b"codec_params:12:1048578-3-10,crypt", ueb)
        self.assertIn(b"tail_codec_params:7:12-3-10,", ueb)
        self.assertIn(b"num_segments:1:4,", ueb)
        self.assertIn(b",size:7:3145745,", ueb)
        self.assertEqual(len(ueb), 324)

    def test_largest(self) -> None:
        """The UEB of an enormous file stays far below what readers take."""
        ueb = pack_ueb(Encoding(101, 256).geometry(10**18), FLAT, CRYPTTEXT, SHARE)
        self.assertEqual(len(ueb), 363)
        self.assertLess(len(ueb), MAX_SIZE)


class ParseTests(SynchronousTestCase):
    def test_example(self) -> None:
        """A reader takes the segment size and the two roots."""
        self.assertEqual(parse_ueb(EXAMPLE), Ueb(57, CRYPTTEXT, SHARE))

    @given(st.integers(1, 1 << 60), st.integers(1, 256), hashes, hashes, hashes)
    def test_round_trip(
        self, size: int, needed: int, flat: bytes, crypttext: bytes, share: bytes
    ) -> None:
        """What was packed is read back, whatever bytes the hashes hold."""
        geometry = Encoding(needed, 256).geometry(size)
        ueb = pack_ueb(geometry, flat, crypttext, share)
        self.assertEqual(parse_ueb(ueb), Ueb(geometry.segment_size, crypttext, share))

    def test_three_keys_suffice(self) -> None:
        """All keys but three may be absent."""
        self.assertEqual(parse_ueb(text_of(NEEDED)), Ueb(57, CRYPTTEXT, SHARE))
        for key in NEEDED:
            fewer = {name: value for name, value in NEEDED.items() if name != key}
            error = self.assertRaises(ValueError, parse_ueb, text_of(fewer))
            self.assertIn(key.decode("ascii"), str(error))

    def test_other_keys(self) -> None:
        """Old, unknown and wrong optional keys are passed over, in any order."""
        values = {
            b"total_shares": b"99",
            b"num_segments": b"wrong",
            **NEEDED,
            b"plaintext_hash": bytes(32),
            b"plaintext_root_hash": bytes(32),
            b"from_the_future": b"a:1:b,",
            b"codec_name": b"",
        }
        self.assertEqual(parse_ueb(text_of(values)), Ueb(57, CRYPTTEXT, SHARE))

    def test_wrong_values(self) -> None:
        """A segment size that is no number and roots of the wrong length are refused."""
        for key, value in (
            (b"segment_size", b""),
            (b"segment_size", b"-57"),
            (b"segment_size", b"57 "),
            (b"segment_size", b"0x39"),
            (b"segment_size", b"9" * 21),
            (b"crypttext_root_hash", bytes(31)),
            (b"crypttext_root_hash", bytes(33)),
            (b"share_root_hash", b""),
        ):
            self.assertRaises(ValueError, parse_ueb, text_of({**NEEDED, key: value}))

    def test_cut_short(self) -> None:
        """No beginning of a UEB passes, unless all that is needed is in it."""
        for length in range(len(EXAMPLE)):
            try:
                parsed = parse_ueb(EXAMPLE[:length])
            except ValueError:
                continue
            self.assertEqual(parsed, Ueb(57, CRYPTTEXT, SHARE))

    @given(st.binary(max_size=60), st.integers(0, len(EXAMPLE)))
    def test_noise(self, noise: bytes, at: int) -> None:
        """Noise is refused with a ValueError, never with another error."""
        for text in (noise, EXAMPLE[:at] + noise, EXAMPLE[:at] + noise + EXAMPLE[at:]):
            try:
                parse_ueb(text)
            except ValueError:
                continue

    def test_not_one_geometry(self) -> None:
        """The parsed segment size is not yet a geometry: k comes from the cap."""
        parsed = parse_ueb(text_of({**NEEDED, b"segment_size": b"58"}))
        self.assertRaises(ValueError, Geometry, 56, 3, 10, parsed.segment_size)


class SizeTests(SynchronousTestCase):
    def test_example(self) -> None:
        """Who has no cap finds the size in the UEB."""
        self.assertEqual(size_in_ueb(EXAMPLE), 56)

    @given(st.integers(1, 1 << 60))
    def test_round_trip(self, size: int) -> None:
        """The size that was packed is found."""
        ueb = pack_ueb(Encoding().geometry(size), FLAT, CRYPTTEXT, SHARE)
        self.assertEqual(size_in_ueb(ueb), size)

    def test_not_stated(self) -> None:
        """A UEB without a size, or with one that is no number, is refused."""
        self.assertRaises(ValueError, size_in_ueb, b"")
        self.assertRaises(ValueError, size_in_ueb, text_of(NEEDED))
        self.assertRaises(ValueError, size_in_ueb, EXAMPLE[:-1])
        for size in (b"", b"-1", b"5 ", b"9" * 21):
            ueb = text_of({**NEEDED, b"size": size})
            self.assertRaises(ValueError, size_in_ueb, ueb)


class FieldsTests(SynchronousTestCase):
    def test_example(self) -> None:
        """What helpers tell of a file: names are text, numbers are numbers."""
        self.assertEqual(
            fields_in_ueb(EXAMPLE),
            {
                "codec_name": b"crs",
                "codec_params": b"57-3-10",
                "crypttext_hash": FLAT,
                "crypttext_root_hash": CRYPTTEXT,
                "needed_shares": 3,
                "num_segments": 1,
                "segment_size": 57,
                "share_root_hash": SHARE,
                "size": 56,
                "tail_codec_params": b"57-3-10",
                "total_shares": 10,
            },
        )

    @given(st.integers(1, 1 << 60), st.integers(1, 20), st.integers(20, 256))
    def test_round_trip(self, size: int, needed: int, total: int) -> None:
        """The fields make the UEB again, and tell how the file is cut."""
        geometry = Encoding(needed, total).geometry(size)
        ueb = pack_ueb(geometry, FLAT, CRYPTTEXT, SHARE)
        self.assertEqual(ueb_of_fields(fields_in_ueb(ueb)), ueb)
        self.assertEqual(geometry_in_ueb(ueb), geometry)

    def test_no_numbers(self) -> None:
        """Numbers that are none are refused."""
        for number in (b"", b"-1", b"5 ", b"9" * 21):
            ueb = text_of({**NEEDED, b"size": number})
            self.assertRaises(ValueError, fields_in_ueb, ueb)
            self.assertRaises(ValueError, geometry_in_ueb, ueb)

    def test_no_file(self) -> None:
        """A UEB that states no file, or one that is cut as none is, is refused."""
        self.assertRaises(ValueError, geometry_in_ueb, text_of(NEEDED))
        shape = {
            b"size": b"56",
            b"needed_shares": b"3",
            b"total_shares": b"10",
            b"segment_size": b"57",
        }
        self.assertEqual(geometry_in_ueb(text_of(shape)), Geometry(56, 3, 10, 57))
        for wrong in (
            {b"size": b"0"},
            {b"needed_shares": b"11"},
            {b"total_shares": b"257"},
            {b"segment_size": b"56"},
        ):
            self.assertRaises(ValueError, geometry_in_ueb, text_of({**shape, **wrong}))

    def test_no_fields(self) -> None:
        """Only numbers and byte strings under names in ASCII are fields."""
        for fields in ({"size": "56"}, {"size": None}, {"size": [1]}, {"gr\xf6sse": 1}):
            self.assertRaises(ValueError, ueb_of_fields, fields)
