"""Tests of truckee.codec.indented_json."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.indented_json import indented

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class IndentTests(SynchronousTestCase):
    @given(VALUES)
    def test_as_python_does(self, value: object) -> None:
        """It is what Python's own encoder gives, at any depth of a document."""
        self.assertEqual(indented(value), json.dumps(value, indent=1))
        whole = json.dumps({"a": ["b", value]}, indent=1)
        begin, end = '{\n "a": [\n  "b",\n  ', "\n ]\n}"
        self.assertEqual(begin + indented(value, 2) + end, whole)

    def test_deep(self) -> None:
        """What is nested too deeply for lines comes without them."""
        text = "[" * 800 + "]" * 800
        self.assertEqual(json.loads(indented(json.loads(text))), json.loads(text))
