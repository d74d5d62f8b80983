"""Which introducers and servers the operator named, and what was heard last time."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.grid.test_announcements import FIELDS, FURL, SERVER_ID
from tests.grids import new_directory
from truckee.errors import Misuse
from truckee.grid.announcements import parse_fields
from truckee.node.peers import (
    BadPeers,
    check_furl,
    load_cache,
    load_introducers,
    load_static_servers,
    save_cache,
)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_directory(self) / "some.yaml"

    def bad(self, load: Any, text: str | bytes, where: str) -> None:
        """Check that *text* is refused with its file and place, on one line."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        error = self.assertRaises(BadPeers, load, self.path)
        self.assertIsInstance(error, Misuse)
        self.assertEqual(error.where, where, text)
        self.assertIn(f"{self.path}: {where}: ", str(error))


class IntroducersTests(_Case):
    def test_several(self) -> None:
        """Each has a name and a furl."""
        self.path.write_text(
            f"introducers:\n  one:\n    furl: {FURL}\n  zwei ü:\n    furl: {FURL}2\n"
        )
        self.assertEqual(load_introducers(self.path), {"one": FURL, "zwei ü": f"{FURL}2"})

    def test_line_end(self) -> None:
        """A furl with the end of its line, as it was read from a file, is that furl."""
        self.path.write_text(yaml.safe_dump({"introducers": {"a": {"furl": f"{FURL}\n"}}}))
        self.assertEqual(load_introducers(self.path), {"a": FURL})

    def test_none(self) -> None:
        """No file, and files with nothing in them, name none."""
        self.assertEqual(load_introducers(self.path), {})
        for text in ("", "# none\n", "{}\n", "introducers:\n", "introducers: {}\n"):
            self.path.write_text(text)
            self.assertEqual(load_introducers(self.path), {}, text)

    def test_bad(self) -> None:
        """What is wrong is named with its place."""
        for text, where in (
            ("introducers: {\n", "line 2"),
            ("introducers:\n\t- a\n", "line 2"),
            ("a: [\nb\n", "line 3"),
            (b"\xff\xfe\xff", "cannot be read"),
            (b"a\x00", "cannot be read"),
            ("- a\n", "at its top"),
            ("text\n", "at its top"),
            ("other: {}\n", "at its top"),
            ("introducers: []\n", "at its top"),
            ("introducers:\n  a: b\n", "introducers: a"),
            ("introducers:\n  a: {}\n", "introducers: a"),
            ("introducers:\n  a:\n    furl: 5\n", "introducers: a"),
            (f"introducers:\n  5:\n    furl: {FURL}\n", "introducers: 5"),
            ("introducers:\n  a:\n    furl: x\n", "introducers: a: furl"),
            (f"introducers:\n  a/b:\n    furl: {FURL}\n", "introducers: a/b"),
            ("introducers: !!python/object/apply:os.getcwd []\n", "line 1"),
        ):
            self.bad(load_introducers, text, where)

    def test_unreadable(self) -> None:
        """A directory of that name, and a file without end, are named too."""
        self.path.mkdir()
        self.assertRaises(BadPeers, load_introducers, self.path)
        self.path.rmdir()
        with self.path.open("wb") as file:
            file.truncate(1 << 30)
        self.assertRaises(BadPeers, load_introducers, self.path)

    def test_furl(self) -> None:
        """A furl without an object's name is refused where it stands."""
        self.assertEqual(check_furl(self.path, "there", FURL), FURL)
        self.assertEqual(check_furl(self.path, "there", f" {FURL}\r\n"), FURL)
        furl = FURL.removesuffix("/swissnum")
        error = self.assertRaises(BadPeers, check_furl, self.path, "there", furl)
        self.assertEqual(error.where, "there")


class StaticServersTests(_Case):
    def test_one(self) -> None:
        """A furl is enough."""
        self.path.write_text(
            f"storage:\n  one:\n    ann:\n      anonymous-storage-FURL: {FURL}\n"
        )
        [server] = load_static_servers(self.path)
        self.assertEqual(
            (server.server_id, server.furl, server.nickname), ("one", FURL, "")
        )

    def test_none(self) -> None:
        """No file names none."""
        self.assertEqual(load_static_servers(self.path), [])

    def test_bad(self) -> None:
        """What is wrong is named with its place."""
        for text, where in (
            ("storage: [\n", "line 2"),
            ("introducers: {}\n", "at its top"),
            ("storage:\n  a: b\n", "storage: a"),
            ("storage:\n  a:\n    ann: 5\n", "storage: a"),
            ("storage:\n  a:\n    ann: {}\n", "storage: a"),
            ("storage:\n  a:\n    ann:\n      anonymous-storage-FURL: x\n", "storage: a"),
        ):
            self.bad(load_static_servers, text, where)


