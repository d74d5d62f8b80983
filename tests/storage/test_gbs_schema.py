"""Messages of storage over HTTPS: strict, bounded, the same on both sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage import gbs_schema
from truckee.storage.gbs_schema import Nurl
from truckee.storage.ranges import RangeSet

HASH = bytes(range(32))
TEXT = "pb://AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8@example.org:3457/abc234#v=1"
NUMBERS = st.sets(st.integers(0, 255))


class NurlTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """A NURL is read and written."""
        nurl = Nurl(HASH, "example.org", 3457, "abc234")
        self.assertEqual(nurl.text, TEXT)
        self.assertEqual(Nurl.parse(TEXT), nurl)
        self.assertNotIn("abc234", repr(nurl))

    def test_ipv6(self) -> None:
        """An IPv6 address has brackets in the text and none inside."""
        nurl = Nurl(HASH, "::1", 80, "x")
        self.assertIn("@[::1]:80/", nurl.text)
        self.assertEqual(Nurl.parse(nurl.text), nurl)

    def test_tor(self) -> None:
        """One for Tor is another one than that for plain TCP."""
        nurl = Nurl(HASH, "a.onion", 80, "x", over_tor=True)
        self.assertTrue(nurl.text.startswith("pb+tor://"))
        self.assertEqual(Nurl.parse(nurl.text), nurl)
        self.assertNotEqual(Nurl.parse(nurl.text.replace("+tor", "")), nurl)

    def test_bad(self) -> None:
        """What is no NURL of version 1 is refused."""
        for text in (
            "",
            TEXT.replace("#v=1", ""),
            TEXT.replace("#v=1", "#v=2"),
            TEXT.replace("pb:", "http:"),
            TEXT.replace("pb:", "pb+i2p:"),
            TEXT.replace("pb:", "pb+tor+tor:"),
            TEXT.replace(":3457", ""),
            TEXT.replace("3457", "0"),
            TEXT.replace("3457", "65536"),
            TEXT.replace("AAEC", "AAE"),
            TEXT.replace("Hh8@", "Hh9@"),  # spare bits
            TEXT.replace("/abc234", "/"),
            TEXT.replace("abc234", "a b"),
            TEXT.replace("abc234", "a/b"),
            TEXT.replace("example.org", "a,b"),
            TEXT.replace("example.org", "a@b"),
            TEXT + "\n",
        ):
            with self.assertRaises(ValueError, msg=text):
                Nurl.parse(text)

    def test_of_furl(self) -> None:
        """A furl and the hash of the certificate give one NURL for each tcp hint."""
        furl = "pb://" + "a" * 32 + "@tcp:1.2.3.4:5,tor:x.onion:9,tcp:[::1]:6/sw1ss"
        self.assertEqual(
            gbs_schema.nurls_of(furl, HASH),
            [Nurl(HASH, "1.2.3.4", 5, "sw1ss"), Nurl(HASH, "::1", 6, "sw1ss")],
        )
        self.assertEqual(gbs_schema.nurls_of("nonsense", HASH), [])

    def test_no_certificate(self) -> None:
        """What is no certificate has no hash."""
        for data in (b"", b"x" * 1000):
            with self.assertRaises(ValueError):
                gbs_schema.spki_hash(data)


class HeaderTests(SynchronousTestCase):
    def test_authorization(self) -> None:
        """The swissnum goes in base64."""
        self.assertEqual(gbs_schema.authorization("abc"), b"Tahoe-LAFS YWJj")

    def test_secrets(self) -> None:
        """Secrets come back by name."""
        secrets = {"upload-secret": b"u", "lease-renew-secret": b"r" * 32}
        values = [gbs_schema.secret_header(name, each) for name, each in secrets.items()]
        self.assertEqual(gbs_schema.parse_secrets(values, secrets.keys()), secrets)
        self.assertEqual(gbs_schema.parse_secrets([], set()), {})

    def test_bad_secrets(self) -> None:
        """Missing, surplus, doubled, unknown, empty and malformed ones are refused."""
        good = b"upload-secret dQ=="
        for values in (
            [],
            [good, good],
            [good] * 1000,
            [good, b"lease-renew-secret " + b"cnJy" * 11],
            [b"upload-secret"],
            [b"upload-secret "],
            [b"upload-secret  dQ=="],
            [b"upload-secret dQ"],
            [b"upload-secret d!Q=="],
            [b"Upload-Secret dQ=="],
            [b"other dQ=="],
            [b"upload-secret \xff"],
            [b"upload-secret " + b"dQdQ" * 100_000],
        ):
            with self.assertRaises(ValueError, msg=values[:1]):
                gbs_schema.parse_secrets(values, {"upload-secret"})
        short = gbs_schema.secret_header("lease-renew-secret", b"r" * 31)
        with self.assertRaises(ValueError):
            gbs_schema.parse_secrets([short], {"lease-renew-secret"})

    @given(st.integers(0, 1 << 63), st.integers(1, 1 << 62))
    def test_ranges(self, begin: int, length: int) -> None:
        """A range is read as it was written."""
        end = begin + length
        header = gbs_schema.content_range(begin, end)
        self.assertEqual(gbs_schema.parse_content_range(header), (begin, end))
        self.assertEqual(
            gbs_schema.parse_range(gbs_schema.range_header(begin, end)), (begin, end)
        )

    def test_total(self) -> None:
        """The total may be a number, which says nothing; it may not be missing."""
        self.assertEqual(gbs_schema.parse_content_range(b"bytes 3-4/100"), (3, 5))

    def test_bad_ranges(self) -> None:
        """Open ends, several ranges, and those that end before they begin are refused."""
        for value in (
            b"",
            b"bytes=1-",
            b"bytes=-1",
            b"bytes=3-2",
            b"bytes=1-2,4-5",
            b"bytes 1-2",
            b"bytes=1-2/*",
            b"bytes 2-1/*",
            b"bytes 1-2/",
            b"items=1-2",
            b"bytes=1-2\n",
            b"bytes=+1-2",
            b"bytes=0-18446744073709551615",
            b"bytes 0-" + b"9" * 5000 + b"/*",
        ):
            with self.assertRaises(ValueError, msg=value):
                gbs_schema.parse_range(value)
            with self.assertRaises(ValueError, msg=value):
                gbs_schema.parse_content_range(value)

    def test_storage_index(self) -> None:
        """A storage index in a path has 26 lower-case characters and no spare bits."""
        self.assertEqual(gbs_schema.parse_storage_index("a" * 26), bytes(16))
        for text in ("", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "b", "a" * 32, "é" * 26):
            with self.assertRaises(ValueError):
                gbs_schema.parse_storage_index(text)


PARSERS: dict[Callable[[bytes], object], bytes] = {
    gbs_schema.parse_allocate: gbs_schema.encode_allocate({1, 2}, 3),
    gbs_schema.parse_allocated: gbs_schema.encode_allocated({1}, {2, 3}),
    gbs_schema.parse_required: gbs_schema.encode_required([(1, 2), (4, 1 << 40)]),
    gbs_schema.parse_shares: gbs_schema.encode_shares({0, 255}),
    gbs_schema.parse_report: gbs_schema.encode_report("bad"),
    gbs_schema.parse_version: gbs_schema.encode_version(b"a/1", 77),
}


class MessageTests(SynchronousTestCase):
    @given(NUMBERS, NUMBERS, st.integers(0, (1 << 64) - 1))
    def test_both_ways(self, some: set[int], others: set[int], size: int) -> None:
        """What one side says the other understands."""
        allocate = gbs_schema.encode_allocate(some, size)
        self.assertEqual(gbs_schema.parse_allocate(allocate), (some, size))
        self.assertLessEqual(len(allocate), gbs_schema.MAX_ALLOCATE)
        answer = gbs_schema.encode_allocated(some, others)
        self.assertEqual(gbs_schema.parse_allocated(answer), (some, others))
        shares = gbs_schema.encode_shares(some)
        self.assertEqual(gbs_schema.parse_shares(shares), some)
        version = gbs_schema.encode_version(b"a/1", size)
        said = gbs_schema.parse_version(version)
        self.assertEqual((said.application, said.space), ("a/1", size))
        required = gbs_schema.encode_required([(size, size)])
        self.assertEqual(gbs_schema.parse_required(required), [(size, size)])

    @given(st.text())
    def test_report(self, reason: str) -> None:
        """A report is never empty."""
        got = gbs_schema.parse_report(gbs_schema.encode_report(reason))
        self.assertTrue(got)

    def test_long_report(self) -> None:
        """A long report is cut between characters to what fits."""
        for text in ("x" * 100_000, "\N{SNOWMAN}" * 100_000):
            body = gbs_schema.encode_report(text)
            self.assertLessEqual(len(body), gbs_schema.MAX_REPORT)
            self.assertTrue(text.startswith(gbs_schema.parse_report(body)))

    def test_known_bytes(self) -> None:
        """Sets have tag 258; names are texts, those of the version are bytes."""
        self.assertEqual(gbs_schema.encode_shares({3}).hex(), "d901028103")
        allocate = gbs_schema.encode_allocate({3}, 4)
        self.assertEqual(cbor2.loads(allocate), {"share-numbers": {3}, "allocated-size": 4})
        version = cbor2.loads(gbs_schema.encode_version(b"a/1", 5))
        self.assertEqual(version[b"application-version"], b"a/1")

    def test_odd_versions(self) -> None:
        """A program that does not say what it is is one all the same; words are cut."""
        message = cbor2.loads(gbs_schema.encode_version(b"\xff" * 1000, 5))
        said = gbs_schema.parse_version(cbor2.dumps(message)).application
        self.assertEqual(said, "\N{REPLACEMENT CHARACTER}" * 200)
        message.pop(b"application-version")
        self.assertEqual(gbs_schema.parse_version(cbor2.dumps(message)).application, "?")
        message[b"application-version"] = "text"
        with self.assertRaises(ValueError):
            gbs_schema.parse_version(cbor2.dumps(message))

    def test_cut_and_followed(self) -> None:
        """A message that is cut off, or has something behind it, is refused."""
        for parse, message in PARSERS.items():
            parse(message)
            for end in range(len(message)):
                with self.assertRaises(ValueError):
                    parse(message[:end])
            with self.assertRaises(ValueError):
                parse(message + b"\0")

    @given(st.binary(max_size=80))
    def test_noise(self, noise: bytes) -> None:
        """Noise is refused as such, and breaks nothing."""
        for parse, message in PARSERS.items():
            for data in (noise, message[: len(noise) // 2] + noise):
                try:
                    parse(data)
                except ValueError:
                    continue

    def test_other_types(self) -> None:
        """Arrays for sets, wrong keys, signs, floats, booleans and sizes are refused."""
        shares: list[Any] = [
            [1],
            {-1},
            {1.0},
            {True},
            {"1"},
            {1 << 64},
            set(range(257)),
            {1: 2},
            None,
            1,
        ]
        for value in shares:
            with self.assertRaises(ValueError, msg=repr(value)):
                gbs_schema.parse_shares(cbor2.dumps(value))
        allocations: list[Any] = [
            {"share-numbers": {1}},
            {"share-numbers": {1}, "allocated-size": 1, "more": 1},
            {"share-numbers": {1}, b"allocated-size": 1},
            {"share-numbers": [1], "allocated-size": 1},
            {"share-numbers": {256}, "allocated-size": 1},
            {"share-numbers": {1}, "allocated-size": -1},
            {"share-numbers": {1}, "allocated-size": 1 << 64},
            {"share-numbers": {1}, "allocated-size": 1.5},
            {"share-numbers": {1}, "allocated-size": True},
            [],
        ]
        for value in allocations:
            with self.assertRaises(ValueError, msg=repr(value)):
                gbs_schema.parse_allocate(cbor2.dumps(value))
        for reason in ("", "x" * 32_766, b"x", 1):
            with self.assertRaises(ValueError):
                gbs_schema.parse_report(cbor2.dumps({"reason": reason}))

    def test_hostile_cbor(self) -> None:
        """Huge counts, deep nesting, no length and odd tags are refused in no time."""
        begin = time.process_time()
        for text in (
            "9bffffffffffffffff",
            "bbffffffffffffffff",
            "5bffffffffffffffff",
            "7affffffff41",
            "d901029bffffffffffffffff",
            "9fff",
            "bfff",
            "5f4100ff",
            "81" * 100_000 + "00",
            "d90102" * 100_000 + "80",
            "d823612e",  # a regular expression
            "c074323032302d30312d30315430303a30303a30305a",  # a date
            "c482013b7fffffffffffffff",  # decimal fraction
            "c5821b7fffffffffffffff01",  # big float
            "c24100",  # big number
            "d81c80",  # shared
            "f90000",
            "fb0000000000000000",
            "f7",
            "ff",
            "1c",
            "62c328",  # not UTF-8
            "d901028180",  # a set of arrays
            "d90102a0",  # a map as a set
            "a18000",
        ):
            for parse in PARSERS:
                with self.assertRaises(ValueError, msg=text[:40]):
                    parse(bytes.fromhex(text))
        self.assertLess(time.process_time() - begin, 5)


class RangeSetTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))), st.integers(0, 50))
    def test_like_a_set(self, ranges: list[tuple[int, int]], size: int) -> None:
        """It is the set of all bytes added, in as few ranges as there are."""
        found, expected = RangeSet(), set[int]()
        for begin, end in ranges:
            found.add(begin, end)
            expected.update(range(begin, end))
        missing = [range(begin, end) for begin, end in found.missing(size)]
        self.assertTrue(all(missing))
        self.assertEqual(
            [byte for part in missing for byte in part],
            [byte for byte in range(size) if byte not in expected],
        )
        self.assertEqual(found.size, len(expected))
        starts = [byte for byte in expected if byte - 1 not in expected]
        self.assertEqual(found.count, len(starts))
