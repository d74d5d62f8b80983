"""A full, read-only or missing disk keeps no node from starting and serving reads."""

from __future__ import annotations

import random
import subprocess
from contextlib import ExitStack
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.failing_disks import Disk, Gateway, make_grid, new_room
from tests.processes import ask, eventually, truckee

DATA = random.Random(12).randbytes(100_000)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.cleanup = ExitStack()
        self.addCleanup(self.cleanup.close)
        self.room = new_room(self.cleanup)

    def says_so(self, node: Gateway, name: str) -> None:
        """Check that a problem is on all pages, in documents, metrics and the log."""
        eventually(lambda: name in node.problems())
        text = node.problems()[name]
        for path in ("", "status"):
            self.assertIn(name, ask(f"{node.url}{path}").body.decode())
        told = node.document("status?t=json")["problems"]
        self.assertIn(text, [each["text"] for each in told])
        metrics = ask(f"{node.url}metrics").text
        self.assertRegex(metrics, r"(?m)^truckee_problems [1-9]")
        self.assertIn(name, node.log.read_text())

    def recovers(self, node: Gateway) -> None:
        """Check that the node goes on by itself, and stores and reads again."""
        eventually(lambda: not node.problems())
        reply = node.put(DATA)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(node.get(reply.text), DATA)
        self.assertNotIn("Traceback", node.log.read_text())


class GridTests(_Case):
    """An embedded grid, all of it on one disk."""

    def setUp(self) -> None:
        super().setUp()
        self.disk = Disk.mount(self.room / "disk", self.cleanup)
        self.node = make_grid(self.disk.path / "node", self.room / "log")

    def reads_only(self, cap: str) -> None:
        """Check that it says what is wrong, gives files, and takes none."""
        self.says_so(self.node, "node directory")
        self.assertEqual(self.node.get(cap), DATA)
        self.assertEqual(self.node.put(DATA).status, 507)

    def test_full(self) -> None:
        """On a full disk it starts, reads, says so, and recovers."""
        with self.node.running():
            cap = self.node.put(DATA).text
            with self.disk.broken("full"):
                self.reads_only(cap)
            self.recovers(self.node)
        with self.disk.broken("full"), self.node.running():
            self.reads_only(cap)

    def test_read_only(self) -> None:
        """On a read-only disk, too; what its start could not write it writes later."""
        with ExitStack() as running:
            running.enter_context(self.node.running())
            cap = self.node.put(DATA).text
            with self.disk.broken("read-only"):
                self.reads_only(cap)
                running.close()
                running.enter_context(self.node.running())
                self.reads_only(cap)
                self.assertIn("node.url", self.node.problems())
            self.recovers(self.node)
            url = (self.node.directory / "node.url").read_text().strip()
            self.assertEqual(url, self.node.url)


class StorageDirectoryTests(_Case):
    """One directory of an embedded grid on a disk of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.node = make_grid(self.room / "node", self.room / "log")
        config = self.node.directory / "tahoe.cfg"
        self.disk = Disk.mount(self.room / "disk", self.cleanup)
        home = self.disk.path / "grid"
        (self.node.directory / "storage" / "1").rename(self.room / "kept")
        subprocess.run(["cp", "-r", str(self.room / "kept"), str(home)], check=True)
        config.write_text(config.read_text().replace("storage/1", str(home)))

    def test_missing(self) -> None:
        """While it runs and when it starts: nothing is written below the mount point."""
        with ExitStack() as running:
            with self.disk.broken("missing"):
                running.enter_context(self.node.running())
                self.says_so(self.node, "storage directory 1: opening")
                cap = self.node.put(DATA).text
                self.assertEqual(self.node.get(cap), DATA)
                self.assertEqual(list(self.disk.path.iterdir()), [])
            self.recovers(self.node)
            with self.disk.broken("missing"):
                self.says_so(self.node, "storage directory 1")
                self.assertEqual(self.node.get(cap), DATA)
                self.assertEqual(self.node.put(DATA[1:]).status, 200)
                self.assertEqual(list(self.disk.path.iterdir()), [])
            self.recovers(self.node)

    def test_read_only(self) -> None:
        """Where one can only be read, or only its shares can, all pages say so."""
        with ExitStack() as running:
            with self.disk.broken("read-only"):
                running.enter_context(self.node.running())
                self.reads_here()
            self.recovers(self.node)
            with self.disk.broken("read-only"):
                self.reads_here()
            self.recovers(self.node)
            shares = str(self.disk.path / "grid" / "shares")
            subprocess.run(["mount", "--bind", shares, shares], check=True)
            running.callback(subprocess.run, ["umount", "--lazy", shares], check=True)
            bind = ["mount", "-o", "remount,bind,ro", shares]
            subprocess.run(bind, check=True)
            self.reads_here()

    def reads_here(self) -> None:
        """Check that the directory counts as one that takes nothing."""

        def told() -> list[dict[str, Any]]:
            return list(self.node.document("?t=json")["servers"])

        ways = [None, "read-only", None]
        eventually(lambda: [each["no_uploads"] for each in told()] == ways)
        self.assertEqual([each["connection_status"] for each in told()], ["Connected"] * 3)
        self.assertEqual(told()[1]["available_space"], 0)
        eventually(lambda: "2 of 3 directories" in ask(f"{self.node.url}status").text)
        page = ask(self.node.url).text
        self.assertIn("1 of them takes no more shares.", page)
        self.assertIn('class="fair">read-only<', page)
        cap = self.node.put(DATA).text
        self.assertEqual(self.node.get(cap), DATA)


class LockTests(_Case):
    def test_two_nodes(self) -> None:
        """A second node on a storage directory that is in use does not start."""
        node = make_grid(self.room / "node", self.room / "log")
        other = make_grid(self.room / "other", self.room / "log2")
        shared = node.directory / "storage" / "0"
        config = other.directory / "tahoe.cfg"
        config.write_text(config.read_text().replace("storage/0", str(shared)))
        with node.running():
            done = warm.run(
                truckee("run", str(other.directory)),
                check=False,
                capture_output=True,
                timeout=60,
            )
            self.assertEqual(done.returncode, 1)
            text = done.stderr.decode()
            self.assertIn(f"(pid {node.pid}) uses the storage directory {shared}", text)
            self.assertNotIn("Traceback", text)
        with other.running():
            self.assertEqual(other.problems(), {})