class CacheTests(_Case):
    def test_round_trip(self) -> None:
        """What was heard is read again, by its owner only."""
        known = {
            SERVER_ID: parse_fields(SERVER_ID, FIELDS),
            "other": parse_fields("other", FIELDS | {"nickname": "ü\ud800", "x": [{}]}),
        }
        save_cache(self.path, known)
        self.assertEqual(load_cache(self.path), list(known.values()))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        save_cache(self.path, {})
        self.assertEqual(load_cache(self.path), [])

    def test_too_deep(self) -> None:
        """A server that says something too deep to be written costs the others nothing."""
        deep: list[object] = []
        for _ in range(20_000):
            deep = [deep]
        known = {
            "deep": parse_fields("deep", FIELDS | {"deep": deep}),
            SERVER_ID: parse_fields(SERVER_ID, FIELDS),
        }
        save_cache(self.path, known)
        self.assertEqual(load_cache(self.path), [known[SERVER_ID]])

    def test_stock_form(self) -> None:
        """The file has the form that stock nodes read and write."""
        self.path.write_text(
            f"- ann:\n    anonymous-storage-FURL: {FURL}\n    seqnum: 1\n"
            f"  key_s: {SERVER_ID}\n"
        )
        [found] = load_cache(self.path)
        self.assertEqual((found.server_id, found.furl, found.seqnum), (SERVER_ID, FURL, 1))

    def test_broken(self) -> None:
        """A cache that is missing, empty or broken is none, and no error."""
        self.assertEqual(load_cache(self.path), [])
        for text in (
            b"",
            b"[",
            b"5",
            b"- 5",
            b"- {}",
            b"\xff",
            b"a: b",
            b"- {key_s: 5, ann: 6}",
            b"- {key_s: a, ann: {anonymous-storage-FURL: x}}",
            b"[" * 5000,
        ):
            self.path.write_bytes(text)
            self.assertEqual(load_cache(self.path), [], text[:20])

    def test_no_path(self) -> None:
        """A cache that cannot be written is an OSError for whoever hears."""
        known = {SERVER_ID: parse_fields(SERVER_ID, FIELDS)}
        nowhere = Path(self.path.parent / "no" / "cache.yaml")
        self.assertRaises(OSError, save_cache, nowhere, known)


GOOD = {"anonymous-storage-FURL": FURL}
KEY = "v0-" + "a" * 52

# Entries of servers.yaml that cannot be used, with a part of the reason.
BAD_SERVERS: list[tuple[Any, str]] = [
    ("text", "it needs ann:"),
    (None, "it needs ann:"),
    ([1], "it needs ann:"),
    ({}, "it needs ann:"),
    ({"ann": []}, "it needs ann:"),
    ({"ann": {}}, "no anonymous-storage-FURL"),
    ({"ann": {"storage-options": [{"name": "zkap", "url": "x"}]}}, "no anonymous"),
    ({"ann": {"anonymous-storage-FURL": 5}}, "no anonymous-storage-FURL"),
    ({"ann": {"anonymous-storage-FURL": "pb://x"}}, "a furl looks like"),
    ({"ann": {"anonymous-storage-FURL": "http://x/"}}, "a furl looks like"),
    ({"ann": {"anonymous-storage-FURL": f"pb://a@h:1/{'x' * 5000}"}}, "too long"),
    ({"ann": GOOD | {"permutation-seed-base32": "!"}}, ""),
    ({"ann": GOOD | {"nickname": 5}}, "nickname"),
    ({"ann": GOOD | {"anonymous-storage-NURLs": "pb://x"}}, "NURLs"),
    ({"ann": GOOD, "connections": {"tcp": "tor"}}, "it forbids plain TCP"),
    ({"ann": GOOD, "connections": {"tcp": "disabled"}}, "it forbids plain TCP"),
    ({"ann": GOOD, "connections": {"tcp": None}}, "it forbids plain TCP"),
    ({"ann": GOOD, "connections": "tor"}, "connections:"),
]

