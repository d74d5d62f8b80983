"""Capabilities: text in, values out, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.codec.caps import (
    Cap,
    ChkReadCap,
    ChkVerifyCap,
    DirectoryCap,
    FileCap,
    LiteralCap,
    MalformedCap,
    MutableReadCap,
    MutableVerifyCap,
    MutableWriteCap,
    UnknownCap,
    parse_cap,
)
from truckee.codec.geometry import LITERAL_LIMIT
from truckee.errors import Misuse

KEY = bytes(range(16))
HASH = bytes(range(32))
K16 = "aaaqeayeaudaocajbifqydiob4"
H32 = base32.encode(HASH)
CHK = f"{K16}:{H32}:3:10:56"
PAIR = f"{K16}:{H32}"

# Every kind of file cap: its name, the rest of its text, its value.
FILES: list[tuple[str, str, FileCap]] = [
    ("CHK", CHK, ChkReadCap(KEY, HASH, 3, 10, 56)),
    ("CHK-Verifier", CHK, ChkVerifyCap(KEY, HASH, 3, 10, 56)),
    ("LIT", "nbswy3dp", LiteralCap(b"hello")),
    ("SSK", PAIR, MutableWriteCap("SSK", KEY, HASH)),
    ("SSK-RO", PAIR, MutableReadCap("SSK", KEY, HASH)),
    ("SSK-Verifier", PAIR, MutableVerifyCap("SSK", KEY, HASH)),
    ("MDMF", PAIR, MutableWriteCap("MDMF", KEY, HASH)),
    ("MDMF-RO", PAIR, MutableReadCap("MDMF", KEY, HASH)),
    ("MDMF-Verifier", PAIR, MutableVerifyCap("MDMF", KEY, HASH)),
]

# The directory kind over each file kind.
DIRECTORIES = {
    "CHK": "DIR2-CHK",
    "CHK-Verifier": "DIR2-CHK-Verifier",
    "LIT": "DIR2-LIT",
    "SSK": "DIR2",
    "SSK-RO": "DIR2-RO",
    "SSK-Verifier": "DIR2-Verifier",
    "MDMF": "DIR2-MDMF",
    "MDMF-RO": "DIR2-MDMF-RO",
    "MDMF-Verifier": "DIR2-MDMF-Verifier",
}

# All eighteen kinds: text, value.
ALL: list[tuple[str, Cap]] = [
    *((f"URI:{kind}:{tail}", cap) for kind, tail, cap in FILES),
    *((f"URI:{DIRECTORIES[kind]}:{tail}", DirectoryCap(cap)) for kind, tail, cap in FILES),
]

sixteen = st.binary(min_size=16, max_size=16)
thirty_two = st.binary(min_size=32, max_size=32)
formats = st.sampled_from(["SSK", "MDMF"])


@st.composite
def chk_caps(draw: st.DrawFn) -> FileCap:
    """Read and verify caps of immutable files."""
    total = draw(st.integers(1, 256))
    needed = draw(st.integers(1, total))
    size = draw(st.integers(1, (1 << 64) - 1))
    make = ChkReadCap if draw(st.booleans()) else ChkVerifyCap
    return make(draw(sixteen), draw(thirty_two), needed, total, size)


files: st.SearchStrategy[FileCap] = st.one_of(
    chk_caps(),
    st.builds(LiteralCap, st.binary(max_size=80)),
    st.builds(MutableWriteCap, formats, sixteen, thirty_two),
    st.builds(MutableReadCap, formats, sixteen, thirty_two),
    st.builds(MutableVerifyCap, formats, sixteen, thirty_two),
)
caps: st.SearchStrategy[Cap] = st.one_of(files, st.builds(DirectoryCap, files))


class FormTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Each of the eighteen kinds has one text and one value."""
        self.assertEqual(len(dict(ALL)), 18)
        for text, cap in ALL:
            self.assertEqual(parse_cap(text), cap)
            self.assertEqual(str(cap), text)

    @given(caps)
    def test_round_trip(self, cap: Cap) -> None:
        """Every cap reads back from its text."""
        self.assertEqual(parse_cap(str(cap)), cap)

    @given(st.text(max_size=80), st.sampled_from([text for text, _cap in ALL]), st.data())
    def test_no_other_error(self, noise: str, text: str, data: st.DataObject) -> None:
        """Whatever the text, there is a cap or a MalformedCap, and the cap reads back."""
        at = data.draw(st.integers(0, len(text)))
        for spoiled in (noise, text[:at] + noise, text[:at] + noise + text[at:]):
            try:
                cap = parse_cap(spoiled)
            except MalformedCap:
                continue
            self.assertEqual(parse_cap(str(cap)), cap)

    def test_example_file(self) -> None:
        """The cap of the example file reads as it was made."""
        text = (
            "URI:CHK:hah7mxwfpqemm7icdh3hwsa5fa:"
            "6epvxt2uxh42obpnfn4wkrplqml7voh7aqpnqnapu7ffcyn2hk3q:3:10:56"
        )
        cap = parse_cap(text)
        assert isinstance(cap, ChkReadCap)
        self.assertEqual(cap.key.hex(), "380ff65ec57c08c67d0219f67b481d28")
        self.assertEqual(
            cap.ueb_hash.hex(),
            "f11f5bcf54b9f9a705ed2b796545eb8317fab8ff041ed8340fa7ca5161ba3ab7",
        )
        self.assertEqual((cap.needed, cap.total, cap.size), (3, 10, 56))
        self.assertEqual(base32.encode(cap.storage_index), "5mwuz5yxisqrnhtrsljs7wkyb4")

    def test_literal(self) -> None:
        """A literal cap may be empty, short, or as long as writers make it."""
        self.assertEqual(str(LiteralCap(b"")), "URI:LIT:")
        self.assertEqual(len(str(LiteralCap(bytes(LITERAL_LIMIT)))), 96)
        for size in (0, 5, LITERAL_LIMIT):
            cap = LiteralCap(bytes(size))
            self.assertEqual(parse_cap(str(cap)), cap)
            self.assertEqual(cap.size, size)

    def test_secrets_are_in_no_repr(self) -> None:
        """What reads or writes a file does not show when a cap is logged."""
        for cap in (
            ChkReadCap(b"secret..secret..", HASH, 3, 10, 56),
            LiteralCap(b"secret"),
            MutableWriteCap("SSK", b"secret..secret..", HASH),
            MutableReadCap("MDMF", b"secret..secret..", HASH),
            DirectoryCap(LiteralCap(b"secret")),
            UnknownCap("secret"),
        ):
            self.assertNotIn("secret", repr(cap))


