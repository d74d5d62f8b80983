"""Grid managers in ``tahoe.cfg``."""

from __future__ import annotations

import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from tests.grid_managers import DAY, Manager, public_text, when
from tests.grids import new_directory
from truckee.grid.announcements import verify
from truckee.node.config import NodeConfig, load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.offer import StorageOffer

NOW = time.time()
MANAGER = Manager()
KEY = MANAGER.public_identity
PORT = "[node]\ntub.port = tcp:1\ntub.location = tcp:127.0.0.1:1\n"
STORAGE = f"{PORT}[storage]\ngrid_management = true\n"
ANNOUNCED = f"{STORAGE}[grid_manager_certificates]\n"
OURS = Ed25519PrivateKey.generate()
GOOD = MANAGER.sign(public_text(OURS), when(NOW, 30 * DAY))
OLD = MANAGER.sign(public_text(OURS), when(NOW, -DAY))
ELSE = MANAGER.sign(public_text(MANAGER.key), when(NOW, DAY))

# What a file of a certificate may hold, and why the node does not start with it.
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "no JSON": (b"{", "not JSON"),
    "bytes": (bytes(range(256)), "not JSON"),
    "deep": (b"[" * 5000, "not JSON"),
    "a list": (json.dumps([GOOD]).encode(), "not a JSON object"),
    "another field": (json.dumps(GOOD | {"name": "x"}).encode(), "other fields"),
    "no signature": (json.dumps({"certificate": "x"}).encode(), "no signature"),
    "numbers": (b'{"certificate": 1, "signature": 2}', "no signature"),
    "junk": (json.dumps(GOOD | {"signature": "!"}).encode(), "not base32"),
    "no certificate": (json.dumps(GOOD | {"certificate": "x"}).encode(), "not JSON"),
    "a version": (json.dumps(MANAGER.sign("x", "", version=2)).encode(), "version"),
    "no time": (json.dumps(MANAGER.sign("x", "")).encode(), "no time"),
    "huge": (b" " * (1 << 20), "too large"),
}


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    def load(self, text: str) -> NodeConfig:
        self.node.config.write_text(text)
        return load_config(self.node)

    def refused(self, text: str) -> str:
        """Return why a node with this configuration does not start."""
        sentence = str(self.assertRaises(BadConfig, self.load, text))
        self.assertNotIn("\n", sentence)
        self.assertTrue(sentence.endswith("."), sentence)
        self.assertFalse(sentence.endswith(".."), sentence)
        return sentence

    def write(self, name: str, document: Any) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        (self.node.path / name).write_bytes(data)


class ManagerTests(_Case):
    def test_keys(self) -> None:
        """Each name has a key, and any of them counts."""
        self.assertEqual(list(self.load(PORT).grid_managers), [])
        text = f"{PORT}[grid_managers]\nalice = {KEY}\nBob : {Manager().public_identity}\n"
        keys = self.load(text).grid_managers
        self.assertEqual(len(keys), 2)
        self.assertEqual(keys[0], MANAGER.key.public_key())

    def test_bad_keys(self) -> None:
        """A key that is none stops the start: without it more servers would be used."""
        for value in ("", "x", KEY[4:], KEY[:-1], f"priv{KEY[3:]}", f"{KEY} {KEY}", "%"):
            sentence = self.refused(f"{PORT}[grid_managers]\nalice = {value}\n")
            self.assertIn("[grid_managers] alice: ", sentence)

    def test_helper(self) -> None:
        """What a helper stored is looked for on servers that are approved of."""
        furl = f"helper.furl = pb://{'a' * 32}@tcp:127.0.0.1:1/x\n"
        text = f"{PORT}[grid_managers]\nalice = {KEY}\n[client]\n{furl}"
        self.load(text)
        self.load(f"{text}helper.verify = false\nhelper.enabled = false\n")
        self.assertIn("helper.verify", self.refused(f"{text}helper.verify = false\n"))

    def test_own_grid(self) -> None:
        """In a grid of its own a node needs no approval, and says so."""
        config = self.load(
            f"[grid]\nstorage_dirs = a\n[storage]\nenabled = false\n"
            f"[client]\nshares.needed = 1\nshares.happy = 1\n"
            f"[grid_managers]\nalice = {KEY}\n"
        )
        self.assertEqual(list(config.grid_managers), [])
        self.assertEqual(list(config.unsupported), ["[grid_managers]"])


class CertificateTests(_Case):
    def test_announced(self) -> None:
        """Certificates are announced with the storage, as they were given."""
        self.write("a.cert", GOOD)
        (self.node.path / "deep").mkdir()
        self.write("deep/b", OLD)
        absolute = self.node.path / "deep" / "b"
        config = self.load(f"{ANNOUNCED}one = a.cert\ntwo = {absolute}\n")
        self.assertEqual(list(config.unsupported), [])
        assert config.storage is not None
        offer = StorageOffer(self.node, OURS, "me", bytes, config.storage.certificates)
        furl = f"pb://{'a' * 32}@tcp:127.0.0.1:1/x"
        announcement = verify(offer.announcement(furl, [], 1))
        fields = announcement.fields
        self.assertEqual(fields["grid-manager-certificates"], [GOOD, OLD])
        [(name, text)] = offer.troubles(NOW).items()
        self.assertEqual(name, "two")
        self.assertIn("It expired on", text)
        for days, text in ((24, "It expires on"), (31, "It expired on")):
            self.assertIn(text, offer.troubles(NOW + days * DAY)["one"])
        offer.keep_public_key()
        kept = (self.node.path / "node.pubkey").read_text()
        self.assertEqual(kept, f"pub-{public_text(OURS)}\n")

    def test_of_another(self) -> None:
        """A certificate of another server is named, since no client accepts it."""
        self.write("a.cert", ELSE)
        config = self.load(f"{ANNOUNCED}one = a.cert\n")
        assert config.storage is not None
        offer = StorageOffer(self.node, OURS, "me", bytes, config.storage.certificates)
        self.assertIn("that of another server", offer.troubles(NOW)["one"])

    def test_bad_files(self) -> None:
        """A file that is no certificate stops the start, with its name."""
        for name, (data, reason) in BAD_FILES.items():
            self.write("a.cert", data)
            sentence = self.refused(f"{ANNOUNCED}one = a.cert\n")
            self.assertIn("[grid_manager_certificates] one: a.cert: ", sentence, name)
            self.assertIn(reason, sentence, name)

    def test_no_files(self) -> None:
        """So does one that is not there, or is a directory."""
        for value, reason in (
            ("none", "No such file"),
            (".", "Is a directory"),
            ("", "Is a directory"),
            ("~nobody-has-this-name/a", "no home directory"),
        ):
            self.assertIn(reason, self.refused(f"{ANNOUNCED}one = {value}\n"))

    def test_too_many(self) -> None:
        """An announcement does not become larger than others take."""
        self.write("a.cert", GOOD)
        names = "".join(f"n{number} = a.cert\n" for number in range(100))
        self.assertIn("together are too large", self.refused(f"{ANNOUNCED}{names}"))

    def test_not_announced(self) -> None:
        """Half of what is needed is named: the section, or the key."""
        section = "[grid_manager_certificates]\none = none\n"
        [mistake] = self.load(f"{PORT}[storage]\nenabled = true\n{section}").mistakes
        self.assertIn("grid_management = true", mistake.text)
        [mistake] = self.load(STORAGE).mistakes
        self.assertIn("there is no certificate", mistake.text)
        config = self.load(f"{PORT}[storage]\nenabled = false\n{section}")
        self.assertEqual(list(config.mistakes), [])
