"""``truckee sync``: what it waits for, and beside a gateway that works."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.processes import GridProcess, Wire, ask, eventually, running, truckee
from truckee.cli.sync import Waiting


def task(number: int, state: str = "running", **more: Any) -> dict[str, Any]:
    """Return an upload as a gateway describes it."""
    return {"type": "upload", "number": number, "state": state, "error": None, **more}


def status(*active: dict[str, Any], recent: tuple[dict[str, Any], ...] = ()) -> Any:
    """Return what a gateway says."""
    return {"active": active, "active_count": len(active), "recent": recent}


class WaitingTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """There is nothing to wait for, whatever failed before or is read."""
        failed = task(1, "failed", error="no")
        read = {"type": "download", "number": 7}
        waiting = Waiting()
        self.assertFalse(waiting.look(status(read, recent=(failed,))))
        self.assertEqual(waiting.failed, {})

    def test_those_of_now(self) -> None:
        """It waits for those that are under way, not for those that come later."""
        waiting = Waiting()
        self.assertTrue(waiting.look(status(task(2, size=2_000_000, stored=0, eta=61))))
        self.assertEqual(waiting.text, "1 file is not stored yet, 2.0 MB, 1:01 left")
        self.assertTrue(waiting.look(status(task(3), task(2))))
        done = task(2, "done")
        self.assertFalse(waiting.look(status(task(3), recent=(done,))))
        self.assertEqual(waiting.failed, {})

    def test_failed(self) -> None:
        """What fails or is cancelled meanwhile is no success."""
        waiting = Waiting()
        self.assertTrue(waiting.look(status(task(2), task(3))))
        recent = (task(2, "failed", error="no servers"), task(3, "cancelled"))
        self.assertFalse(waiting.look(status(recent=recent)))
        self.assertEqual(waiting.failed, {2: "no servers", 3: "cancelled"})

    def test_more_than_are_listed(self) -> None:
        """Where more are under way than are listed, those that are not may be ours."""
        waiting = Waiting()
        self.assertTrue(waiting.look({**status(task(200)), "active_count": 150}))
        self.assertTrue(waiting.look({**status(task(400)), "active_count": 150}))
        self.assertFalse(waiting.look(status(task(400))))


class CommandTests(SynchronousTestCase):
    def test_beside_a_gateway(self) -> None:
        """It ends when the last byte is stored, and tells of what was not."""
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            grid = GridProcess.create(
                place / "n", needed=1, happy=1, total=1, storage_dirs=1
            )
            stack.enter_context(running(grid))
            command = truckee("sync", "-d", str(grid.directory))
            self.assertEqual(warm.run(command, check=False).returncode, 0)
            with Wire(grid.url) as wire:
                size = 300_000
                wire.request("PUT /uri", f"Content-Length: {size}")
                wire.send(bytes(size - 1))
                eventually(lambda: b'"files": 1' in ask(f"{grid.url}status?t=json").body)
                sync = warm.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                said = sync.stderr
                assert said is not None
                self.assertIn(b"1 file is not stored yet", said.readline())
                self.assertIsNone(sync.poll())
                wire.send(b"x")
                self.assertEqual(sync.wait(60), 0)
            with Wire(grid.url) as wire:
                wire.request("PUT /uri", "Content-Length: 100000")
                wire.send(b"ab")
                eventually(lambda: b'"files": 1' in ask(f"{grid.url}status?t=json").body)
                sync = warm.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                assert sync.stderr is not None
                self.assertIn(b"1 file is not stored yet", sync.stderr.readline())
            self.assertEqual(sync.wait(60), 1)
            self.assertIn(b"upload 2 is not stored", sync.stderr.read())
