"""Short shares as files: whole or not at all, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from attrs import define
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import SECRETS, files_below, new_directory
from tests.powercut.recorder import Recorder
from tests.powercut.replay import cut_at
from tests.storage.test_sharefiles import INDEX, MONTH, NAME, NOW, container, lease
from truckee.storage.direct_files import store_share
from truckee.storage.sharefiles import ShareDirectory

DATA = b"share" * 1000


@define
class _Failing:
    """A call of the system that fails once, when so many were made."""

    real: Callable[..., object]
    left: int

    def __call__(self, *arguments: object, **named: object) -> object:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "no space")
        return self.real(*arguments, **named)


class DirectFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = new_directory(self)
        self.directory = ShareDirectory(self.root)
        self.directory.clear_incoming()
        self.path = self.directory.home(INDEX) / "7"

    def store(self, share: int = 7) -> bool:
        return store_share(self.directory, INDEX, share, DATA, SECRETS, NOW)

    def test_bytes(self) -> None:
        """The file is a container of version 2 with one lease, and nothing else is left."""
        self.assertTrue(self.store())
        expires = int(NOW) + MONTH
        wanted = container(DATA, lease(0, SECRETS, expires))
        self.assertEqual(self.path.read_bytes(), wanted)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(files_below(self.root), [self.path])
        self.assertEqual(self.path.parent.name, NAME)

    def test_incoming_is_gone(self) -> None:
        """Whoever removed the directory for drafts has it made again."""
        (self.root / "shares" / "incoming").rmdir()
        self.assertTrue(self.store())

    def test_something_else(self) -> None:
        """Where something has the number, or is no share, nothing is stored."""
        self.path.parent.mkdir(parents=True)
        for name in ("7", "8"):
            other = self.path.with_name(name)
            other.write_bytes(b"no share")
            self.assertFalse(self.store())
            self.assertEqual(other.read_bytes(), b"no share")
            other.unlink()
        self.path.with_name("readme").write_bytes(b"")
        self.assertTrue(self.store())

    def test_failures(self) -> None:
        """Wherever the disk refuses, it is an error, and no file stays."""
        places = [("write", 1), ("rename", 1), ("mkdir", 1)]
        # Of the file, its directory, the prefix's and shares/.
        places += [("fsync", number) for number in range(1, 5)]
        for name, number in places:
            with self.subTest(name=name, number=number):
                failing = _Failing(getattr(os, name), number)
                self.patch(os, name, failing)
                with self.assertRaises(OSError):
                    self.store()
                self.patch(os, name, failing.real)
                self.assertEqual(files_below(self.root), [])
                if self.path.parent.exists():
                    self.path.parent.rmdir()
                    self.path.parent.parent.rmdir()
        self.assertTrue(self.store())

    def test_syncs(self) -> None:
        """The top directory is synced for the first share of a prefix, or of a new one."""
        calls = _Failing(os.fsync, 0)
        self.patch(os, "fsync", calls)
        taken = []
        for share in (1, 2):
            self.store(share)
            taken.append(-calls.left)
        shutil.rmtree(self.path.parent.parent)
        self.store(3)
        taken.append(-calls.left)
        self.assertEqual(taken, [4, 7, 11])

    def test_power_cuts(self) -> None:
        """Once it is stored it outlives a cut; before, it is whole or not there."""
        recorder = Recorder(self.root)
        with recorder.recording():
            for share in (7, 8):
                self.store(share)
                recorder.mark(share)

        async def check(left: Path, promises: list[object]) -> list[str]:
            home = ShareDirectory(left).home(INDEX)
            found = {share: home / str(share) for share in (7, 8)}
            broken = [f"{n} is gone" for n in promises if not found[n].exists()]  # type: ignore[index]
            whole = self.path.read_bytes()
            return broken + [
                f"{share} is torn"
                for share, path in found.items()
                if path.exists() and path.read_bytes() != whole
            ]

        for step in range(len(recorder.steps) + 1):
            for seed in range(5):
                cut = ensureDeferred(cut_at(recorder, step, seed, check))
                self.assertIsNone(self.successResultOf(cut))
