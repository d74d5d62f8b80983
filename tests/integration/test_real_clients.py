"""Programs that others wrote for Tahoe-LAFS do their work with our gateway."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.git_annex import INSTALLED, Repository
from tests.integration.stock import TAHOE
from tests.processes import SharedNode, curl

TIME = 240.0  # seconds for one command

gateway = SharedNode(happy=1, needed=1, total=1)


def tearDownModule() -> None:
    """End the node."""
    gateway.close()


def files(place: Path) -> dict[str, bytes]:
    """Return what is in the files of *place*."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


class DuplicityTests(SynchronousTestCase):
    """Its backend ``tahoe:``, which calls stock's ``tahoe`` for each file."""

    if shutil.which("duplicity") is None:
        skip = "duplicity is not installed"

    def setUp(self) -> None:
        """Make a home whose ``tahoe`` knows the gateway, and files."""
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.room = Path(room.name)
        self.source = self.room / "source"
        (self.source / "caf\u00e9").mkdir(parents=True)
        some = random.Random(self.id()).randbytes
        (self.source / "large").write_bytes(some(1_500_000))
        (self.source / "caf\u00e9" / "note").write_text("said first")
        (self.source / "empty").touch()
        url = gateway().url
        self.home = self.room / "home"
        private = self.home / ".tahoe" / "private"
        private.mkdir(parents=True)
        (private.parent / "node.url").write_text(url)
        root = curl("-X", "POST", f"{url}uri?t=mkdir").decode()
        curl("-X", "POST", f"{url}uri/{root}/dir?t=mkdir")
        (private / "aliases").write_text(f"backup: {root}\n")

    def duplicity(self, *arguments: str, known: str = "known") -> str:
        """Return what it prints; what it keeps on its own disk is in *known*."""
        environment = {
            name: value
            for name, value in os.environ.items()
            # Its Python is that of the system.
            if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        }
        environment["HOME"] = str(self.home)
        environment["PATH"] = f"{TAHOE.parent}:{os.environ['PATH']}"
        action, *places = arguments
        done = subprocess.run(
            [
                "duplicity",
                action,
                "--no-encryption",
                "--num-retries=1",
                f"--archive-dir={self.room / known}",
                *places,
            ],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_full_incremental_verify_and_restore(self) -> None:
        """Two backups come back, on a machine that has nothing but the alias."""
        source, grid = str(self.source), "tahoe://backup/dir"
        self.duplicity("full", source, grid)
        (self.source / "caf\u00e9" / "note").write_text("said later")
        (self.source / "new").write_bytes(b"n" * 5000)
        (self.source / "empty").unlink()
        told = self.duplicity("incremental", source, grid)
        self.assertIn("NewFiles 2", told)  # with the directory that it is in

        told = self.duplicity("verify", "--compare-data", grid, source)
        self.assertIn("0 differences found", told)
        back = self.room / "back"
        self.duplicity("restore", grid, str(back), known="nothing")
        self.assertEqual(files(back), files(self.source))


class GitAnnexTests(SynchronousTestCase):
    """Its remote of type ``tahoe``, which calls stock's ``tahoe`` for each key."""

    if not INSTALLED:
        skip = "git-annex is not installed"

    def test_copy_drop_and_get(self) -> None:
        """A file that is in the grid alone comes back; what was lost there is missed."""
        room = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(room.cleanup)
        repository = Repository(Path(room.name))
        repository.create(gateway().url)
        file, content = repository.place / "file", os.urandom(300_000)
        file.write_bytes(content)
        before = set(gateway().shares())
        repository.git("annex", "add", "file")
        repository.git("annex", "copy", "--to=grid", "file")
        # It asks the grid whether it has the file, and drops nothing otherwise.
        repository.git("annex", "drop", "file")
        self.assertFalse(file.exists())
        repository.git("annex", "get", "file")
        self.assertEqual(file.read_bytes(), content)

        (share,) = set(gateway().shares()) - before
        share.unlink()
        with self.assertRaisesRegex(AssertionError, "file"):
            repository.git("annex", "drop", "file")
        self.assertEqual(file.read_bytes(), content)
