"""Tests of truckee.frontends.web.directory_listing."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import write_cap
from truckee.codec.caps import DirectoryCap, LiteralCap
from truckee.codec.children import new_child
from truckee.codec.children_json import describe
from truckee.codec.directory_children import Link, pack_mutable
from truckee.codec.directory_table import parse_table
from truckee.frontends.web.directory_listing import about_directory, listing
from truckee.tree.directories import Directory


class ListingTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """Together the pieces are the document as a JSON encoder would write it."""
        cap = DirectoryCap(write_cap())
        for count in (0, 1, 200, 201, 1000):
            child = new_child(str(LiteralCap(b"x")), None)
            links = {f'"n{number}\u00e9': Link(child, {}) for number in range(count)}
            table = parse_table(pack_mutable(links, write_cap().write_key))
            for each in (cap, cap.read_cap()):
                directory = Directory(each, table)
                children = {name: describe(link) for name, link in directory.links()}
                self.assertEqual(len(children), count)
                whole = ["dirnode", {**about_directory(each), "children": children}]
                pieces = list(listing(directory))
                self.assertTrue(all(pieces))
                text = b"".join(pieces).decode("ascii")
                self.assertEqual(text, json.dumps(whole, indent=1) + "\n")
                self.assertEqual(len(pieces), 1 + -(-count // 200))