class ToleranceTests(SynchronousTestCase):
    def test_not_caps(self) -> None:
        """Text with no known prefix is kept as it came, to the letter."""
        for text in (
            "",
            "URI",
            "URI:",
            "URI:CHK",
            "URI::",
            f"URI%3ACHK%3A{K16}",
            f"http://localhost:3456/uri/URI:CHK:{CHK}",
            f" URI:CHK:{CHK}",
            f"uri:CHK:{CHK}",
            f"URI:chk:{CHK}",
            f"URI:DIR2-SSK:{PAIR}",
            f"URI:DIR2-LIT-Verifier:{PAIR}",
            f"URI:DIR3:{PAIR}",
            "lafs://from-the-future",
        ):
            self.assertEqual(parse_cap(text), UnknownCap(text))
            self.assertEqual(str(parse_cap(text)), text)

    def test_malformed(self) -> None:
        """Behind a known prefix, what does not fit is refused."""
        for text in (
            "URI:CHK:",
            f"URI:CHK:{PAIR}",
            f"URI:CHK:{PAIR}:3:10",
            f"URI:CHK:{CHK}:extra",
            f"URI:CHK:{CHK}:",
            f"URI:CHK:{CHK} ",
            f"URI:CHK:{CHK}\n",
            f"URI:CHK:{K16.upper()}:{H32}:3:10:56",
            f"URI:CHK:{K16[:-1]}5:{H32}:3:10:56",
            f"URI:CHK:{K16[:-1]}:{H32}:3:10:56",
            f"URI:CHK:{K16}aa:{H32}:3:10:56",
            f"URI:CHK:{K16}======:{H32}:3:10:56",
            f"URI:CHK:{H32}:{K16}:3:10:56",
            f"URI:CHK:{PAIR}:-3:10:56",
            f"URI:CHK:{PAIR}:+3:10:56",
            f"URI:CHK:{PAIR}:3::56",
            f"URI:CHK:{PAIR}:3:10:5_6",
            f"URI:CHK:{PAIR}:3:10:٥٦",
            f"URI:CHK:{PAIR}:3:10:5.6",
            "URI:LIT:A",
            "URI:LIT:a",
            "URI:LIT:nbswy3dq=",
            "URI:LIT:nbswy3dp\n",
            f"URI:SSK:{K16}",
            f"URI:SSK:{PAIR}:3:131073",
            f"URI:SSK-RO:{PAIR}:tail",
            f"URI:SSK-Verifier:{PAIR}:tail",
            f"URI:DIR2:{PAIR}:tail",
            f"URI:DIR2-RO:{PAIR}:tail",
            f"URI:DIR2-CHK:{CHK}:tail",
            f"URI:MDMF:{PAIR}tail",
            f"URI:MDMF:{PAIR} :tail",
            f"URI:DIR2-MDMF:{PAIR}tail",
            f"URI:CHK-Verifier:{CHK}tail",
        ):
            self.assertRaises(MalformedCap, parse_cap, text)

    def test_impossible_numbers(self) -> None:
        """k, N and size that no file can have are refused at once."""
        for numbers in ("0:10:56", "11:10:56", "3:257:56", "3:1000:56", "0:0:56", "3:10:0"):
            for kind in ("CHK", "CHK-Verifier", "DIR2-CHK", "DIR2-CHK-Verifier"):
                self.assertRaises(MalformedCap, parse_cap, f"URI:{kind}:{PAIR}:{numbers}")
        for numbers in ("1:1:1", "256:256:1", "1:256:18446744073709551615"):
            self.assertEqual(
                str(parse_cap(f"URI:CHK:{PAIR}:{numbers}")), f"URI:CHK:{PAIR}:{numbers}"
            )

    def test_leading_zeros(self) -> None:
        """Leading zeros are read and not written, however many they are."""
        for zeros in ("0", "00", "0" * 30, "0" * 5000):
            text = f"URI:CHK:{PAIR}:{zeros}3:{zeros}10:{zeros}56"
            self.assertEqual(str(parse_cap(text)), f"URI:CHK:{CHK}")

    def test_endless_numbers(self) -> None:
        """A number longer than any size is refused, not computed."""
        for digits in (21, 5000):
            text = f"URI:CHK:{PAIR}:3:10:{'9' * digits}"
            self.assertRaises(MalformedCap, parse_cap, text)

    def test_tails(self) -> None:
        """What old writers appended after a colon is read over and not written."""
        for kind, plain in (
            ("CHK-Verifier", CHK),
            ("DIR2-CHK-Verifier", CHK),
            ("MDMF", PAIR),
            ("MDMF-RO", PAIR),
            ("MDMF-Verifier", PAIR),
            ("DIR2-MDMF", PAIR),
            ("DIR2-MDMF-RO", PAIR),
            ("DIR2-MDMF-Verifier", PAIR),
        ):
            for tail in (":3:131073", ":", "::", ":anything at all"):
                cap = parse_cap(f"URI:{kind}:{plain}{tail}")
                self.assertEqual(str(cap), f"URI:{kind}:{plain}")

    def test_error_is_the_users(self) -> None:
        """A malformed cap is a Misuse whose sentence says what to do, without the cap."""
        error = self.assertRaises(
            MalformedCap, parse_cap, f"URI:CHK:{K16.upper()}::3:10:56"
        )
        self.assertIsInstance(error, Misuse)
        self.assertIn('from "URI:" to its end', str(error))
        self.assertNotIn(K16.upper(), str(error))


