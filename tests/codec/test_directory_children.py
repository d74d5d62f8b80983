"""Links as entries of directories: the page's examples, and stock's reading and writing."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from unicodedata import normalize

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_example import (
    DIRECTORY,
    IMMUTABLE_DIRECTORY,
    READ,
    READ_DIRECTORY,
    READ_ONLY,
    TIMES,
    WRITE,
    WRITE_KEY,
    all_texts,
    pack_immutable,
    random_metadata,
    random_name,
)
from tests.codec.directory_naive import wrap, write
from tests.codec.stock_directories import ChangeTable, Pack, ReadTable, Refusal, Row, work
from truckee.codec.caps import DirectoryCap, LiteralCap, MalformedCap, parse_cap
from truckee.codec.children import BadChild, ChildMustBeImmutable, new_child
from truckee.codec.directory_children import (
    Link,
    new_entry,
    new_immutable_entry,
    pack_mutable,
    read_immutable_link,
    read_link,
    set_link,
)
from truckee.codec.directory_entry import BadDirectory, Entry
from truckee.codec.directory_name import BadName
from truckee.codec.directory_table import DirectoryTable, parse_table
from truckee.codec.link_metadata import load_metadata

NOW = 1700000000.25


def links_of(rows: list[Row]) -> dict[str, Link]:
    """Return what *rows* give for a new directory."""
    return {
        name: Link(new_child(rw, ro), metadata or {}) for name, rw, ro, metadata in rows
    }


def listed(
    table: DirectoryTable, write_key: bytes | None = WRITE_KEY
) -> list[list[object]]:
    """Return the rows of a mutable directory, as stock's reader gives them."""
    links = ((entry.name, read_link(entry, write_key)) for entry in table)
    return [
        [name, each.child.rw, each.child.ro, each.metadata] for name, each in links if each
    ]


def immutable_listed(table: DirectoryTable) -> list[list[object]]:
    """Return the rows of an immutable directory."""
    links = ((entry.name, read_immutable_link(entry)) for entry in table)
    return [
        [name, each.child.rw, each.child.ro, each.metadata] for name, each in links if each
    ]


def random_rows(random: Random, texts: list[str], count: int) -> list[Row]:
    """Return children that can be linked, of distinct names."""
    rows: dict[str, Row] = {}
    while len(rows) < count:
        name = random_name(random)
        rw, ro = (random.choice([None, random.choice(texts)]) for _ in range(2))
        try:
            new_child(rw, ro)
        except (BadChild, MalformedCap):
            continue
        rows[normalize("NFC", name)] = (name, rw, ro, random_metadata(random))
    return list(rows.values())


class ExampleTests(SynchronousTestCase):
    def test_two_children(self) -> None:
        """The example's directory is packed to its 384 bytes, and read back."""
        links = {
            "m": Link(new_child(WRITE, None), {}),
            "cafe\u0301": Link(new_child(None, READ_ONLY), TIMES),
        }
        packed = pack_mutable(links, WRITE_KEY)
        self.assertEqual(len(packed), 384)
        self.assertEqual(
            sha256(packed).hexdigest(),
            "5b5894e5dbad812257708291547d4bb79e2668446a66174109c7401713df394f",
        )
        self.assertEqual(
            listed(parse_table(packed)),
            [["caf\xe9", None, READ_ONLY, TIMES], ["m", WRITE, READ, {}]],
        )
        # Who has the read cap sees no write cap.
        self.assertEqual(listed(parse_table(packed), None)[1], ["m", None, READ, {}])

    def test_immutable(self) -> None:
        """The example's immutable directory is packed to its 36 bytes, and its cap."""
        link = Link(new_child(None, READ_ONLY), {})
        packed = pack_immutable({"a": link})
        self.assertEqual(packed, b"32:1:a,16:URI:LIT:nbswy3dp,0:,2:{},,")
        cap = DirectoryCap(LiteralCap(packed))
        tail = "gmzdumj2mewdcnr2kvjesosmjfkdu3tcon3xsm3eoawdaormgi5hw7jmfq"
        self.assertEqual(str(cap), f"URI:DIR2-LIT:{tail}")
        self.assertEqual(parse_cap(str(cap)), cap)
        two = pack_immutable({"b": Link(new_child(None, "URI:LIT:pa"), {}), "a": link})
        self.assertEqual(len(two), 66)
        self.assertEqual(str(DirectoryCap(LiteralCap(pack_immutable({})))), "URI:DIR2-LIT:")


