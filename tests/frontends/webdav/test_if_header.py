"""The If header."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.if_header import (
    BadIf,
    Condition,
    StateList,
    holds,
    parse_if,
    tokens_of,
)


def passes(text: str, *tokens: str, tag: str = '"t"', at: str | None = None) -> bool:
    """Tell whether a header holds where *at* has *tokens*, and a *tag*."""
    return any(
        holds(
            one,
            lambda resource, token: resource == at and token in tokens,
            lambda resource, found: resource == at and found == tag,
        )
        for one in parse_if(text)
    )


class ParseTests(SynchronousTestCase):
    def test_lists(self) -> None:
        """Lists with and without addresses; spaces are free."""
        self.assertEqual(
            parse_if('(<a> Not<b>["t"])  ( not [W/"w)"] )'),
            [
                StateList(
                    None,
                    (Condition("a"), Condition("b", None, True), Condition(None, '"t"')),
                ),
                StateList(None, (Condition(None, 'W/"w)"', True),)),
            ],
        )
        self.assertEqual(
            parse_if("<http://x/1> (<a>) (<b>) </2>(<c>)"),
            [
                StateList("http://x/1", (Condition("a"),)),
                StateList("http://x/1", (Condition("b"),)),
                StateList("/2", (Condition("c"),)),
            ],
        )

    def test_malformed(self) -> None:
        for text in (
            "",
            "()",
            "(",
            ")",
            "<a>",
            "(<a>",
            "<a> <b> (<c>)",
            "(<a>) <u> (<b>)",
            "(Not)",
            "(Not Not <a>)",
            "(a)",
            "([t])",
            "(<a> (<b>))",
            "<u> (<a>) <v>",
            "(<a>) x",
        ):
            self.assertRaises(BadIf, parse_if, text)

    def test_many(self) -> None:
        """There is a bound."""
        self.assertRaises(BadIf, parse_if, "(<a>)" * 1000)

    @given(st.text(alphabet='()<>[]"Not aW/ ', max_size=60))
    def test_anything(self, text: str) -> None:
        """It is understood or refused."""
        with contextlib.suppress(BadIf):
            self.assertTrue(all(each.conditions for each in parse_if(text)))


class HoldTests(SynchronousTestCase):
    def test_all_of_one_list(self) -> None:
        """All conditions of a list, of any list."""
        self.assertTrue(passes('(<a> ["t"])', "a"))
        self.assertFalse(passes('(<a> ["o"])', "a"))
        self.assertTrue(passes('(<b>) (["t"])', "a"))

    def test_not(self) -> None:
        """The usual way to say tokens whether or not there are locks."""
        self.assertTrue(passes("(<a>) (Not <DAV:no-lock>)"))
        self.assertFalse(passes("(Not <a>)", "a"))

    def test_address(self) -> None:
        """A condition is asked of the address in front of it."""
        self.assertTrue(passes("</x> (<a>)", "a", at="/x"))
        self.assertFalse(passes("</y> (<a>)", "a", at="/x"))

    def test_tokens(self) -> None:
        """A token behind Not is not one that the client shows."""
        found = tokens_of(parse_if("(<a> Not <b>) (<c>)"))
        self.assertEqual(found, {"a", "c"})
