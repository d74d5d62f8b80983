"""Bytes in several buffers."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.parts import in_groups, take

PARTS = st.lists(st.binary(max_size=7), max_size=8)
SIZES = st.integers(0, 20)


class TakeTests(SynchronousTestCase):
    @given(PARTS, SIZES)
    def test_take(self, parts: list[bytes], size: int) -> None:
        """The first bytes are taken, so many of them, and the rest is left."""
        whole = b"".join(parts)
        rest = [memoryview(part) for part in parts]
        taken = take(rest, size)
        self.assertEqual(b"".join(taken), whole[:size])
        self.assertEqual(b"".join(rest), whole[size:])
        self.assert_no_copies([*taken, *rest], parts)

    def test_between_two(self) -> None:
        """Where a part ends, none is cut."""
        rest = [memoryview(part) for part in (b"ab", b"cd", b"e")]
        self.assertEqual((take(rest, 4), rest), ([b"ab", b"cd"], [b"e"]))
        self.assertEqual((take(rest, 4), rest), ([b"e"], []))
        self.assertEqual((take(rest, 4), rest), ([], []))

    @given(PARTS, st.integers(1, 20))
    def test_in_groups(self, parts: list[bytes], size: int) -> None:
        """All groups but the last have so many bytes, and it has the rest, at least one."""
        groups = in_groups(parts, size)
        sizes = [sum(map(len, group)) for group in groups]
        whole = b"".join(parts)
        full, left = divmod(len(whole), size)
        self.assertEqual(sizes, [size] * full + ([left] if left else []))
        views = [view for group in groups for view in group]
        self.assertEqual(b"".join(views), whole)
        self.assertTrue(all(views), "one is empty")
        self.assert_no_copies(views, parts)

    def assert_no_copies(self, views: Sequence[memoryview], parts: Sequence[bytes]) -> None:
        """All *views* are of memory of *parts*."""
        known = {id(part) for part in parts}
        self.assertTrue(all(id(view.obj) in known for view in views))
