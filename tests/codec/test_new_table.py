"""Tables of new directories."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.directory_entry import Entry
from truckee.codec.directory_name import normalize_name
from truckee.codec.directory_table import parse_table
from truckee.codec.new_table import NewTable, pack_table


def entry(name: str, metadata: bytes = b"{}") -> Entry:
    """Return an entry of little but a name."""
    return Entry(name, b"ro", b"", metadata)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=3).map(normalize_name)


class NewTableTests(SynchronousTestCase):
    @given(st.lists(names))
    def test_sorted(self, added: list[str]) -> None:
        """Whatever the order, the table is sorted, and has the last entry of each name."""
        entries = [entry(name, b"%d" % number) for number, name in enumerate(added)]
        last = {each.name: each for each in entries}
        expected = b"".join(last[name].pack() for name in sorted(last))
        table = NewTable()
        for each in entries:
            table.add(each)
        table.sort()
        self.assertEqual(b"".join(table.pieces()), expected)
        self.assertEqual(table.size, len(expected))
        self.assertEqual(parse_table(expected).packed, expected)

    def test_pieces(self) -> None:
        """A large one comes in pieces of some size, none of them empty."""
        for reverse in (False, True):
            table = NewTable()
            added = sorted((f"{number:06}" for number in range(20_000)), reverse=reverse)
            for name in added:
                table.add(entry(name))
            table.sort()
            pieces = list(table.pieces())
            self.assertGreater(len(pieces), 1)
            self.assertLess(max(map(len, pieces)), 300 << 10)
            self.assertEqual(list(parse_table(b"".join(pieces)).names()), sorted(added))

    def test_empty(self) -> None:
        """Without an entry there is nothing."""
        self.assertEqual(list(NewTable().pieces()), [])
        self.assertEqual(pack_table([]), b"")