BAD_INTRODUCERS: list[tuple[Any, Any, str]] = [
    ("a", None, "it needs a furl"),
    ("a", "text", "it needs a furl"),
    ("a", FURL, "it needs a furl"),
    ("a", [FURL], "it needs a furl"),
    ("a", {}, "it needs a furl"),
    ("a", {"furl": None}, "it needs a furl"),
    ("a", {"furl": 5}, "it needs a furl"),
    ("a", {"furls": FURL}, "it needs a furl"),
    ("a", {"furl": "x"}, "a furl looks like"),
    ("a", {"furl": FURL.removesuffix("/swissnum")}, "a furl looks like"),
    ("a", {"furl": "pb://a@h:1/x"}, "tub id"),
    (5, {"furl": FURL}, "it needs a furl"),
    ("a/b", {"furl": FURL}, "slash"),
    ("a\x00b", {"furl": FURL}, "slash"),
]

BAD_ANNOUNCEMENTS: list[Any] = [
    None,
    5,
    "text",
    [],
    {},
    {"key_s": KEY},
    {"ann": GOOD},
    {"key_s": 5, "ann": GOOD},
    {"key_s": KEY, "ann": []},
    {"key_s": KEY, "ann": {}},
    {"key_s": KEY, "ann": {"anonymous-storage-FURL": "x"}},
    {"key_s": KEY, "ann": GOOD | {"permutation-seed-base32": "!"}},
]


class OneBadPartTests(_Case):
    """One bad entry among good ones is named, and the good ones are used."""

    def setUp(self) -> None:
        super().setUp()
        self.skipped: list[BadPeers] = []

    def write(self, document: Any) -> None:
        self.path.write_text(yaml.safe_dump(document))
        self.skipped.clear()

    def check_named(self, reason: str) -> None:
        [bad] = self.skipped
        self.assertIn(reason, bad.reason)
        self.assertTrue(bad.where.isprintable())
        self.assertNotIn("swissnum", bad.reason)

    def test_servers(self) -> None:
        """The other servers are used, whatever stands where one should."""
        for entry, reason in BAD_SERVERS:
            self.write({"storage": {"a": {"ann": GOOD}, "b": entry, "c": {"ann": GOOD}}})
            found = load_static_servers(self.path, self.skipped.append)
            self.assertEqual([each.server_id for each in found], ["a", "c"], entry)
            self.check_named(reason)

    def test_servers_that_allow_tcp(self) -> None:
        """Ways to connect that change nothing for plain TCP are no reason."""
        for connections in ({}, None, {"tcp": "tcp"}, {"tor": "tor"}):
            self.write({"storage": {"a": {"ann": GOOD, "connections": connections}}})
            [server] = load_static_servers(self.path, tor=True)
            self.assertFalse(server.over_tor)

    def test_servers_for_tor(self) -> None:
        """One that forbids plain TCP alone is reached through Tor, if there is one."""
        self.write({"storage": {"a": {"ann": GOOD, "connections": {"tcp": "tor"}}}})
        [server] = load_static_servers(self.path, tor=True)
        self.assertTrue(server.over_tor)
        for way in ("disabled", "i2p", None, 5, ["tor"]):
            self.write({"storage": {"a": {"ann": GOOD, "connections": {"tcp": way}}}})
            self.assertEqual(
                load_static_servers(self.path, self.skipped.append, tor=True), []
            )

    def test_introducers(self) -> None:
        """The other introducers are used."""
        for name, entry, reason in BAD_INTRODUCERS:
            self.write(
                {"introducers": {"one": {"furl": FURL}, name: entry, "two": {"furl": FURL}}}
            )
            found = load_introducers(self.path, self.skipped.append)
            self.assertEqual(sorted(found), ["one", "two"], entry)
            self.check_named(reason)

    def test_cache(self) -> None:
        """The other announcements are used, and the file is named once."""
        good = {"key_s": SERVER_ID, "ann": GOOD}
        for entry in BAD_ANNOUNCEMENTS:
            told: list[str] = []
            self.path.write_text(json.dumps([good, entry, good]))
            found = load_cache(self.path, told.append)
            self.assertEqual([each.server_id for each in found], [SERVER_ID] * 2, entry)
            [text] = told
            self.assertIn("1 of its 3 entries cannot be used", text)
            self.assertIn("entry 2 (", text)
            self.assertNotIn("swissnum", text)

    def test_cache_with_many(self) -> None:
        """Of many that are broken a few are named."""
        told: list[str] = []
        self.path.write_text(json.dumps([5] * 1000))
        self.assertEqual(load_cache(self.path, told.append), [])
        self.assertIn("1000 of its 1000", told[0])
        self.assertLess(len(told[0]), 400)