class PrefixTests(SynchronousTestCase):
    # Kind of cap behind the prefix, whether ro. is met, whether imm. is met.
    TABLE = [
        (("CHK", "LIT", "DIR2-CHK", "DIR2-LIT"), True, True),
        (("CHK-Verifier", "SSK-Verifier", "MDMF-Verifier"), True, True),
        (("DIR2-CHK-Verifier", "DIR2-Verifier", "DIR2-MDMF-Verifier"), True, True),
        (("SSK-RO", "MDMF-RO", "DIR2-RO", "DIR2-MDMF-RO"), True, False),
        (("SSK", "MDMF", "DIR2", "DIR2-MDMF"), False, False),
    ]

    def test_demands(self) -> None:
        """ro. demands a cap that cannot write, imm. one whose file cannot change."""
        texts = {text.split(":")[1]: text for text, _cap in ALL}
        checked = set()
        for kinds, read_only, immutable in self.TABLE:
            for kind in kinds:
                checked.add(kind)
                for prefix, met in (("ro.", read_only), ("imm.", immutable)):
                    if met:
                        self.assertEqual(str(parse_cap(prefix + texts[kind])), texts[kind])
                    else:
                        error = self.assertRaises(
                            MalformedCap, parse_cap, prefix + texts[kind]
                        )
                        self.assertIn(f"{prefix} in front", str(error))
        self.assertEqual(checked, set(texts))

    def test_unknown(self) -> None:
        """An unknown cap keeps its prefix."""
        for text in ("ro.lafs://future", "imm.lafs://future", "ro.", "imm."):
            self.assertEqual(parse_cap(text), UnknownCap(text))

    def test_one_prefix_only(self) -> None:
        """A second prefix makes an unknown cap."""
        for prefix in ("ro.imm.", "imm.ro.", "ro.ro.", "imm.imm."):
            text = f"{prefix}URI:CHK:{CHK}"
            self.assertEqual(parse_cap(text), UnknownCap(text))

    def test_malformed(self) -> None:
        """A prefix does not hide that the rest is wrong."""
        self.assertRaises(MalformedCap, parse_cap, "ro.URI:CHK:")


