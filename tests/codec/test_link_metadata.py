"""Metadata of links: the rule of updates, alone and beside stock."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_example import random_metadata
from tests.codec.stock_directories import Update, work
from truckee.codec.directory_entry import BadDirectory
from truckee.codec.link_metadata import (
    BadMetadata,
    Metadata,
    dump_metadata,
    is_read_only,
    load_metadata,
    updated,
)

NOW = 1700000000.25


class UpdateTests(SynchronousTestCase):
    # Old, given, result at NOW.
    TABLE: list[tuple[Metadata | None, Metadata | None, Metadata]] = [
        (None, None, {"tahoe": {"linkcrtime": NOW, "linkmotime": NOW}}),
        (None, {"a": 1}, {"a": 1, "tahoe": {"linkcrtime": NOW, "linkmotime": NOW}}),
        ({"a": 1}, {}, {"tahoe": {"linkcrtime": NOW, "linkmotime": NOW}}),
        ({"a": 1}, None, {"a": 1, "tahoe": {"linkcrtime": NOW, "linkmotime": NOW}}),
        ({"ctime": 5}, {}, {"tahoe": {"linkcrtime": 5, "linkmotime": NOW}}),
        ({"ctime": None}, {}, {"tahoe": {"linkcrtime": NOW, "linkmotime": NOW}}),
        (
            {},
            {"ctime": 5},
            {"ctime": 5, "tahoe": {"linkcrtime": NOW, "linkmotime": NOW}},
        ),
        (
            {"ctime": 5, "tahoe": {"linkcrtime": 1, "linkmotime": 2, "x": 3}},
            {"b": 2, "tahoe": {"linkcrtime": 9}},
            {"b": 2, "tahoe": {"linkcrtime": 1, "linkmotime": NOW, "x": 3}},
        ),
        (
            {},
            {"tahoe": {"linkcrtime": 9}},
            {"tahoe": {"linkcrtime": NOW, "linkmotime": NOW}},
        ),
    ]

    def test_rule(self) -> None:
        """Given metadata replaces the old, but for the node's key, which has the times."""
        for old, new, expected in self.TABLE:
            before = deepcopy((old, new))
            self.assertEqual(updated(old, new, NOW), expected)
            self.assertEqual((old, new), before)

    def test_as_stock(self) -> None:
        """Random metadata becomes what stock makes of it, byte for byte."""
        random = Random(16)
        jobs = [Update(old, new, NOW) for old, new, _ in self.TABLE]
        for _ in range(400):
            old, new = (random.choice([None, random_metadata(random)]) for _ in range(2))
            jobs.append(Update(old, new, random.choice([0, 5, 1.25, NOW])))
        for job, text in zip(jobs, work(jobs), strict=True):
            found = dump_metadata(updated(job.old, job.new, job.now))
            self.assertEqual(found.decode("ascii"), text, job)

    def test_strange_times(self) -> None:
        """What stands in the place of the times and is no object is replaced."""
        values: list[Any] = [5, "x", None, [], True]
        for strange in values:
            self.assertEqual(
                updated({"tahoe": strange}, None, NOW),
                {"tahoe": {"linkcrtime": NOW, "linkmotime": NOW}},
            )

    def test_read_only(self) -> None:
        """A link is read-only when its metadata says so with any true value."""
        for value in (True, 1, "no", [0]):
            self.assertTrue(is_read_only({"no-write": value}))
        others: list[Metadata] = [
            {},
            {"no-write": False},
            {"no-write": None},
            {"no_write": True},
        ]
        for other in others:
            self.assertFalse(is_read_only(other))


class TextTests(SynchronousTestCase):
    def test_form(self) -> None:
        """Metadata is ASCII, with a space behind commas and colons, in its order."""
        self.assertEqual(
            dump_metadata({"z": [1, 2.5], "\xe9": {"a": None, "b": "\U0001f600"}}),
            rb'{"z": [1, 2.5], "\u00e9": {"a": null, "b": "\ud83d\ude00"}}',
        )
        self.assertEqual(dump_metadata({}), b"{}")

    def test_round_trip(self) -> None:
        """What is written is read, in any spacing."""
        random = Random(1)
        for _ in range(100):
            metadata = random_metadata(random)
            self.assertEqual(load_metadata(dump_metadata(metadata)), metadata)
        self.assertEqual(
            load_metadata(b' {"a" :1,\n"b":"\xc3\xa9"} '), {"a": 1, "b": "\xe9"}
        )

    def test_damaged(self) -> None:
        """What is no JSON object is a damaged entry."""
        for stored in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'"a"',
            b"5",
            b"{}x",
            b"{'a': 1}",
            b"\xff",
            b'{"a": "\xff"}',
            b'{"a": ' + b"[" * 200_000,
            b'{"a": ' * 200_000,
            b'{"a": ' + b"9" * 5_000 + b"}",
        ):
            self.assertRaises(BadDirectory, load_metadata, stored)

    def test_not_to_be_stored(self) -> None:
        """What cannot be written as JSON is refused."""
        deep: dict[str, Any] = {}
        for _ in range(200_000):
            deep = {"a": deep}
        try:
            for metadata in (deep, {"a": b"bytes"}, {(): 1}):
                error = self.assertRaises(BadMetadata, dump_metadata, metadata)
                self.assertIn("Give a JSON object", str(error))
        finally:
            # Piece by piece, or taking it down overflows the stack in some versions.
            while deep:
                deep = deep.pop("a")