class StockTests(SynchronousTestCase):
    def test_tables(self) -> None:
        """Stock packs random directories to our bytes, and reads what we read in them."""
        random = Random(16)
        tables = [random_rows(random, all_texts(), n % 9) for n in range(200)]
        packed = [pack_mutable(links_of(rows), WRITE_KEY) for rows in tables]
        self.assertEqual(work([Pack(rows, WRITE_KEY) for rows in tables]), packed)
        for cap, key in ((DIRECTORY, WRITE_KEY), (READ_DIRECTORY, None)):
            answers = work([ReadTable(each, cap) for each in packed])
            for each, answer in zip(packed, answers, strict=True):
                self.assertEqual(listed(parse_table(each), key), answer)

    def test_immutable_tables(self) -> None:
        """The same of immutable ones; and both refuse what can change in them."""
        random = Random(17)
        texts = [each for each in all_texts() if new_or_none(each)]
        refused = 0
        tables = [random_rows(random, texts, n % 4) for n in range(300)]
        answers = work([Pack(rows, None) for rows in tables])
        packed = []
        for rows, answer in zip(tables, answers, strict=True):
            try:
                ours = pack_immutable(links_of(rows))
            except ChildMustBeImmutable:
                self.assertEqual(answer, Refusal("MustBeDeepImmutableError"))
                refused += 1
                continue
            self.assertEqual(ours, answer)
            packed.append(ours)
        self.assertGreater(min(refused, len(packed)), 50)
        answers = work([ReadTable(each, IMMUTABLE_DIRECTORY) for each in packed])
        for each, answer in zip(packed, answers, strict=True):
            self.assertEqual(immutable_listed(parse_table(each)), answer)

    def test_foreign_entries(self) -> None:
        """Entries of any fields, which no writer makes so, give what stock lists."""
        random = Random(18)
        texts = [*all_texts(), "", "  "]
        tables = []
        for _ in range(200):
            entries: list[bytes] = []
            for _ in range(random.randrange(6)):
                cap = random.choice(texts) + random.choice(["", " ", "   "])
                sealed = new_entry("x", Link(new_child(WRITE, None), {}), WRITE_KEY).rwdata
                rwdata = random.choice([b"", b"x" * 20, b"y" * 60, sealed])
                # Distinct: of two entries stock lists the first if the last is wrong.
                name = f"{random_name(random)}{len(entries)}".encode()
                ro = cap.encode("utf-8", "surrogateescape")
                entries.append(write(name, ro, rwdata, b'{ "a":1}'))
            tables.append(b"".join(entries))
        for cap, key in ((DIRECTORY, WRITE_KEY), (READ_DIRECTORY, None)):
            answers = work([ReadTable(each, cap) for each in tables])
            for each, answer in zip(tables, answers, strict=True):
                self.assertEqual(listed(parse_table(each), key), sorted(answer))

    def test_changes(self) -> None:
        """Links that are set and removed one after the other give stock's bytes."""
        random = Random(19)
        packed, ours, jobs = b"", parse_table(b""), []
        for step in range(150):
            rows = random_rows(random, all_texts(), random.randrange(4))
            rows = [(*row[:3], random.choice([None, row[3]])) for row in rows]
            given = {normalize("NFC", row[0]) for row in rows}
            names = [name for name in ours.names() if random.random() < 0.2]
            removed = [name for name in names if name not in given]
            now = NOW + step
            jobs.append(ChangeTable(ours.packed, DIRECTORY, rows, removed, now))
            ours = changed(ours, rows, removed, now)
            packed = ours.packed
            self.assertEqual(parse_table(packed).packed, packed)
        after = [*(job.packed for job in jobs[1:]), packed]
        self.assertGreater(len(ours), 5)
        self.assertEqual(work(jobs), after)


def new_or_none(text: str) -> bool:
    """Tell whether *text* alone is a child that cannot change, or an unknown one."""
    try:
        return new_child(None, text).is_deep_immutable
    except (BadChild, MalformedCap):
        return False


def changed(
    table: DirectoryTable, rows: list[Row], removed: list[str], now: float
) -> DirectoryTable:
    """Return *table* with *rows* linked at *now*, and then without some."""
    entries = []
    for name, rw, ro, metadata in rows:
        old = table.get(name)
        before = None if old is None else load_metadata(old.metadata)
        link = set_link(before, new_child(rw, ro), metadata, now)
        entries.append(new_entry(name, link, WRITE_KEY))
    return table.changed(entries, removed)


