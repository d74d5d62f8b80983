"""Tests of truckee.frontends.web.shown_names."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.shown_names import is_odd, shown, visible


class ShownNamesTests(SynchronousTestCase):
    def test_nothing_is_hidden(self) -> None:
        """What turns a text or is not seen is shown by its number; the rest is as it is."""
        self.assertEqual(visible("evil\u202egnp.exe"), "evil[U+202E]gnp.exe")
        self.assertEqual(visible("a\nb\x00"), "a[U+000A]b[U+0000]")
        self.assertEqual(visible(""), "(no name)")
        self.assertEqual(visible("שלום é 👨\u200d👩"), "שלום é 👨\u200d👩")
        odd = ["a\u2066b", "\ufeff", "", "\ud800"]
        self.assertEqual([name for name in [*odd, "a", " b"] if is_odd(name)], odd)

    def test_markup(self) -> None:
        """A name is never markup, and is apart from the text around it."""
        self.assertEqual(shown("<b>\u200f"), "<bdi>&lt;b&gt;<i>U+200F</i></bdi>")
