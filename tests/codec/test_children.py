"""Children: which caps may stand where, what they give, and what stock says of it."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_example import READ, READ_ONLY, WRITE, all_texts, caps
from tests.codec.stock_directories import MakeChild, Refusal, work
from truckee.codec.caps import DirectoryCap, MalformedCap, parse_cap
from truckee.codec.children import (
    BadChild,
    Child,
    ChildMustBeImmutable,
    ContradictoryCaps,
    UnknownWriteCap,
    VerifyCapForChild,
    WriteCapForReaders,
    child_from_caps,
    new_child,
    stored_ro,
)
from truckee.errors import Misuse

X, Y = "x-foo", "y-bar"
Texts = tuple[str | None, str | None]  # rw, ro


@frozen
class Row:
    """Caps that are given, and what comes of them in either kind of directory."""

    given: Texts
    mutable: Texts | type[Exception]
    immutable: Texts | type[Exception]  # as a directory that was read
    packed: str | None  # the ro field in a new immutable directory; None: refused


# The page's table of unknown caps, with every prefix.
UNKNOWN = [
    Row((X, None), UnknownWriteCap, ChildMustBeImmutable, None),
    Row((f"ro.{X}", None), (None, f"ro.{X}"), ChildMustBeImmutable, X),
    Row((f"imm.{X}", None), (None, f"imm.{X}"), (None, f"imm.{X}"), X),
    Row((None, X), (None, f"ro.{X}"), (None, f"imm.{X}"), X),
    Row((None, f"ro.{X}"), (None, f"ro.{X}"), (None, f"imm.{X}"), X),
    Row((None, f"imm.{X}"), (None, f"imm.{X}"), (None, f"imm.{X}"), X),
    Row((X, Y), (X, f"ro.{Y}"), ChildMustBeImmutable, None),
    Row((X, f"ro.{Y}"), (X, f"ro.{Y}"), ChildMustBeImmutable, None),
    Row((f"ro.{X}", Y), (f"ro.{X}", f"ro.{Y}"), ChildMustBeImmutable, None),
    Row((X, f"imm.{Y}"), ContradictoryCaps, ChildMustBeImmutable, None),
    Row((None, None), (None, None), (None, None), ""),
    Row(("", ""), (None, None), (None, None), ""),
]
# The same of known ones.
KNOWN = [
    Row((WRITE, None), (WRITE, READ), ChildMustBeImmutable, None),
    Row((WRITE, READ), (WRITE, READ), ChildMustBeImmutable, None),
    # A contradiction is dropped.
    Row((WRITE, X), (WRITE, READ), ChildMustBeImmutable, None),
    Row((WRITE, f"imm.{X}"), (WRITE, READ), ChildMustBeImmutable, None),
    # A link gives what its caps can do, whichever field they stand in.
    Row((None, WRITE), (WRITE, READ), ChildMustBeImmutable, None),
    Row((READ, None), (None, READ), ChildMustBeImmutable, None),
    Row((None, f"ro.{READ}"), (None, READ), ChildMustBeImmutable, None),
    Row((None, f"ro.{WRITE}"), MalformedCap, MalformedCap, None),
    Row((None, f"imm.{READ}"), MalformedCap, MalformedCap, None),
    Row((READ_ONLY, None), (None, READ_ONLY), (None, READ_ONLY), READ_ONLY),
    Row((None, f"imm.{READ_ONLY}"), (None, READ_ONLY), (None, READ_ONLY), READ_ONLY),
    # Misspelt: unknown as rw, refused as ro.
    Row(("URI:SSK:x", READ), ("URI:SSK:x", f"ro.{READ}"), ChildMustBeImmutable, None),
    Row((None, "URI:SSK:x"), MalformedCap, MalformedCap, None),
]


def found(rw: str | None, ro: str | None, *, immutable: bool) -> Any:
    """Return rw and ro of a child, or the class of the error."""
    try:
        child = child_from_caps(rw, ro, immutable=immutable)
    except (BadChild, MalformedCap) as error:
        return type(error)
    return child.rw, child.ro


def is_refused(result: Any) -> bool:
    """Tell whether *result*, of ours or stock's, is an error."""
    return isinstance(result, (type, Refusal))