class LinkTests(SynchronousTestCase):
    def test_names_that_are_none(self) -> None:
        """A name that is no text is refused, by either kind of directory."""
        link = Link(new_child(None, READ_ONLY), {})
        self.assertRaises(BadName, new_entry, "\ud800", link, WRITE_KEY)
        self.assertRaises(BadName, pack_immutable, {"a": link, "\udcff": link})

    def test_read_only_links(self) -> None:
        """A link that must not write is stored without the write cap, by what is stored."""
        child = new_child(WRITE, None)
        for old, new in ((None, {"no-write": True}), ({"no-write": 1}, None)):
            link = set_link(old, child, new, NOW)
            self.assertEqual((link.child.rw, link.child.ro), (None, READ))
            entry = new_entry("a", link, WRITE_KEY)
            self.assertEqual((entry.ro, len(entry.rwdata)), (READ.encode(), 48))
        self.assertEqual(set_link({"no-write": 1}, child, {}, NOW).child, child)
        self.assertEqual(set_link(None, child, {"no-write": False}, NOW).child, child)

    def test_first_children(self) -> None:
        """The first children keep what was given: their times, and their write caps."""
        metadata = {"no-write": True, **TIMES}
        packed = pack_mutable({"a": Link(new_child(WRITE, None), metadata)}, WRITE_KEY)
        self.assertEqual(listed(parse_table(packed)), [["a", WRITE, READ, metadata]])

    def test_omitted(self) -> None:
        """An entry that breaks a rule is not listed; its bytes stay until it is removed."""
        wrong = write(b"b", f"imm.{READ}".encode(), b"", b"{}")
        table = parse_table(write(b"a", READ.encode(), b"", b"{}") + wrong)
        self.assertEqual([row[0] for row in listed(table)], ["a"])
        self.assertIn("b", table)
        self.assertTrue(table.changed(removed=["a"]).packed == wrong)
        self.assertEqual(table.changed(removed=["a", "b"]).packed, b"")

    def test_damaged(self) -> None:
        """Metadata that is no object is an error of its entry, not of the others."""
        table = parse_table(
            write(b"a", b"", b"", b"[]") + write(b"b", READ.encode(), b"", b"{}")
        )
        a, b = table
        self.assertRaises(BadDirectory, read_link, a, WRITE_KEY)
        self.assertIsNotNone(read_link(b, WRITE_KEY))
        self.assertEqual(len(listed(table.changed(removed=["a"]))), 1)

    def test_write_caps_of_immutable_directories(self) -> None:
        """An entry of an immutable directory with a write cap is damaged."""
        entry = Entry("a", READ_ONLY.encode(), b"x", b"{}")
        self.assertRaises(BadDirectory, read_immutable_link, entry)

    def test_what_can_change(self) -> None:
        """What can change is not put into an immutable directory, and not listed there."""
        for texts in ((WRITE, None), (None, READ), ("x", "y")):
            link = Link(new_child(*texts), {})
            self.assertRaises(ChildMustBeImmutable, new_immutable_entry, "a", link)
        self.assertIsNone(read_immutable_link(Entry("a", READ.encode(), b"", b"{}")))

    def test_other_key(self) -> None:
        """With another key the write cap is noise: an unknown child with its read cap."""
        entry = new_entry("a", Link(new_child(WRITE, None), {}), WRITE_KEY)
        link = read_link(entry, bytes(16))
        assert link is not None
        self.assertEqual((link.child.cap, link.child.ro), (None, f"ro.{READ}"))

    def test_mutations(self) -> None:
        """Spoiled tables give links, none, or a BadDirectory, in both kinds."""
        random = Random(20)
        rows = random_rows(random, all_texts(), 8)
        packed = pack_mutable(links_of(rows), WRITE_KEY)
        seen = set()
        for _ in range(2000):
            spoiled = bytearray(packed)
            at = random.randrange(len(spoiled))
            spoiled[at : at + random.choice([0, 1, 1, 1, 40])] = random.randbytes(1)
            try:
                table = parse_table(bytes(spoiled))
            except BadDirectory:
                seen.add("table")
                continue
            for entry in table:
                for read in (lambda each: read_link(each, WRITE_KEY), read_immutable_link):
                    try:
                        seen.add(type(read(entry)).__name__)
                    except BadDirectory:
                        seen.add("entry")
        self.assertEqual(seen, {"table", "entry", "Link", "NoneType"})

    def test_bytes_behind_fields(self) -> None:
        """Entries with more than four fields are read as stock reads them."""
        inner = b"1:a,16:URI:LIT:nbswy3dp,48:%b,2:{},7:anybody," % bytes(48)
        packed = wrap(inner)
        (answer,) = work([ReadTable(packed, DIRECTORY)])
        self.assertEqual(listed(parse_table(packed)), answer)
        self.assertEqual(len(answer), 1)