class DiminishTests(SynchronousTestCase):
    def test_chk(self) -> None:
        """An immutable verify cap has the storage index in place of the key."""
        cap = ChkReadCap(KEY, HASH, 3, 10, 56)
        verify = cap.verify_cap()
        self.assertEqual(
            str(verify), f"URI:CHK-Verifier:hdis5iaveku6lnlaiccydyid7q:{H32}:3:10:56"
        )
        self.assertEqual(verify.storage_index, cap.storage_index)
        self.assertEqual(verify.verify_cap(), verify)

    def test_chk_with_its_key(self) -> None:
        """Who knows the key makes the read cap from the verify cap."""
        cap = ChkReadCap(KEY, HASH, 3, 10, 56)
        self.assertEqual(cap.verify_cap().read_cap(KEY), cap)

    def test_literal(self) -> None:
        """A literal cap has no verify cap, as a file and as a directory."""
        for text in ("URI:LIT:nbswy3dp", "URI:DIR2-LIT:nbswy3dp"):
            cap = parse_cap(text)
            assert isinstance(cap, LiteralCap | DirectoryCap)
            self.assertIsNone(cap.verify_cap())

    def test_mutable(self) -> None:
        """Write caps give read caps and those verify caps, each by a hash."""
        for name in ("SSK", "MDMF"):
            write = MutableWriteCap(name, KEY, HASH)
            read = write.read_cap()
            verify = read.verify_cap()
            self.assertEqual(str(read), f"URI:{name}-RO:zlnpn42lu7xedonux53kr42hsm:{H32}")
            self.assertEqual(
                str(verify), f"URI:{name}-Verifier:axmc3zjy3mkanylpyx7u2zuqum:{H32}"
            )
            self.assertEqual(write.verify_cap(), verify)
            self.assertEqual(verify.verify_cap(), verify)

    @given(files)
    def test_directories(self, inner: FileCap) -> None:
        """A directory's verify cap is the directory of its file's verify cap."""
        verify = inner.verify_cap()
        expected = None if verify is None else DirectoryCap(verify)
        self.assertEqual(DirectoryCap(inner).verify_cap(), expected)