class RuleTests(SynchronousTestCase):
    def test_rows(self) -> None:
        """Every row of the tables comes out as it says, in both kinds of directories."""
        for row in UNKNOWN + KNOWN:
            self.assertEqual(found(*row.given, immutable=False), row.mutable, row)
            self.assertEqual(found(*row.given, immutable=True), row.immutable, row)
            if isinstance(row.mutable, tuple):
                child = new_child(*row.given)
                self.assertEqual((child.rw, child.ro), row.mutable)
                packed = stored_ro(child, immutable=True)
                self.assertEqual(child.is_deep_immutable, row.packed is not None, row)
                if row.packed is not None:
                    self.assertEqual(packed, row.packed)
            else:
                self.assertRaises(row.mutable, new_child, *row.given)

    def test_rows_of_stock(self) -> None:
        """Stock gives the same for each row."""
        rows = UNKNOWN + KNOWN
        jobs = [
            MakeChild(*row.given, immutable) for row in rows for immutable in (False, True)
        ]
        answers = work(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            ours = found(job.rw, job.ro, immutable=job.immutable)
            self.assertEqual(is_refused(ours), is_refused(answer), (job, answer))
            if not is_refused(ours):
                self.assertEqual(list(ours), answer, job)

    def test_all_pairs(self) -> None:
        """So it does for texts of all kinds with all prefixes, alone and in pairs."""
        texts: list[str | None] = [None, *all_texts()]
        random = Random(16)
        pairs: list[Texts] = [(rw, None) for rw in texts]
        pairs += [(None, ro) for ro in texts]
        pairs += [(random.choice(texts), random.choice(texts)) for _ in range(1500)]
        jobs = [
            MakeChild(rw, ro, immutable) for rw, ro in pairs for immutable in (False, True)
        ]
        refused = 0
        for job, answer in zip(jobs, work(jobs), strict=True):
            ours = found(job.rw, job.ro, immutable=job.immutable)
            self.assertEqual(is_refused(ours), is_refused(answer), (job, ours, answer))
            refused += is_refused(ours)
            if not is_refused(ours):
                self.assertEqual(list(ours), answer, job)
        self.assertGreater(refused, 300)
        self.assertGreater(len(jobs) - refused, 300)

    def test_verify_caps(self) -> None:
        """An immutable verify cap is no child; those of mutable files are unknown caps."""
        chk = str(parse_cap(str(caps()["chk"])).verify_cap())  # type: ignore[union-attr]
        for texts in ((chk, None), (None, chk), (None, f"imm.{chk}")):
            self.assertRaises(VerifyCapForChild, new_child, *texts)
        for kind in ("ssk-verify", "dir-mdmf-verify", "dir-chk-verify"):
            text = str(caps()[kind])
            self.assertRaises(UnknownWriteCap, new_child, text, None)
            self.assertEqual(new_child(None, text), Child(None, None, f"ro.{text}"))

    def test_write_cap_for_readers(self) -> None:
        """A write cap beside an unknown one is not stored where readers see it."""
        self.assertRaises(WriteCapForReaders, new_child, X, WRITE)
        directory = str(caps()["dir-mdmf"])
        self.assertRaises(WriteCapForReaders, new_child, X, directory)
        self.assertRaises(MalformedCap, new_child, X, f"ro.{WRITE}")
        # In a table of another writer it is what it is.
        self.assertEqual(child_from_caps(X, WRITE), Child(None, X, f"ro.{WRITE}"))
        self.assertRaises(MalformedCap, child_from_caps(X, WRITE).read_only)
        self.assertEqual(new_child(X, READ).ro, f"ro.{READ}")

    def test_errors(self) -> None:
        """Each refusal is a Misuse that says what to do and shows no cap."""
        for given in ((X, None), (X, f"imm.{Y}"), (X, WRITE), (None, f"ro.{WRITE}")):
            error = self.assertRaises(Misuse, new_child, *given)
            sentence = str(error)
            self.assertRegex(sentence, "Give|Leave away|Copy")
            self.assertNotIn(X, sentence)
            self.assertNotIn(WRITE, sentence)
        self.assertIn("Link this child from", str(ChildMustBeImmutable()))


class ChildTests(SynchronousTestCase):
    # Kind, is it a directory, can it change, may it be in an immutable directory?
    KINDS = [
        ("chk", False, False, True),
        ("literal", False, False, True),
        ("ssk", False, True, False),
        ("ssk-ro", False, True, False),
        ("mdmf", False, True, False),
        ("mdmf-ro", False, True, False),
        ("dir-chk", True, False, True),
        ("dir-literal", True, False, True),
        ("dir-ssk", True, True, False),
        ("dir-ssk-ro", True, True, False),
        ("dir-mdmf", True, True, False),
        ("dir-mdmf-ro", True, True, False),
        ("ssk-verify", False, None, True),
    ]

    def test_kinds(self) -> None:
        """A child tells what is known of it."""
        for kind, directory, mutable, deep in self.KINDS:
            text = str(caps()[kind])
            child = new_child(None, text)
            self.assertEqual(child.is_directory, directory, kind)
            self.assertEqual(child.is_mutable, mutable, kind)
            self.assertEqual(child.is_deep_immutable, deep, kind)
            if child.cap is not None:
                self.assertEqual(str(child.cap), text)
                self.assertEqual(child.verify_cap(), child.cap.verify_cap())

    def test_unknown(self) -> None:
        """Of an unknown child the prefix and the write cap are believed."""
        self.assertEqual(new_child(X, Y).is_mutable, True)
        self.assertEqual(new_child(None, f"imm.{X}").is_mutable, False)
        self.assertIsNone(new_child(None, X).is_mutable)
        self.assertIsNone(new_child(None, None).is_mutable)
        self.assertIsNone(new_child(X, Y).verify_cap())

    def test_read_only(self) -> None:
        """Without its write cap a child has the read cap alone."""
        for kind in ("ssk", "mdmf", "dir-ssk", "dir-mdmf"):
            child = new_child(str(caps()[kind]), None)
            less = child.read_only()
            self.assertEqual((less.rw, less.ro), (None, child.ro))
            self.assertEqual(str(less.cap), child.ro)
            self.assertEqual(isinstance(less.cap, DirectoryCap), child.is_directory)
            self.assertIs(less.read_only(), less)
        self.assertEqual(new_child(X, Y).read_only(), Child(None, None, f"ro.{Y}"))
        empty = new_child(None, None)
        self.assertEqual(empty.read_only(), empty)

    def test_stored(self) -> None:
        """What the place says already is not stored in front of a cap."""
        for ro, mutable, immutable in ((f"ro.{X}", X, X), (f"imm.{X}", f"imm.{X}", X)):
            child = Child(None, None, ro)
            self.assertEqual(stored_ro(child, immutable=False), mutable)
            self.assertEqual(stored_ro(child, immutable=True), immutable)

    def test_no_secrets_in_repr(self) -> None:
        """Caps do not show when a child is logged."""
        self.assertNotIn(X, repr(new_child(X, f"ro.{X}")))
        self.assertNotIn("caireey", repr(new_child(WRITE, None)))
