"""Names in ``tahoe.cfg`` that are none, and settings that cannot be honoured."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.errors import Misuse
from truckee.node.config import NodeConfig, load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory

KEY = "pub-v0-" + "a" * 52
HIDDEN = "[node]\ntub.port = disabled\ntub.location = disabled\nreveal-IP-address = false\n"
NO_STORAGE = "[storage]\nenabled = false\n"


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    def load(self, text: str) -> NodeConfig:
        self.node.config.write_text(text)
        return load_config(self.node)

    def refused(self, text: str) -> str:
        """Return why a node with this configuration does not start."""
        error = self.assertRaises(BadConfig, self.load, text)
        self.assertIsInstance(error, Misuse)
        sentence = str(error)
        self.assertNotIn("\n", sentence)
        self.assertFalse(sentence.endswith(".."))
        self.assertTrue(sentence.endswith("."))
        return sentence


class UnknownTests(_Case):
    def test_named(self) -> None:
        """What is not known has no effect, and is named with its line and what is meant."""
        for text, line, *parts in (
            ("[node]\nweb.prot = tcp:1\n", 2, "[node] web.prot", "mean web.port?"),
            ("[node]\nnick name = a\n", 2, "mean nickname?"),
            ("[node]\n\n# x\nport = 1\n", 4, "[node] port", "section [sftpd]"),
            ("[client]\nhelper.fulr = pb://x\n", 2, "mean helper.furl?"),
            ("[client]\nweb.port = 1\n", 2, "section [node]?"),
            ("[client]\nintroducer_furl = x\n", 2, "mean introducer.furl?"),
            ("[nodes]\nnickname = a\n", 1, "no section [nodes]", "mean [node]?"),
            ("[Helper]\nenabled = true\n", 1, "no section [Helper]", "mean [helper]?"),
            ("[elsewhere]\na = 1\nb = 2\n", 1, "no section [elsewhere]"),
            ("[storage]\nsizelimit = 5G\n", 2, "[storage] sizelimit is not known"),
            ("[helper]\ncolour: red\n", 2, "[helper] colour"),
            ("[node]\nnickname = a\n  b = c\nfoo = 1\n", 4, "[node] foo"),
        ):
            [mistake] = self.load(text).mistakes
            self.assertEqual(mistake.where, f"tahoe.cfg line {line}", text)
            for part in parts:
                self.assertIn(part, mistake.text)

    def test_typos_of_what_protects(self) -> None:
        """A name that can only mean a setting that protects stops the start."""
        for text, meant in (
            ("[node]\nreveal-ip-adress = false\n", "reveal-ip-address"),
            ("[node]\nreveal_IP_address = false\n", "reveal-ip-address"),
            ("[connections]\ntpc = tor\n", "[connections] tpc"),
            ("[connection]\ntcp = tor\n", "[connections]"),
            ("[node]\ntcp = disabled\n", "[connections]"),
            ("[storage]\nread-only = true\n", "readonly"),
            ("[storage]\nreserved-space = 5G\n", "reserved_space"),
            ("[storage]\nexpire.imutable = false\n", "expire.immutable"),
            ("[Storage]\nreadonly = true\n", "[storage]"),
            ("[client]\nshare.happy = 7\n", "shares.happy"),
            ("[node]\nshares.needed = 2\n", "[client]"),
            (f"[grid_manager]\nalice = {KEY}\n", "[grid_managers]"),
            ("[grid]\nstorage_dir = a\n", "storage_dirs"),
            ("[storage]\nanonymus = false\n", "anonymous"),
        ):
            sentence = self.refused(text)
            self.assertIn(meant, sentence)
            self.assertIn("line ", sentence)

    def test_left_over(self) -> None:
        """Beside the right key a typo of it is only named."""
        text = "[storage]\nreserved-space = 5G\nreserved_space = 5G\n"
        self.assertEqual([each.line for each in self.load(text).mistakes], [2])

    def test_known_elsewhere(self) -> None:
        """Keys of stock nodes and sections of their plugins are no mistakes."""
        for text in (
            "[client]\nstorage.plugins = zkap\n[storageclient.plugins.zkap]\nurl = x\n",
            f"{NO_STORAGE}[grid_manager_certificates]\ndefault = a.cert\n",
            "[storageserver.plugins.x]\nany = thing\n",
            "[sftpd]\nenabled = false\nport = tcp:8022\naccounts.file = a\n",
            "[node]\nweb.static = public_html\ntimeout.keepalive = 30\n",
            "[DEFAULT]\nroot = /srv\n",
            "[tor]\ncontrol.port = tcp:127.0.0.1:9051\n[i2p]\nenabled = false\n",
        ):
            self.assertEqual(self.load(text).mistakes, [], text)

    def test_without_effect(self) -> None:
        """A secret in what has no effect here is not written to the log."""
        config = self.load("[node]\nlog_gatherer.furl = pb://secret\n")
        self.assertEqual(config.unsupported, ["[node] log_gatherer.furl"])


class ProtectionTests(_Case):
    def test_stops(self) -> None:
        """What protects somebody and cannot be honoured stops the start with a reason."""
        port = "tub.port = tcp:8098\n"
        for text, where in (
            ("[node]\nreveal-IP-address = false\n", "[node] reveal-IP-address"),
            (HIDDEN, "[node] reveal-IP-address"),
            (
                f"[node]\nreveal-ip-address = no\n{port}[connections]\ntcp = disabled\n",
                "[node] reveal-IP-address",
            ),
            ("[connections]\ntcp = tor\n[tor]\nenabled = no\n", "[connections] tcp"),
            ("[connections]\ntcp = Tor\n[tor]\nenabled = 0\n", "[connections] tcp"),
            ("[connections]\ntcp = i2p\n", "[connections] tcp"),
            ("[node]\nreveal-IP-address = perhaps\n", "[node] reveal-ip-address"),
            ("[tor]\nonion = true\n", "[tor] onion"),
            ("[i2p]\ndest = true\n", "[i2p] dest"),
            ("[node]\ntub.port = listen:tor\n", "[node] tub.port"),
            ("[storage]\nanonymous = false\n", "[storage] anonymous"),
            ("[storage]\nplugins = zkap\n", "[storage] plugins"),
        ):
            self.assertIn(f"{where}: ", self.refused(text), text)

    def test_honoured(self) -> None:
        """What needs no connection is kept, and nothing is dialled where that is said."""
        grid = "[grid]\nstorage_dirs = a\n[storage]\nenabled = false\n"
        for text, dials in (
            (f"{NO_STORAGE}[connections]\ntcp = disabled\n", False),
            (f"{HIDDEN}{NO_STORAGE}[connections]\ntcp = disabled\n", False),
            (f"{NO_STORAGE}[connections]\ntcp = tcp\n", True),
            (f"{NO_STORAGE}[node]\nreveal-IP-address = true\n", True),
            (f"{NO_STORAGE}anonymous = false\n", True),
            (f"{NO_STORAGE}plugins = zkap\n", True),
            (f"{grid}[node]\nreveal-IP-address = false\n", True),
            (f"{grid}[connections]\ntcp = tor\n", False),
            (f"{grid}[grid_managers]\nalice = {KEY}\n", True),
            ("[grid_managers]\n", True),
            (f"{NO_STORAGE}[grid_managers]\nalice = {KEY}\n", True),
            ("[tor]\nonion = false\n", True),
            (
                "[node]\ntub.port = tcp:1\ntub.location = tor:a.onion:1\n"
                "reveal-IP-address = false\n[connections]\ntcp = disabled\n",
                False,
            ),
        ):
            self.assertIs(self.load(text).dials_tcp, dials, text)

    def test_files(self) -> None:
        """Settings in files of their own, which forbid too, stop the start."""
        for name in ("no_storage", "readonly_storage", "sizelimit", "introducer.furl"):
            file = self.node.path / name
            file.write_text("")
            self.assertIn(str(file), self.refused(""))
            file.unlink()

    def test_forbidden_files(self) -> None:
        """A gateway with a list of forbidden files does not start."""
        web = "[node]\nweb.port = tcp:1\n"
        file = self.node.path / "access.blacklist"
        file.write_text("# none\n\n")
        self.load(web)
        file.write_text("# one\naaaaaaaaaaaaaaaaaaaaaaaaaa because\n")
        self.assertIn("access.blacklist: ", self.refused(web))
        self.load("")


class GridTests(_Case):
    def test_directories(self) -> None:
        """A grid without directories, and one with a directory twice, is refused."""
        (self.node.path / "link").symlink_to("a")
        for lines in (
            "storage_dirs =",
            "storage_dirs =\n   \n",
            "reserved_space = 1G",
            "storage_dirs =\n  a\n  a",
            "storage_dirs =\n  a\n  b\n  ./a",
            "storage_dirs =\n  a\n  b/../a",
            f"storage_dirs =\n  a\n  {self.node.path}/a",
            "storage_dirs =\n  a\n  link",
            "storage_dirs =\n  a/\n  a",
            "storage_dirs =\n  ~nobody-of-this-name/x",
        ):
            self.assertIn("[grid] storage_dirs: ", self.refused(f"[grid]\n{lines}\n"))

    def test_shares(self) -> None:
        """Shares that do not go with the directories are named with their line."""
        for needed, happy, directories, line, part in (
            (2, 2, 3, None, ""),
            (1, 1, 1, None, ""),
            (2, 2, 2, None, ""),
            (
                2,
                1,
                1,
                2,
                "is 2, and there is room on 1 storage directory only",
            ),
            (
                3,
                2,
                2,
                2,
                "is 3, and there is room on 2 storage directories only",
            ),
            (1, 3, 2, 3, "every upload is refused"),
        ):
            names = "".join(f"  {number}\n" for number in range(directories))
            config = self.load(
                f"[client]\nshares.needed = {needed}\nshares.happy = {happy}\n"
                f"shares.total = 3\n[grid]\nstorage_dirs =\n{names}"
            )
            found = [(each.line, part in each.text) for each in config.mistakes]
            self.assertEqual(found, [(line, True)] if line else [])
