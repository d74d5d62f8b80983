"""The entity tags of files."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.entity_tags import entity_tags

CAP = ChkReadCap(b"k" * 16, b"h" * 32, 3, 10, 1000)


class TagTests(SynchronousTestCase):
    def test_stored(self) -> None:
        """A stored file's tag is its storage index and a hash; stock's is known too."""
        ours, stock = entity_tags(CAP)
        self.assertEqual(stock, f"{base32.encode(CAP.storage_index)}-")
        self.assertTrue(ours.startswith(stock))
        self.assertEqual(len(ours), len(stock) + 26)

    def test_differ(self) -> None:
        """Another verify cap has another tag, whatever differs; other content does too."""
        caps: list[ChkReadCap | LiteralCap] = [
            CAP,
            evolve(CAP, key=b"K" * 16),
            evolve(CAP, ueb_hash=b"H" * 32),
            evolve(CAP, needed=2),
            evolve(CAP, total=9),
            evolve(CAP, size=999),
            LiteralCap(b""),
            LiteralCap(b"a"),
            LiteralCap(b"b"),
            LiteralCap(str(CAP.verify_cap()).encode()),
        ]
        self.assertEqual(len({entity_tags(cap)[0] for cap in caps}), len(caps))

    def test_stay(self) -> None:
        """A tag never changes: clients come back with it years later."""
        self.assertEqual(
            entity_tags(CAP)[0], "lvx3hmaeimvayglhtpwpmfd6la-fsntwedlab2pvihrldstvuxny4"
        )
        self.assertEqual(entity_tags(LiteralCap(b"abc")), ("qeciw4guqk4vp7uwntip7hz6qu",))

    def test_tell_nothing(self) -> None:
        """Neither the key nor a literal's content is in a tag."""
        self.assertNotIn(base32.encode(CAP.key), entity_tags(CAP)[0])
        self.assertNotIn("mfrgg", entity_tags(LiteralCap(b"abc"))[0])
