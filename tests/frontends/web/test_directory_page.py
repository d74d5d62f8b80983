"""Tests of truckee.frontends.web.directory_page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_example import pack_immutable
from truckee.codec.caps import DirectoryCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.codec.children import new_child
from truckee.codec.directory_children import Link, pack_mutable
from truckee.codec.directory_table import parse_table
from truckee.codec.entity_tags import listing_tag
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.frontends.web.arguments import BadArgument
from truckee.frontends.web.directory_page import directory_page, rows_of, wanted_names
from truckee.frontends.web.frame import Frame, Health
from truckee.tree.directories import Directory

WRITE = MutableWriteCap("SSK", bytes(16), bytes(32))
FILE = "URI:LIT:nbswy3dp"
OTHER = MutableWriteCap("SSK", bytes([1]) * 16, bytes(32))
FRAME = Frame("../../")


def link(cap: object, at: object = 1_700_000_000.5, **more: Any) -> Link:
    """Return a link that was set at some time."""
    return Link(new_child(str(cap), None), {"tahoe": {"linkmotime": at}, **more})


def directory(
    links: dict[str, Link], cap: MutableWriteCap | MutableReadCap = WRITE
) -> Directory:
    """Return a mutable directory."""
    table = parse_table(pack_mutable(links, WRITE.write_key))
    return Directory(DirectoryCap(cap), table)


def page(of: Directory, *names: str) -> str:
    """Return the whole page."""
    return b"".join(directory_page(of, FRAME, names).pieces()).decode()


class PageTests(SynchronousTestCase):
    def test_row(self) -> None:
        """A row has a name, a size, a time, a kind, and what can be done."""
        text = page(directory({"a b.jpg": link(FILE)}))
        [row] = re.findall("<tr class=.*</tr>", text)
        self.assertIn('<tr class="image see" data-s="5" data-t="1700000000">', row)
        address = "../../file/URI%3ALIT%3Anbswy3dp/@@named=/a%20b.jpg"
        self.assertIn(f'href="{address}" rel="noopener noreferrer"', row)
        self.assertIn("<td>5 bytes</td>", row)
        time = '<time datetime="2023-11-14T22:13:20Z">14 Nov 2023, 22:13 UTC</time>'
        self.assertIn(time, row)
        self.assertIn("<td>picture</td>", row)
        self.assertIn('href="?t=rename-form&amp;name=a%20b.jpg"', row)
        self.assertIn("1 file, 5 bytes", text)

    def test_names_are_text(self) -> None:
        """Names, caps and metadata of strangers are never markup."""
        evil = "\"'><script>alert(1)</script>\u202e"
        links = {evil: link(OTHER, **{evil: evil}), "odd": link(f"ro.x-{evil}")}
        text = page(directory(links), evil)
        self.assertNotIn("<script>", text)
        self.assertNotIn("'>", text)
        self.assertIn("U+202E", text)

    def test_write_caps(self) -> None:
        """What is opened never has a write cap in its address; undo has all it needs."""
        links = {"m.txt": link(OTHER), "d": link(DirectoryCap(OTHER), a=1)}
        text = page(directory(links))
        self.assertEqual(
            [a for a in re.findall('href="([^"]*)"', text) if ":SSK:" in a], []
        )
        self.assertNotIn("URI%3ASSK%3A", text)
        self.assertIn(f'data-rw="{OTHER}"', text)
        self.assertIn(f'data-rw="{DirectoryCap(OTHER)}"', text)
        self.assertIn('data-m="{&quot;a&quot;: 1}"', text)
        self.assertIn("text, mutable", text)
        self.assertIn("1 directory, 1 file", text)

    def test_read_only(self) -> None:
        """Who only reads sees no controls, and no write caps."""
        links = {"m.txt": link(OTHER), "d": link(DirectoryCap(OTHER))}
        text = page(directory(links, WRITE.read_cap()))
        self.assertNotIn("<form", text)
        self.assertNotIn("rename-form", text)
        self.assertNotIn(str(OTHER), text)
        self.assertIn("Read-only", text)
        self.assertIn("directory, read-only", text)

    def test_immutable(self) -> None:
        """A directory that never changes says so."""
        packed = pack_immutable({"a": link(FILE)})
        text = page(Directory(DirectoryCap(LiteralCap(packed)), parse_table(packed)))
        self.assertIn("immutable", text)
        self.assertNotIn("<form", text)

    def test_unknown(self) -> None:
        """A child of an unknown kind is shown and cannot be opened."""
        text = page(directory({"later": link("ro.URI:FUTURE:abc")}))
        self.assertIn('data-ro="ro.URI:FUTURE:abc"', text)
        self.assertIn('<th scope="row"><bdi>later</bdi></th>', text)
        self.assertIn("1 of an unknown kind", text)

    def test_empty(self) -> None:
        """An empty directory says so."""
        self.assertIn('id="none">This directory is empty.', page(directory({})))
        full = page(directory({"a": link(FILE)}))
        self.assertIn('id="none" hidden>This directory is empty.', full)

    def test_tag(self) -> None:
        """Whatever is shown, another page has another tag, and the same one the same."""
        links = {"m.txt": link(OTHER)}

        def version(number: int) -> Prefix:
            return Prefix(number, bytes(32), MutableGeometry.mdmf(1, 3, 10))

        def tag(
            cap: MutableWriteCap | MutableReadCap = WRITE,
            number: int = 1,
            frame: Frame = FRAME,
            names: Sequence[str] = (),
        ) -> str:
            of = evolve(directory(links, cap), version=version(number))
            return directory_page(of, frame, names).tag

        packed = pack_immutable({"a": link(FILE)})
        fixed = Directory(DirectoryCap(LiteralCap(packed)), parse_table(packed))
        tags = [
            tag(),
            tag(number=2),
            tag(WRITE.read_cap()),
            tag(frame=Frame("../")),
            tag(frame=Frame("../../", Health(1, 2))),
            tag(frame=Frame("../../", Health(2, 2))),
            tag(names=("a",)),
            tag(names=("b", "a")),
            directory_page(fixed, FRAME, ()).tag,
            listing_tag(DirectoryCap(WRITE), version(1)),
        ]
        self.assertEqual(len(set(tags)), len(tags))
        self.assertEqual(tag(), tags[0])

    def test_path(self) -> None:
        """The path that was walked is shown, a link for each directory before the last."""
        text = page(directory({}), "a", "<b>")
        self.assertIn('<a href="../../"><bdi>Directory</bdi></a>', text)
        self.assertIn('<a href="../"><bdi>a</bdi></a>', text)
        self.assertIn("<h1><bdi>&lt;b&gt;</bdi></h1>", text)
        self.assertNotIn("crumbs", page(directory({})))

    def test_moving_names(self) -> None:
        """Names that browsers take for a way up lead to their child all the same."""
        child = DirectoryCap(OTHER)
        text = page(directory({name: link(child) for name in ("", ".", "..", "a/b")}))
        quoted = str(child).replace(":", "%3A")
        self.assertEqual(text.count(f'href="../../uri/{quoted}/"'), 3)
        self.assertIn('href="./a%2Fb/"', text)

    def test_bad_times(self) -> None:
        """A time that nobody can have written is left out."""
        never: tuple[object, ...] = (None, "x", -5, 1e300, float("nan"), True, [], 10**400)
        for at in never:
            self.assertNotIn("<time", page(directory({"a": link(FILE, at)})), at)

    def test_pieces(self) -> None:
        """However many children there are, the first row comes soon, in small pieces."""
        links = {f"n{number:04}": link(FILE) for number in range(1001)}
        pieces = list(directory_page(directory(links), FRAME, ()).pieces())
        self.assertEqual(len(pieces), 8)
        self.assertIn(b"n0199", pieces[1])
        self.assertNotIn(b"n0200", pieces[1])
        self.assertIn(b"1,001 files", pieces[-1])

    def test_rows_of(self) -> None:
        """Some rows alone are had by name; of what is not there, none."""
        found = rows_of(directory({"a": link(FILE), "b": link(FILE)}), FRAME, ["b", "c"])
        self.assertIn(b"<bdi>b</bdi>", found)
        self.assertEqual(found.count(b"<tr"), 1)
        self.assertEqual(wanted_names('["a"]'), ["a"])
        for text in ("", "{}", "[1]", "[" * 10000):
            with self.assertRaises(BadArgument):
                wanted_names(text)
