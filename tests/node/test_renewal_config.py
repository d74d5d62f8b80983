"""Tests of truckee.node.renewal_config."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.tree.forest import directory, file
from truckee.node.config import load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.renewal_config import BadAlias, root_of
from truckee.renewal.plan import RenewalPlan, RenewedTree

DAY = 86400.0


class ConfigTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))
        self.node.private.mkdir()
        self.aliases(tahoe=str(directory("t")), photos=str(directory("p").read_cap()))

    def aliases(self, **caps: str) -> None:
        """Let the node have these aliases."""
        lines = [f"{name}: {cap}\n" for name, cap in caps.items()]
        (self.node.private / "aliases").write_text("".join(lines))

    def load(self, text: str) -> RenewalPlan:
        """Return what a file says in [client]."""
        self.node.config.write_text(f"[client]\n{text}\n")
        config = load_config(self.node)
        self.mistakes = " ".join(f"{each.line} {each.text}" for each in config.mistakes)
        return config.renewal

    def assertBad(self, text: str, *parts: str) -> str:
        """Fail unless *text* stops the start, with *parts* in the error; return that."""
        error = str(self.assertRaises(BadConfig, self.load, text))
        for part in (str(self.node.config), *parts):
            self.assertIn(part, error)
        return error

    def test_none(self) -> None:
        self.assertEqual(self.load(""), RenewalPlan([], False))

    def test_trees(self) -> None:
        text = "renew = tahoe, every 7 days\n  photos, every 30 days\nrenew.repair = yes"
        trees = [RenewedTree("tahoe", 7 * DAY), RenewedTree("photos", 30 * DAY)]
        self.assertEqual(self.load(text), RenewalPlan(trees, True))
        self.assertEqual(self.mistakes, "")

    def test_unknown_alias(self) -> None:
        self.assertBad("renew = music", "[client] renew", "truckee alias create music")

    def test_no_directory(self) -> None:
        """What cannot be walked is refused, and the error has no cap in it."""
        verify = str(directory("p").verify_cap())
        for cap in (str(file("f")), verify, "nonsense", "URI:DIR2:damaged"):
            self.aliases(music=cap)
            error = self.assertBad("renew = music", "is no directory that can be read")
            self.assertNotIn(cap, error)

    def test_cap(self) -> None:
        cap = str(directory("t"))
        error = self.assertBad(f"renew = {cap}, every 7 days", "truckee alias add NAME")
        self.assertNotIn(cap[15:40], error)

    def test_interval(self) -> None:
        self.assertBad("renew = tahoe, sometimes", "every 7 days")
        self.assertBad("renew = tahoe, every 5 min", "every 1 hour or more")
        self.assertBad("renew = tahoe\nrenew.repair = perhaps", "renew.repair")

    def test_typo(self) -> None:
        """A name that can only be renew stops the start: files would be lost."""
        self.assertBad("renews = tahoe", "Did you mean renew?")

    def test_mistakes(self) -> None:
        """What cannot be meant is a problem, and the node runs."""
        self.load("renew = tahoe, every 40 days")
        self.assertIn("2 Leases last 31 days, and those of tahoe", self.mistakes)
        self.load("renew.repair = true")
        self.assertIn("2 renew.repair has no effect", self.mistakes)

    def test_root(self) -> None:
        """Each pass reads the aliases anew."""
        private = self.node.private
        self.assertEqual(root_of(private, "tahoe"), directory("t"))
        self.aliases(tahoe=str(directory("u")))
        self.assertEqual(root_of(private, "tahoe"), directory("u"))
        (private / "aliases").unlink()
        self.assertRaises(BadAlias, root_of, private, "tahoe")
        (private / "aliases").mkdir()
        error = self.assertRaises(BadAlias, root_of, private, "tahoe")
        self.assertIn("cannot be read", str(error))
        self.assertNotIn(str(private), str(error))
