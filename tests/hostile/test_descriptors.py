"""Descriptors that end: what a node does before, and what it says then."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from tests.processes import GridProcess, Reply, Wire, running

SIZE = 100_000
LARGE = 4_000_000


def limit_of(process: int) -> tuple[int, int]:
    """Return the soft and the hard limit of a process."""
    return resource.prlimit(process, resource.RLIMIT_NOFILE)


def used_by(process: int) -> int:
    """Return how many descriptors a process has."""
    return len(os.listdir(f"/proc/{process}/fd"))


def put(wire: Wire, data: bytes) -> Reply:
    """Store a file over a connection that stands."""
    wire.request("PUT /uri", f"Content-Length: {len(data)}")
    wire.send(data)
    return wire.reply()


def get(wire: Wire, target: str, *headers: str) -> Reply:
    """Read over a connection that stands."""
    wire.request(f"GET {target}", *headers)
    return wire.reply()


class DescriptorTests(TestCase):
    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.grid = GridProcess.create(
            Path(stack.enter_context(TemporaryDirectory())) / "grid",
            needed=2,
            happy=2,
            total=3,
            storage_dirs=3,
        )
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        self.hard = before[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, self.hard))
        stack.enter_context(running(self.grid))

    def test_limit(self) -> None:
        """
        A node takes all descriptors that it may have, and shows how many it uses.

        When they end, the answer says so, and nothing of servers or shares; when there are
        some again all is as before.
        """
        pid = self.grid.process.pid
        allowed = min(self.hard, 65_536)
        self.assertEqual(limit_of(pid), (allowed, self.hard))
        data = os.urandom(SIZE)
        with Wire(self.grid.url) as wire, Wire(self.grid.url) as other:
            metrics = get(wire, "/metrics").text
            self.assertIn(f"process_max_fds {float(allowed)}", metrics)
            self.assertIn("process_open_fds ", metrics)
            small, large = put(wire, data).text, put(wire, os.urandom(LARGE)).text
            # Its shares are known, and its last segment was not read.
            self.assertEqual(get(other, f"/uri/{large}", "Range: bytes=0-9").status, 206)
            used = used_by(pid)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, self.hard))
            self.check_refused(put(wire, data))
            self.check_refused(get(other, f"/uri/{small}"))
            last = f"Range: bytes={LARGE - 10}-"
            self.check_refused(get(other, f"/uri/{large}", last))
            # Nobody more comes in, and who is there hears of nothing.
            with Wire(self.grid.url) as refused, self.assertRaises(OSError):
                get(refused, "/metrics")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (allowed, self.hard))
            self.assertEqual(put(wire, data).status, 200)
            self.assertEqual(get(other, f"/uri/{small}").body, data)
            self.assertEqual(get(other, f"/uri/{large}", last).status, 206)
            with Wire(self.grid.url) as late:
                self.assertEqual(get(late, "/metrics").status, 200)
        self.assertNotIn("Traceback", self.grid.log())

    def check_refused(self, reply: Reply) -> None:
        self.assertEqual((reply.status, reply.text[:4]), (503, "This"))
        self.assertIn("file descriptor", reply.text)
