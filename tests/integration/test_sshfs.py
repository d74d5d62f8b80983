"""Programs of a usual system in a directory that sshfs mounts: each does as on a disk."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration.mounts import done, need, need_mounts, sshfs
from tests.integration.sftp_clients import CONFIG, new_account
from tests.processes import SharedNode, ask, eventually

room = SharedNode(happy=3, total=3, config=CONFIG)


def tearDownModule() -> None:
    """End the node."""
    room.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        need_mounts()
        self.grid = room()
        name = f"a-{self.id().rpartition('.')[2]}"
        self.account = new_account(self.grid, new_directory(self), name)
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.place = stack.enter_context(sshfs(self.account))

    def check_stored(self, name: str, expected: bytes) -> None:
        """See that *expected* is stored, some time: close() does not wait for it."""
        url = f"{self.grid.url}uri/{self.account.root}/{name}"
        eventually(lambda: ask(url).body == expected)


class CallTests(_Case):
    """What calls of the system do."""

    def new(self, name: str = "f", data: bytes = b"before") -> Path:
        """Return a file with *data*."""
        path = self.place / name
        path.write_bytes(data)
        return path

    def test_rename_over(self) -> None:
        """A file takes the place of another one."""
        one, other = self.new("one", b"1"), self.new("other", b"2")
        one.replace(other)
        self.assertEqual(os.listdir(self.place), ["other"])
        self.assertEqual(other.read_bytes(), b"1")
        self.check_stored("other", b"1")

    def test_rename_open(self) -> None:
        """What is renamed while it is open is written at its new place."""
        path, moved = self.place / "f", self.place / "g"
        with path.open("wb") as file:
            file.write(b"first ")
            file.flush()
            path.rename(moved)
            file.write(b"second")
        self.check_stored("g", b"first second")
        self.assertFalse(path.exists())

    def test_unlink_open(self) -> None:
        """What is removed while it is open can still be read and written."""
        path = self.new()
        with path.open("r+b") as file:
            path.unlink()
            self.assertRaises(FileNotFoundError, path.stat)
            file.write(b"x")
            file.flush()
            file.seek(0)
            self.assertEqual(file.read(), b"xefore")
        self.assertEqual(os.listdir(self.place), [])

    def test_append(self) -> None:
        """Two that append write one behind the other."""
        path = self.new("f", b"")
        with path.open("ab") as one, path.open("ab") as other:
            for number in range(10):
                file = (one, other)[number % 2]
                file.write(b"%d" % number)
                file.flush()
        self.check_stored("f", b"0123456789")

    def test_seek(self) -> None:
        """What is passed over is zero."""
        path = self.place / "f"
        with path.open("wb") as file:
            file.seek(100_000)
            file.write(b"com")
            file.seek(1_000)
            file.write(b"com")
        expected = bytes(1_000) + b"com" + bytes(98_997) + b"com"
        self.assertEqual(path.read_bytes(), expected)
        self.check_stored("f", expected)

    def test_read_by_another_handle(self) -> None:
        """What one handle writes another one reads, also of a file that was there."""
        path = self.new()
        with path.open("r+b", buffering=0) as writer, path.open("rb", buffering=0) as file:
            writer.write(b"BEF")
            self.assertEqual(file.read(), b"BEFore")
        with path.open("wb", buffering=0) as writer, path.open("rb", buffering=0) as file:
            self.assertEqual(file.read(), b"")
            writer.write(b"after")
            os.fsync(writer.fileno())
            self.assertEqual(file.read(), b"after")

    def test_truncate(self) -> None:
        """A file is cut and filled up by its path, by a handle, and when it is opened."""
        path = self.new("f", b"0123456789")
        os.truncate(path, 5)
        self.assertEqual(path.read_bytes(), b"01234")
        os.truncate(path, 8)
        self.assertEqual(path.read_bytes(), b"01234\0\0\0")
        with path.open("r+b") as file:
            file.truncate(3)
            self.assertEqual(os.fstat(file.fileno()).st_size, 3)
            file.truncate(6)
            self.assertEqual(file.read(), b"012\0\0\0")
        self.check_stored("f", b"012\0\0\0")
        path.open("wb").close()
        self.assertEqual(path.stat().st_size, 0)
        self.check_stored("f", b"")

    def test_sizes_while_it_is_written(self) -> None:
        """Its size is that of all that was written, whoever asks."""
        path, chunk = self.place / "f", os.urandom(100_000)
        with path.open("wb", buffering=0) as file:
            for number in range(1, 41):
                file.write(chunk)
                self.assertEqual(os.fstat(file.fileno()).st_size, 100_000 * number)
        with path.open("r+b", buffering=0) as file:
            for number in range(40):
                file.seek(100_000 * number)
                self.assertEqual(file.read(100_000), chunk)

    def test_times(self) -> None:
        """A time that is set, by path or handle, stays."""
        path = self.new()
        os.utime(path, (1_000_000_000, 1_000_000_000))
        self.assertEqual(path.stat().st_mtime, 1_000_000_000)
        with path.open("wb") as file:
            file.write(b"x")
            file.flush()
            os.utime(file.fileno(), (900_000_000, 900_000_000))
        self.check_stored("f", b"x")
        with sshfs(self.account) as other:
            self.assertEqual((other / "f").stat().st_mtime, 900_000_000)

    def test_modes_and_owner(self) -> None:
        """chmod and chown are taken and do nothing."""
        path = self.new()
        path.chmod(0o600)
        os.chown(path, os.getuid(), os.getgid())
        self.assertTrue(stat.S_ISREG(path.stat().st_mode))
        self.assertEqual(path.stat().st_uid, os.getuid())

    def test_exclusive(self) -> None:
        """What must be new is, once."""
        path = self.place / "f"
        path.open("xb").close()
        self.assertRaises(FileExistsError, path.open, "xb")

    def test_directories(self) -> None:
        """Directories come, are listed, move and go, but not when something is in them."""
        inner = self.place / "d" / "e"
        inner.mkdir(parents=True)
        self.assertRaises(OSError, inner.parent.rmdir)
        self.new("d/e/f")
        inner.parent.rename(self.place / "moved")
        self.assertEqual((self.place / "moved" / "e" / "f").read_bytes(), b"before")
        (self.place / "moved" / "e" / "f").unlink()
        (self.place / "moved" / "e").rmdir()
        (self.place / "moved").rmdir()
        self.assertEqual(os.listdir(self.place), [])

    def test_many_names(self) -> None:
        """A directory of many names is listed whole, and removed."""
        names = {f"name {number:03} \u00fc" for number in range(300)}
        for each in names:
            (self.place / each).touch()
        self.assertEqual(set(os.listdir(self.place)), names)
        for each in names:
            (self.place / each).unlink()
        self.assertEqual(os.listdir(self.place), [])

    def test_hard_link(self) -> None:
        """A second name has the same content, and stays when the first one goes."""
        path, second = self.new(), self.place / "second"
        os.link(path, second)
        self.assertEqual(second.read_bytes(), b"before")
        path.unlink()
        self.check_stored("second", b"before")

    def test_no_symbolic_link(self) -> None:
        """There are none, and that is said."""
        path = self.new()
        self.assertRaises(OSError, os.symlink, path, self.place / "link")

    def test_space(self) -> None:
        """df has figures."""
        found = os.statvfs(self.place)
        self.assertGreater(found.f_bavail, 0)
        self.assertGreaterEqual(found.f_blocks, found.f_bavail)

    def test_fsync(self) -> None:
        """fsync returns when what was written is stored."""
        path = self.place / "f"
        with path.open("wb") as file:
            file.write(b"x" * 300_000)
            file.flush()
            os.fsync(file.fileno())
            url = f"{self.grid.url}uri/{self.account.root}/f"
            self.assertEqual(ask(url).body, b"x" * 300_000)


class ProgramTests(_Case):
    """What programs do."""

    def shell(self, script: str) -> str:
        """Return what a script prints that runs in the mounted directory."""
        return done(["sh", "-euc", script], cwd=self.place)

    def test_editors(self) -> None:
        """vim, sed and shells change files in place, and leave nothing beside them."""
        need("vim")
        self.shell(
            "printf 'one\\ntwo\\n' > f; vim -es -u NONE -i NONE -c '%s/two/three/' -c wq f;"
            "sed -i s/one/ONE/ f; echo more >> f"
        )
        self.check_stored("f", b"ONE\nthree\nmore\n")
        self.assertEqual(os.listdir(self.place), ["f"])

    def test_copies(self) -> None:
        """cp, mv, rsync and tar bring a tree, times and all, and find it the same again."""
        need("rsync", "tar")
        source = new_directory(self) / "tree"
        (source / "a" / "b").mkdir(parents=True)
        (source / "a" / "large").write_bytes(os.urandom(3_000_000))
        (source / "a" / "b" / "\u00fc ' %.txt").write_text("text")
        (source / "empty").touch()
        for path in source.rglob("*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        self.shell(
            f"cp -a '{source}' copied; rsync -a '{source}/' synced/;"
            f"rsync -a --inplace '{source}/' inplace/;"
            f"tar cf tree.tar -C '{source}' .; mkdir tarred; tar xf tree.tar -C tarred;"
            f"mv copied moved"
        )
        for name in ("moved", "synced", "inplace", "tarred"):
            self.assertEqual(self.shell(f"diff -r '{source}' {name}"), "")
            self.assertEqual(self.shell(f"rsync -aniO '{source}/' {name}/"), "", name)

    def test_git(self) -> None:
        """A repository is made, changed, packed and cloned there, and is whole."""
        need("git")
        self.shell(
            "git init -q g; cd g; git config user.email a@b; git config user.name a;"
            "for i in 1 2 3 4 5; do head -c 30000 /dev/urandom > f$i; done;"
            "git add .; git commit -qm one; echo more >> f1; git commit -qam two;"
            "git gc -q; git fsck --strict; cd ..; git clone -q --no-hardlinks g h; cd h;"
            'git fsck --strict; test -z "$(git status --short)"'
        )

    def test_random_access(self) -> None:
        """fio finds what it wrote, at random places, of any sizes, old and new files."""
        need("fio")
        common = (
            "fio --name=v --filename=f --size=8m --verify=crc32c --verify_fatal=1"
            " --ioengine=psync --fallocate=none --end_fsync=1"
        )
        for more in (
            "--rw=randwrite --bs=4k",
            "--rw=randrw --bs=16k --overwrite=1",
            "--rw=randwrite --bsrange=1k-64k --bs_unaligned=1 --verify_backlog=64",
            "--rw=write --bs=128k",
        ):
            self.shell(f"{common} {more}")
