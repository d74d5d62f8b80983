"""Times in the metadata of a link."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import LiteralCap
from truckee.codec.children import Child, new_child
from truckee.codec.directory_children import Link
from truckee.tree.link_times import created, modified, moved_to, with_modified

TAHOE = {"linkcrtime": 10.0, "linkmotime": 20.0}


def child(text: str) -> Child:
    """Return a file with this content."""
    return new_child(str(LiteralCap(text.encode())), None)


class TimeTests(SynchronousTestCase):
    def link(self, of: Child, **more: object) -> Link:
        return Link(of, {"tahoe": TAHOE, **more})

    def test_linked(self) -> None:
        """Without more it is when the name was linked."""
        self.assertEqual(modified(self.link(child("a"))), 20.0)
        self.assertEqual(created(self.link(child("a"))), 10.0)
        self.assertIsNone(modified(Link(child("a"), {})))
        self.assertIsNone(modified(Link(child("a"), {"tahoe": {"linkmotime": True}})))

    def test_said(self) -> None:
        """What a client said counts until another file is at the name."""
        metadata = with_modified({"tahoe": TAHOE}, child("a"), 5.0)
        self.assertEqual(modified(Link(child("a"), metadata)), 5.0)
        self.assertEqual(modified(Link(child("b"), metadata)), 20.0)
        self.assertEqual(with_modified(metadata, child("a"), None), {"tahoe": TAHOE})

    def test_copied(self) -> None:
        """It goes with a copy, if it was that of the original."""
        metadata = with_modified({"tahoe": TAHOE}, child("a"), 5.0)
        copied = moved_to(metadata, child("a"), child("b"))
        self.assertEqual(modified(Link(child("b"), copied)), 5.0)
        stale = moved_to(metadata, child("c"), child("b"))
        self.assertEqual(modified(Link(child("b"), stale)), 20.0)

    def test_backups(self) -> None:
        """In what never changes the times of ``tahoe backup`` count."""
        link = self.link(child("a"), mtime=3)
        self.assertEqual(modified(link, immutable=True), 3.0)
        self.assertEqual(modified(link), 20.0)
