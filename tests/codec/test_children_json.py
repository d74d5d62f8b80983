"""Children as JSON: what clients send, and what they are shown."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
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
    caps,
    pack_immutable,
)
from tests.codec.stock_directories import Row, Show, work
from tests.codec.test_directory_children import links_of, new_or_none, random_rows
from truckee.codec.children import new_child
from truckee.codec.children_json import (
    BadChildren,
    BadNamedChild,
    GivenChild,
    describe,
    parse_children,
)
from truckee.codec.directory_children import (
    Link,
    pack_mutable,
    read_immutable_link,
    read_link,
)
from truckee.codec.directory_table import parse_table
from truckee.errors import Misuse

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXTS = [each for each in all_texts() if each.isprintable()]  # stock shows no others
KEYS = ["rw_uri", "ro_uri", "metadata", "other"]


class GivenTests(SynchronousTestCase):
    def test_children(self) -> None:
        """Caps and metadata are taken, all else is ignored; what is missing is none."""
        body = {
            "cafe\u0301": [
                "whatever",
                {"ro_uri": READ_ONLY, "metadata": TIMES, "size": "x"},
            ],
            "m": ["filenode", {"rw_uri": WRITE, "ro_uri": None, "metadata": None}],
            "a/b": [None, {}],
        }
        expected = {
            "caf\xe9": GivenChild(new_child(None, READ_ONLY), TIMES),
            "m": GivenChild(new_child(WRITE, None), None),
            "a/b": GivenChild(new_child(None, None), None),
        }
        self.assertEqual(parse_children(json.dumps(body)), expected)
        self.assertEqual(
            parse_children(json.dumps(body, ensure_ascii=False).encode()), expected
        )

    def test_none(self) -> None:
        """An empty body has no children, and neither has an empty object."""
        for body in (b"", b" \n", b"{}", ""):
            self.assertEqual(parse_children(body), {})

    def test_same_names(self) -> None:
        """Of names that are equal after normalisation the later one counts."""
        body = '{"e\\u0301": ["", {"ro_uri": "x"}], "\\u00e9": ["", {"ro_uri": "y"}]}'
        found = parse_children(body)
        self.assertEqual(list(found), ["\xe9"])
        self.assertEqual(found["\xe9"].child.ro, "ro.y")

    def test_wrong_forms(self) -> None:
        """What is no list of children is refused, with the form that is wanted."""
        for body in (
            "x",
            "[]",
            "5",
            "null",
            b"\xff",
            "[" * 200_000,
            '{"a": ' * 200_000,
            '{"a": null}',
            '{"a": {}}',
            '{"a": ["filenode"]}',
            '{"a": ["filenode", null]}',
            '{"a": ["filenode", [], {}]}',
            '{"a": ["filenode", {"ro_uri": 5}]}',
            '{"a": ["filenode", {"rw_uri": ["x"]}]}',
            '{"a": ["filenode", {"metadata": []}]}',
            '{"a": ["filenode", {"metadata": false}]}',
            '{"\\ud800": ["filenode", {}]}',
            '{"a": ["filenode", {"ro_uri": "\\udc80"}]}',
        ):
            error = self.assertRaises(BadChildren, parse_children, body)
            self.assertIsInstance(error, Misuse)
            str(error).encode("utf-8")
            self.assertIn("Send a JSON object", str(error))

    def test_wrong_caps(self) -> None:
        """Caps that break a rule are refused with the child's name, what to do, no cap."""
        for fields in ({"rw_uri": "x-foo"}, {"ro_uri": f"ro.{WRITE}"}):
            body = json.dumps({"fine": ["", {}], "{bad}": ["", fields]})
            error = self.assertRaises(BadNamedChild, parse_children, body)
            self.assertIn('"{bad}" cannot be linked', str(error))
            self.assertNotIn("x-foo", str(error))
            self.assertNotIn(WRITE, str(error))

    @given(
        st.dictionaries(
            st.text(max_size=3),
            values
            | st.tuples(st.text(), st.dictionaries(st.sampled_from(KEYS), values)).map(
                list
            ),
            max_size=3,
        )
        | values
    )
    def test_no_other_error(self, body: Any) -> None:
        """Whatever JSON it is, there are children or a Misuse."""
        try:
            found = parse_children(json.dumps(body))
        except (BadChildren, BadNamedChild) as error:
            self.assertTrue(str(error))
            return
        self.assertLessEqual(len(found), len(body))


class ShownTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Each kind of child has the keys that the page says."""
        every = {"metadata", "ro_uri"}
        table = [
            ("chk", "filenode", {"mutable", "format", "size", "verify_uri"}),
            ("literal", "filenode", {"mutable", "format", "size"}),
            ("ssk", "filenode", {"mutable", "format", "rw_uri", "verify_uri"}),
            ("mdmf-ro", "filenode", {"mutable", "format", "verify_uri"}),
            ("dir-ssk", "dirnode", {"mutable", "rw_uri", "verify_uri"}),
            ("dir-literal", "dirnode", {"mutable"}),
            ("ssk-verify", "unknown", set()),
        ]
        for kind, type_, keys in table:
            found, shown = describe(Link(new_child(None, str(caps()[kind])), {"a": 1}))
            self.assertEqual((found, set(shown)), (type_, every | keys), kind)
            self.assertEqual(shown["metadata"], {"a": 1})
        self.assertEqual(
            describe(Link(new_child(None, None), {})), ("unknown", {"metadata": {}})
        )
        self.assertEqual(describe(Link(new_child(None, READ), {}))[1]["format"], "SDMF")

    def test_as_stock(self) -> None:
        """Listings of random directories are those of stock."""
        random = Random(21)
        tables = [random_rows(random, TEXTS, n % 9) for n in range(100)]
        packed = [pack_mutable(links_of(rows), WRITE_KEY) for rows in tables]
        for cap, key in ((DIRECTORY, WRITE_KEY), (READ_DIRECTORY, None)):
            answers = work([Show(each, cap) for each in packed])
            for each, (_type, shown) in zip(packed, answers, strict=True):
                links = {entry.name: read_link(entry, key) for entry in parse_table(each)}
                self.assertListed(links, shown["children"])

    def test_immutable_as_stock(self) -> None:
        """And those of immutable ones."""
        random = Random(22)
        texts = [each for each in TEXTS if new_or_none(each)]
        packed = []
        for count in range(60):
            rows = random_rows(random, texts, count % 9)
            readable: list[Row] = [(name, None, ro, given) for name, _, ro, given in rows]
            packed.append(pack_immutable(links_of(readable)))
        answers = work([Show(each, IMMUTABLE_DIRECTORY) for each in packed])
        for each, (_type, shown) in zip(packed, answers, strict=True):
            links = {entry.name: read_immutable_link(entry) for entry in parse_table(each)}
            self.assertListed(links, shown["children"])

    def test_caps_that_are_no_text(self) -> None:
        """A cap of bytes that are no UTF-8 is shown; stock fails to show its directory."""
        packed = pack_mutable({"a": Link(new_child(None, "\udcff"), {})}, WRITE_KEY)
        (answer,) = work([Show(packed, DIRECTORY)])
        self.assertEqual(list(answer), ["error"])
        (entry,) = parse_table(packed)
        link = read_link(entry, WRITE_KEY)
        assert link is not None
        self.assertEqual(describe(link)[1]["ro_uri"], "ro.\udcff")

    def assertListed(self, links: dict[str, Link | None], children: dict[str, Any]) -> None:
        """Fail unless *links* are shown as stock's *children*."""
        shown = {name: list(describe(link)) for name, link in links.items() if link}
        # Through JSON, since a listing is.
        self.assertEqual(json.loads(json.dumps(shown)), children)

    def test_can_be_sent_back(self) -> None:
        """What is shown can be sent: it gives the same children."""
        for text in all_texts():
            if new_or_none(text):
                link = Link(new_child(None, text), {"a": 1})
                body = json.dumps({"name": describe(link)})
                if "\\udc" in body:
                    self.assertRaises(BadChildren, parse_children, body)
                    continue
                self.assertEqual(
                    parse_children(body), {"name": GivenChild(link.child, link.metadata)}
                )
