"""Files of what users report: what is in them, their size and their number."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from pathlib import Path

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import new_directory, new_workers
from truckee.frontends.web.incident_files import (
    LINES,
    MOST_BYTES,
    MOST_FILES,
    IncidentFiles,
    incident_text,
    nameless,
)

log = Logger(namespace="truckee.tests")

KEY, HASH = "a" * 26, "b" * 52
CAP = f"URI:CHK:{KEY}:{HASH}:2:3:1000"
FURL = f"pb://{'a' * 32}@tcp:127.0.0.1:1/{'b' * 32}"
HANDLE = "Zm9vYmFyYmF6cXV4-_Zm9vYmFyYmF6"

SECRETS = (
    CAP,
    CAP.replace(":", "%3A"),
    f"http://127.0.0.1:3456/uri/{CAP}?t=info",
    f"/uri/{CAP.replace(':', '%3A')}/name",
    f"URI:DIR2:{KEY}:{HASH}",
    f"URI:SSK-RO:{KEY}:{HASH}",
    f"key {KEY}",
    f"{KEY}\n{HASH}",
    FURL,
    HANDLE,
    f"http://127.0.0.1:3456/upload/{HANDLE}",
    "/home/anna/films/secret.mkv",
    "~/films/secret.mkv",
    "C:\\films\\secret.mkv",
    "films/secret.mkv",
    "'/home/anna/My films/secret of mine.mkv'",
    '"tahoe:films/secret of mine.mkv"',
    "file:///home/anna/films/secret.mkv",
)


class TextTests(SynchronousTestCase):
    """What is in a file."""

    def test_nameless(self) -> None:
        """No cap, key or path is left of a text; its other words are."""
        for secret in SECRETS:
            shown = nameless(f"It broke, see {secret} twice {secret}: 2/3 servers.")
            for part in (KEY, HASH, HANDLE, "films", "secret", "a" * 20, "URI:CHK:a"):
                self.assertNotIn(part, shown, secret)
            self.assertTrue(shown.startswith("It broke, see "), shown)
            self.assertIn(" twice ", shown)
            self.assertTrue(shown.endswith("2/3 servers."), shown)

    def test_words(self) -> None:
        """Text without secrets stays as it is."""
        for text in (
            "it broke",
            "1 of 3 servers, 2/3 shares",
            "503 Service Unavailable",
            "2026-11-30 20:37:27",
            "It's \u00fcber-slow; don't know why.",
        ):
            self.assertEqual(nameless(text), text)

    def test_bound(self) -> None:
        """However much is reported and logged, a file is bounded; the newest stays."""
        for character in ("x ", "\u20ac ", "\U0001f600 ", "\x00 ", "/ "):
            lines = [f"{n} {character * 5000}" for n in range(LINES)]
            data = incident_text("now", character * 50_000, lines)
            self.assertLessEqual(len(data), MOST_BYTES)
            text = data.decode("utf-8")
            self.assertIn(f"\n{LINES - 1} ", text)

    def test_forged(self) -> None:
        """A report cannot pass itself off as the log, and has no control characters."""
        text = incident_text("now", "one\r\nLog:\n2026 [x#error] no\x1b[2J\x85\u2028y", [])
        shown = text.decode("utf-8").splitlines()
        self.assertEqual(shown.count("Log:"), 1)
        self.assertIn("  Log:", shown)
        self.assertIn("  2026 [x#error] no?[2J", shown)


@define
class Now:
    """A clock that goes on by a second each time."""

    seconds: float = datetime(2026, 11, 30, 20, 37, 27, tzinfo=timezone.utc).timestamp()

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


class FilesTests(TestCase):
    """The files, and the log in them."""

    def setUp(self) -> None:
        self.place = new_directory(self) / "logs" / "incidents"
        self.count = 0
        self.now = Now()
        self.files = IncidentFiles(
            self.place, new_workers(self), self.now, self.random, "truckee 0"
        )
        self.files.start()
        self.addCleanup(self.files.stop)

    def random(self, size: int) -> bytes:
        self.count += 1
        return bytes([self.count % 256] * size)

    def there(self) -> list[Path]:
        return sorted(self.place.iterdir())

    async def test_one(self) -> None:
        """A file has the report and what was logged before; it is its owner's alone."""
        log.warn("Share {n} on {server} was given up: {cap}", n=3, server="attic", cap=CAP)
        log.debug("for developers")
        try:
            raise ValueError(f"bad {CAP}")
        except ValueError:
            log.failure("A request failed")
        self.assertTrue(await self.files.save(f"it broke: {CAP}"))
        [file] = self.there()
        self.assertRegex(file.name, r"^incident-2026-11-30--20-37-\d\dZ-[a-z2-7]{7}\.txt$")
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        for directory in (self.place, self.place.parent):
            self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        text = file.read_text("utf-8")
        self.assertIn("it broke: (a cap)", text)
        self.assertIn("truckee 0", text)
        self.assertIn("[truckee.tests#warn] Share 3 on attic was given up: (a cap)", text)
        self.assertIn("[truckee.tests#critical] A request failed: ValueError: bad", text)
        self.assertNotIn("developers", text)
        self.assertNotIn(KEY, text)
        self.flushLoggedErrors(ValueError)

    async def test_number(self) -> None:
        """Of many the newest stay; what others put there stays, too."""
        self.place.mkdir(parents=True)
        others = {"incident-2020-01-01--00-00-00Z-abcdefg.flog.bz2", "notes.txt"}
        for name in others:
            (self.place / name).write_text("x")
        for number in range(MOST_FILES + 5):
            await self.files.save(f"number {number} broke")
        found = [each for each in self.there() if each.name not in others]
        self.assertEqual(len(self.there()), MOST_FILES + len(others))
        for number, file in enumerate(found, 5):
            self.assertIn(f"number {number} broke", file.read_text("utf-8"))

    async def test_clock_set_back(self) -> None:
        """What was just reported is kept though older names look newer."""
        for _ in range(MOST_FILES):
            await self.files.save("before")
        self.now.seconds -= 86400.0
        await self.files.save("after")
        self.assertEqual(len(self.there()), MOST_FILES)
        self.assertIn("after", self.there()[0].read_text("utf-8"))

    async def test_cut(self) -> None:
        """What a crash left half-written counts, and goes in its turn."""
        self.place.mkdir(parents=True)
        draft = self.place / "incident-2020-01-01--00-00-00Z-abcdefg.txt.new"
        draft.write_text("x")
        for _ in range(MOST_FILES):
            await self.files.save("it broke")
        self.assertFalse(draft.exists())

    async def test_at_once(self) -> None:
        """Many reports at once leave no more files than one after the other."""
        saves = [Deferred.fromCoroutine(self.files.save("x")) for _ in range(60)]
        for each in saves:
            self.assertTrue(await each)
        self.assertEqual(len(self.there()), MOST_FILES)

    async def test_bad_place(self) -> None:
        """Where no file can be stored, that is said in the log, and nothing is raised."""
        self.place.parent.mkdir()
        self.place.write_text("a file")
        self.assertFalse(await self.files.save("it broke"))
        self.assertEqual(self.place.read_text(), "a file")

    async def test_log_is_bounded(self) -> None:
        """Of the log the last lines are kept, and none once it was stopped."""
        for number in range(LINES + 3):
            log.warn("line {n}.", n=number)
        await self.files.save("x")
        text = self.there()[-1].read_text("utf-8")
        self.assertIn(f"line {LINES + 2}.", text)
        self.assertNotIn("line 2.", text)
        before = len(globalLogPublisher._observers)
        self.files.stop()
        self.files.stop()
        self.assertEqual(len(globalLogPublisher._observers), before - 1)
