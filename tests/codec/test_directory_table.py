"""Tables of directories: read, searched and changed entry by entry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from time import process_time
from tracemalloc import get_traced_memory, start, stop

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_naive import read_table, unwrap, wrap, write, write_table
from truckee.codec.directory_entry import BadDirectory, Entry
from truckee.codec.directory_name import normalize_name
from truckee.codec.directory_table import DirectoryTable, parse_table
from truckee.codec.new_table import pack_table

# Few enough that names meet, in several forms.
names = st.text(st.sampled_from("ab/ \xe9e\u0301\u212b\U0001f600"), max_size=3)
fields = st.binary(max_size=12)
rows = st.lists(st.tuples(names, fields, fields, fields), max_size=12)
entries = st.lists(
    st.builds(Entry, names.map(normalize_name), fields, fields, fields), max_size=5
)


def contents(table: DirectoryTable) -> dict[str, list[bytes]]:
    """Return all that is in a table, as the simple reader gives it."""
    return {each.name: [each.ro, each.rwdata, each.metadata] for each in table}


def large(count: int) -> bytes:
    """Return a table of *count* entries of usual size."""
    metadata = b'{"tahoe": {"linkcrtime": 1700000000.123, "linkmotime": 1700000000.123}}'
    return write_table(
        [(f"picture {n:06}.jpeg", bytes(90), bytes(135), metadata) for n in range(count)]
    )


class ReadTests(SynchronousTestCase):
    @given(rows)
    def test_any_order(self, given_rows: list[tuple[str, bytes, bytes, bytes]]) -> None:
        """Whatever order and forms of names, what counts is found, listed and sorted."""
        packed = write_table(given_rows)
        table = parse_table(packed)
        expected = read_table(packed)
        self.assertEqual(list(contents(table).items()), list(expected.items()))
        self.assertEqual(list(table.names()), list(expected))
        self.assertEqual(len(table), len(expected))
        for name, *_ in given_rows:
            self.assertIn(name, table)
            entry = table.get(name)
            assert entry is not None
            self.assertEqual(
                [entry.ro, entry.rwdata, entry.metadata], expected[normalize_name(name)]
            )
        self.assertNotIn("zz", table)
        self.assertIsNone(table.get("zz"))

    def test_empty(self) -> None:
        """The empty directory is no bytes."""
        self.assertEqual(list(parse_table(b"")), [])
        self.assertEqual(pack_table([]), b"")

    def test_sorted_table_is_not_copied(self) -> None:
        """A table in order is kept as it came."""
        packed = large(3)
        self.assertIs(parse_table(packed).packed, packed)

    def test_order_is_of_code_points(self) -> None:
        """Names outside the first plane come last, unlike in UTF-16."""
        packed = pack_table(Entry(each, b"", b"", b"{}") for each in "\U0001f600\uffeez")
        self.assertEqual(list(parse_table(packed).names()), ["z", "\uffee", "\U0001f600"])

    def test_rest(self) -> None:
        """Bytes behind the last entry are no table."""
        for rest in (b"x", b",", b"0:", b"\0", b" "):
            self.assertRaises(BadDirectory, parse_table, large(2) + rest)


class ChangeTests(SynchronousTestCase):
    @given(rows, entries, st.lists(names, max_size=4))
    def test_like_a_dictionary(
        self,
        given_rows: list[tuple[str, bytes, bytes, bytes]],
        put: list[Entry],
        removed: list[str],
    ) -> None:
        """A change is that of a dictionary, and what it gives is a table by itself."""
        packed = write_table(given_rows)
        expected = read_table(packed)
        for name in removed:
            expected.pop(normalize_name(name), None)
        for each in put:
            expected[each.name] = [each.ro, each.rwdata, each.metadata]
        table = parse_table(packed).changed(put, removed)
        self.assertEqual(contents(table), expected)
        again = parse_table(table.packed)
        self.assertIs(again.packed, table.packed)
        self.assertEqual(contents(again), expected)
        self.assertEqual(list(again.names()), sorted(expected))
        # And changed once more, by the index that was made without parsing.
        self.assertEqual(
            table.changed(put, removed).packed, again.changed(put, removed).packed
        )

    @given(st.randoms(use_true_random=False), st.integers(0, 40))
    def test_untouched_entries_keep_their_bytes(self, random: Random, count: int) -> None:
        """Entries that a change does not name are copied, however they were written."""
        forms = [
            lambda name: write(name, b"URI:LIT:  ", b"", b'{ "a":1 }'),
            lambda name: write(name + "e\u0301".encode(), b"", b"x" * 48, b"{}"),
            lambda name: wrap(b"".join(map(wrap, (name, b"", b"", b"{}"))) + b"more"),
        ]
        packed = [random.choice(forms)(b"%03d" % number) for number in range(count)]
        touched = set(random.sample(range(count), count // 3))
        table = parse_table(b"".join(packed))
        stored = list(table.names())
        changed = table.changed(
            [Entry(stored[each], b"new", b"", b"{}") for each in touched if each % 2],
            [stored[each] for each in touched if not each % 2],
        )
        kept = [wrap(each) for each in unwrap(changed.packed) if b"3:new," not in each]
        self.assertEqual(
            kept, [each for number, each in enumerate(packed) if number not in touched]
        )

    def test_nothing(self) -> None:
        """No change gives the same bytes; so does the removal of what is not there."""
        table = parse_table(large(5))
        self.assertEqual(table.changed().packed, table.packed)
        self.assertEqual(table.changed(removed=["nobody"]).packed, table.packed)

    def test_order_is_written_at_a_change(self) -> None:
        """A table without order gets one, and loses what did not count, when changed."""
        one, two, three = (write(b"a", each, b"", b"{}") for each in (b"1", b"2", b"3"))
        b = write(b"b", b"", b"", b"{ }")
        packed = b + one + two + three
        changed = parse_table(packed).changed(removed=["c"])
        self.assertEqual(changed.packed, three + b)


# Each makes about so many bytes, which are hard to read or to refuse.
SLOW: list[Callable[[int], bytes]] = [
    lambda size: b"9" * size,
    lambda size: b"1" * size + b":",
    lambda size: (b"%d:" % (size - 20)) * (size // 7),
    lambda size: b"0:," * (size // 3),
    lambda size: write(b"", b"", b"", b"{}") * (size // 16),
    lambda size: write(b"b", b"", b"", b"{}") * (size // 17) + write(b"a", b"", b"", b""),
    lambda size: write(("a" + "\u0315\u0300" * (size // 4)).encode(), b"", b"", b"{}"),
    lambda size: wrap(b"1:a," + b"0:," * (size // 3)),
]


class HostileTests(SynchronousTestCase):
    def test_mutations(self) -> None:
        """Whatever was done to the bytes, there is a reading or a BadDirectory."""
        random = Random(16)
        packed = large(20)
        bad = 0
        for _ in range(2000):
            spoiled = bytearray(packed)
            for _change in range(random.randint(1, 3)):
                at = random.randrange(len(spoiled))
                match random.randrange(4):
                    case 0:
                        spoiled[at] = random.randrange(256)
                    case 1:
                        del spoiled[at : at + random.randint(1, 30)]
                    case 2:
                        spoiled[at:at] = random.choice([b":", b",", b"9", b"1:", b"\xff"])
                    case _:
                        spoiled[at] = random.choice(b"0123456789:,")
            try:
                table = parse_table(bytes(spoiled))
            except BadDirectory:
                bad += 1
                continue
            self.assertEqual(contents(table), read_table(bytes(spoiled)))
        self.assertGreater(bad, 100)
        self.assertLess(bad, 2000)

    def test_time(self) -> None:
        """Bytes made to be slow take a time in proportion to their number."""

        def seconds(packed: bytes) -> float:
            before = process_time()
            with contextlib.suppress(BadDirectory):
                parse_table(packed)
            return process_time() - before

        small, times = 20_000, 16
        for number, make in enumerate(SLOW):
            short = max(min(seconds(make(small)) for _ in range(3)), 0.001)
            # A quadratic reader takes 16 times as long as this allows, but for what it
            # needs anyhow.
            long = seconds(make(times * small))
            self.assertLess(long, 5 * times * short, number)

    def test_memory(self) -> None:
        """Of a large table the index is kept, not names nor entries."""
        packed = large(20_000)
        start()
        try:
            table = parse_table(packed)
            kept, peak = get_traced_memory()
        finally:
            stop()
        self.assertEqual(len(table), 20_000)
        self.assertLess(kept, 20_000 * 10)
        self.assertLess(peak, 20_000 * 20)

    def test_change_is_a_copy(self) -> None:
        """A change costs far less than reading the table."""
        packed = large(20_000)
        before = process_time()
        table = parse_table(packed)
        reading = process_time() - before
        before = process_time()
        table.changed([Entry("picture 010000b", b"", b"", b"{}")], ["picture 000001.jpeg"])
        self.assertLess(process_time() - before, reading / 2)
