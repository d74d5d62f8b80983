"""rclone over SFTP: copies, compares and mounts, at one real node."""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration.mounts import RCLONE, done, need, need_mounts, rclone_mount
from tests.integration.sftp_clients import CONFIG, new_account
from tests.processes import SharedNode, ask, eventually

room = SharedNode(happy=3, total=3, config=CONFIG)
TIME = 981173106  # 2001-02-03 04:05:06


def tearDownModule() -> None:
    """End the node."""
    room.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        need("rclone")
        self.grid = room()
        name = "-".join(self.id().split(".")[-2:])
        self.account = new_account(self.grid, new_directory(self), name)
        account = self.account
        self.sftp = (
            f":sftp,host=127.0.0.1,port={account.port},user={name},"
            f"key_file='{account.key}':"
        )
        self.webdav = f":webdav,vendor=owncloud,url='{self.grid.url}dav/{account.root}/':"

    def rclone(self, *arguments: str, **more: object) -> str:
        """Return what it prints."""
        return done([*RCLONE, *arguments], **more)  # type: ignore[arg-type]

    def tree(self) -> Path:
        """Return a tree of files."""
        source = new_directory(self)
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "large").write_bytes(os.urandom(5_000_000))
        (source / "empty").touch()
        (source / "sub" / "\u00fc & <b> 'x'.txt").write_text("hello")
        (source / "sub" / "deep" / "per%cent #hash.txt").write_text("x")
        for number in range(20):
            (source / "sub" / f"{number}").write_bytes(os.urandom(10_000 * number))
        for path in source.rglob("*"):
            os.utime(path, (0, TIME))
        return source

    def uploads(self) -> dict[int, int]:
        """Return how much of each upload waited on the spool, by its number."""
        found = json.loads(ask(f"{self.grid.url}status?t=json").body)
        tasks = (*found["active"], *found["recent"])
        return {
            each["number"]: each["spooled"] for each in tasks if each["type"] == "upload"
        }


class CopyTests(_Case):
    def check(self, remote: str, *options: str) -> None:
        """See that a tree goes there and comes back, over several connections."""
        source, back = self.tree(), new_directory(self)
        before = self.uploads()
        self.rclone("sync", str(source), remote, *options)
        new = {key: size for key, size in self.uploads().items() if key not in before}
        self.assertGreaterEqual(len(new), 10)
        self.assertEqual(set(new.values()), {0}, "what streamed fell back to the spool")
        self.rclone("check", "--download", str(source), remote, *options)
        again = self.rclone("sync", "-v", str(source), remote, *options)
        self.assertNotIn("Copied", again)
        self.rclone("rcat", f"{remote}/piped", *options, input=b"from a pipe" * 50_000)
        self.assertEqual(
            self.rclone("cat", f"{remote}/piped", *options), "from a pipe" * 50_000
        )
        self.rclone("copy", remote, str(back), *options)
        self.assertEqual((back / "large").read_bytes(), (source / "large").read_bytes())
        self.assertEqual((back / "large").stat().st_mtime, TIME)
        (source / "large").write_bytes(b"changed" * 100_000)
        (source / "empty").unlink()
        self.rclone("sync", str(source), remote, *options)
        self.rclone("check", "--download", str(source), remote, *options)
        self.rclone("move", remote, f"{remote}-moved", *options)
        self.rclone("check", "--download", str(source), f"{remote}-moved", *options)
        self.rclone("purge", f"{remote}-moved", *options)

    def test_sftp(self) -> None:
        """Over SFTP, with 64 requests of one file at once."""
        self.check(f"{self.sftp}tree", "--sftp-concurrency", "64", "--transfers", "8")

    def test_webdav(self) -> None:
        """Over WebDAV."""
        self.check(f"{self.webdav}tree", "--transfers", "8")


class MountTests(_Case):
    def read(self, path: str) -> bytes:
        """Return what the web API reads at a path."""
        return ask(f"{self.grid.url}uri/{self.account.root}/{path}").body

    def check(self, remote: str) -> None:
        """See that a mounted directory can be written and read."""
        need_mounts()
        for cache in ("writes", "full"):
            self.check_cache(remote, cache)

    def check_cache(self, remote: str, cache: str) -> None:
        """The same, with one mode of rclone's cache."""
        content = os.urandom(3_000_000)
        with rclone_mount(remote, "--vfs-cache-mode", cache) as place:
            (place / cache).mkdir()
            path = place / cache / "f"
            path.write_bytes(content)
            with path.open("r+b") as file:
                file.seek(1_000_000)
                file.write(b"CHANGED")
            path.rename(place / cache / "g")
            (place / cache / "empty").touch()
            # It stores files after they are closed, and forgets them when it ends.
            expected = content[:1_000_000] + b"CHANGED" + content[1_000_007:]
            eventually(lambda: self.read(f"{cache}/g") == expected)
            eventually(lambda: self.read(f"{cache}/empty") == b"")
        with rclone_mount(remote, "--read-only") as place:
            self.assertEqual(sorted(os.listdir(place / cache)), ["empty", "g"])
            self.assertEqual((place / cache / "g").read_bytes(), expected)

    def test_sftp(self) -> None:
        """Over SFTP."""
        self.check(self.sftp)

    def test_webdav(self) -> None:
        """Over WebDAV."""
        self.check(self.webdav)
