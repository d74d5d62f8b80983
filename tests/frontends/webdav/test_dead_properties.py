"""What the metadata of a link has for WebDAV."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.dead_properties import dead_properties, with_properties
from truckee.tree.link_times import KEY, MAX_SIZE, TooManyProperties

TAHOE = {"linkcrtime": 10.0, "linkmotime": 20.0}


class PropertyTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """Properties come back under their names; others' metadata stays."""
        xml = '<a xmlns="urn:x">\U00010000 &lt;</a>'
        found = with_properties({"other": 1, "tahoe": TAHOE}, {"{urn:x}a": xml})
        self.assertEqual((found["other"], found["tahoe"]), (1, TAHOE))
        [(name, back)] = dead_properties(found).items()
        self.assertEqual(name, "{urn:x}a")
        self.assertIn("\U00010000 &lt;", back)
        self.assertNotIn(KEY, with_properties(found, {}))

    def test_bounded(self) -> None:
        """A directory is rewritten as a whole: there is a limit."""
        text = f"<a>{'x' * MAX_SIZE}</a>"
        self.assertRaises(TooManyProperties, with_properties, {}, {"a": text})

    def test_of_others(self) -> None:
        """Whatever somebody has written there, what is told is XML, and bounded."""
        values: tuple[object, ...] = (
            1,
            [],
            {"properties": 1},
            {"properties": [1, None, ["<a/>"], "<a>", "</D:prop><evil/>", "\ud800"]},
            {"properties": ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>']},
            {"properties": ["<a>" * 100_000]},
        )
        for value in values:
            self.assertEqual(dead_properties({KEY: value}), {}, value)
        many: dict[str, Any] = {
            KEY: {"properties": [f"<a{n}>{'x' * 999}</a{n}>" for n in range(99)]}
        }
        self.assertLess(sum(map(len, dead_properties(many).values())), MAX_SIZE)
