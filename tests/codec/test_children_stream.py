"""Children that are taken out of a body while it comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import children_stream
from truckee.codec.children_json import BadChildren, GivenChild, parse_children
from truckee.codec.children_stream import ChildrenStream
from truckee.errors import Misuse

LITERAL = "URI:LIT:nbswy3dp"
CHILD: Any = ["filenode", {"ro_uri": LITERAL, "metadata": {"a": [1.5, ']}\\"{[,:']}}]

children = st.dictionaries(
    st.text(max_size=5),
    st.sampled_from(
        [
            CHILD,
            ["dirnode", {"rw_uri": LITERAL}],
            ["x", {"ro_uri": "imm.lafs:x", "y": [{}]}],
        ]
    ),
    max_size=4,
)
texts = st.builds(
    json.dumps, children, ensure_ascii=st.booleans(), indent=st.none() | st.just(1)
)


def streamed(pieces: Sequence[bytes]) -> dict[str, GivenChild]:
    """Return what is taken out of *pieces*."""
    stream, found = ChildrenStream(), dict[str, GivenChild]()
    for piece in pieces:
        found.update(stream.feed(piece))
    found.update(stream.finish())
    return found


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Return *body* in pieces."""
    ends = sorted({min(place, len(body)) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def result(take: Any, body: Any) -> object:
    """Return what *take* makes of a body, or the kind of its error."""
    try:
        return take(body)
    except Misuse as error:
        return type(error)


class StreamTests(SynchronousTestCase):
    @given(texts, st.lists(st.integers(0, 400)))
    def test_whole(self, text: str, places: list[int]) -> None:
        """In whatever pieces it comes, it is what the whole body is."""
        body = text.encode("utf-8", "surrogatepass")
        expected = result(parse_children, body)
        self.assertEqual(result(streamed, cut(body, places)), expected)

    @given(texts, st.integers(0, 400), st.binary(max_size=2), st.integers(0, 400))
    @example('{"a": []}', 9, b"", 0)
    @example("{}", 2, b"x", 0)
    @example("{}", 1, b",", 0)
    @example('{"a" []}', 0, b"", 0)
    def test_damaged(self, text: str, place: int, put: bytes, at: int) -> None:
        """What is refused as a whole is refused in pieces, and the other way round."""
        body = text.encode("utf-8", "surrogatepass")
        damaged = body[:place] + put + body[place + 1 :]
        whole = result(parse_children, damaged)
        self.assertEqual(result(streamed, cut(damaged, [at])), whole, damaged)

    def test_byte_by_byte(self) -> None:
        """Pieces may be single bytes, in each encoding that JSON has."""
        text = json.dumps({"caf\u00e9\U0001f30d": CHILD, "b": CHILD}, ensure_ascii=False)
        expected = parse_children(text)
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"):
            body = text.encode(encoding)
            self.assertEqual(parse_children(body), expected)
            self.assertEqual(streamed([bytes([each]) for each in body]), expected)

    def test_nothing(self) -> None:
        """A body of nothing has no children."""
        for body in ([], [b""], [b" \n"], [b"  ", b"      "]):
            self.assertEqual(streamed(body), {})

    def test_not_json(self) -> None:
        """What is no object of children is refused."""
        for body in (
            *(
                b"[]",
                b"1",
                b"x",
                b'"',
                b"{",
                b'{"a"',
                b"{} {}",
                b"{}}",
                b"{,}",
                b"\xff\xff",
            ),
            *(b'{"a":1,}', b"{1:2}", b'{"a" 1}', b'{"a":1 "b":2}', b'{"\xff": 1}'),
        ):
            self.assertIs(result(streamed, [body]), BadChildren, body)
            self.assertIs(result(parse_children, body), BadChildren, body)

    def test_bounds(self) -> None:
        """One child is not longer than a bound, and not nested deeper than another."""
        long = json.dumps(
            {"a": ["x", {"ro_uri": LITERAL, "metadata": {"m": "x" * (1 << 20)}}]}
        )
        stream = ChildrenStream()
        with self.assertRaises(BadChildren):
            for start in range(0, len(long), 4096):
                list(stream.feed(long.encode()[start : start + 4096]))
        with self.assertRaises(BadChildren):
            streamed([b'{"a": ' + b"[" * 500_000])
        with self.assertRaises(BadChildren):
            list(ChildrenStream().feed(b'{"' + b"a" * (1 << 20)))

    def test_long_child(self) -> None:
        """A long child is parsed a few times, and not for each piece."""
        attempts = []
        before = children_stream._parse

        def counted(text: str, at: int) -> Any:
            attempts.append(at)
            return before(text, at)

        self.patch(children_stream, "_parse", counted)
        name = "n" * 900_000
        body = json.dumps({name: CHILD}).encode()
        pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
        self.assertEqual(list(streamed(pieces)), [name])
        self.assertLess(len(attempts), 30)

    def test_many(self) -> None:
        """Of a long list nothing is held but the child that is not whole."""
        count, random = 20_000, Random(1)
        body = json.dumps({f"name {number}": CHILD for number in range(count)}).encode()
        stream, found, at = ChildrenStream(), 0, 0
        while at < len(body):
            size = random.randrange(1, 100_000)
            found += sum(1 for _ in stream.feed(body[at : at + size]))
            at += size
            self.assertLess(len(stream._text), 200)
        self.assertEqual(found + sum(1 for _ in stream.finish()), count)
