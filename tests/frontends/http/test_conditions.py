"""Entity tags in the headers of a request."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.http.conditions import goes_on, is_known, is_wanted

TAGS = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters='"'))


class ConditionTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.booleans(), TAGS)), TAGS)
    def test_law(self, listed: list[tuple[bool, str]], tag: str) -> None:
        """A list has a tag weakly when it is there, strongly when it is there as strong."""
        header = ", ".join(f'{"W/" * weak}"{each}"' for weak, each in listed)
        self.assertEqual(is_known(header, (tag,)), tag in [each for _, each in listed])
        self.assertEqual(is_wanted(header, tag), (False, tag) in listed)

    def test_any(self) -> None:
        """An asterisk by itself is any tag; among others, or quoted, it is none."""
        for header, any_tag in (
            ("*", True),
            (" *\t", True),
            ('"*"', False),
            ('"x",*', False),
        ):
            self.assertEqual(is_known(header, ("tag",)), any_tag)
            self.assertEqual(is_wanted(header, "tag"), any_tag)

    def test_without_quotes(self) -> None:
        """A tag without quotes, as stock clients send it, counts where it risks nothing."""
        self.assertTrue(is_known("other tag", ("tag",)))
        self.assertFalse(is_wanted("tag", "tag"))
        self.assertFalse(is_wanted('"tag", other', "tag"))
        self.assertFalse(goes_on("tag", "tag"))

    @given(st.text(), TAGS)
    def test_if_range(self, header: str, tag: str) -> None:
        """A range goes on for this tag, strong and alone, and for nothing else."""
        self.assertTrue(goes_on(f'"{tag}"', tag))
        self.assertFalse(goes_on(f'W/"{tag}"', tag))
        self.assertFalse(goes_on(f'"{tag}", "{tag}"', tag))
        self.assertEqual(goes_on(header, tag), header.strip(" \t") == f'"{tag}"')

    @given(st.text(st.sampled_from('W/"*,x \t')))
    def test_any_text(self, header: str) -> None:
        """Whatever the headers are, there is an answer, and no tag is known by accident."""
        self.assertIn(is_known(header, ("tag",)), (header.strip(" \t") == "*",))
        self.assertIn(is_wanted(header, "tag"), (header.strip(" \t") == "*",))

    def test_time(self) -> None:
        """A header of any length costs time in proportion to it."""
        for header in ('"' * 500_001, "W/" * 250_000, 'W/"' * 200_000, '"x",' * 200_000):
            begin = time.process_time()
            is_known(header, ("tag",))
            is_wanted(header, "tag")
            self.assertLess(time.process_time() - begin, 5.0, header[:20])
