"""Uploads straight to servers of ours that are cut, and go on where each share is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.lined_grid import SERVERS, SHAPE, Lined, lined
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import NodeProcess, content, reaches
from tests.processes import ask, eventually
from tests.soak.upload_cuts import Upload

MIB = 1 << 20
HALF = 6 * MIB
DATA = content(7, 2 * HALF)
# What one byte of a file is on all lines, and what there is around it.
CARRIED = SHAPE.total / SHAPE.needed
GREETINGS = 300_000  # bytes, of all nodes, after a cut


class _Case:
    https: bool

    def setUp(self) -> None:
        if not TAHOE.exists():
            raise SkipTest("tahoe-lafs is not installed")
        stack = ExitStack()
        self.addCleanup(stack.close)  # type: ignore[attr-defined]
        place = stack.enter_context(tempfile.TemporaryDirectory())
        self.grid: Lined = stack.enter_context(lined(Path(place), self.https))

    def begin(self, size: int | None) -> Upload:
        """Have an open upload whose first half is on servers."""
        upload = Upload(self.grid.gateway, "handle", size, DATA)
        upload.open("random")
        assert upload.send(0, HALF).status == 200
        enough = 0.9 * CARRIED * HALF / SERVERS
        eventually(lambda: min(self.kept()) > enough)
        return upload

    def kept(self) -> list[int]:
        """Return the bytes that each server keeps of the upload."""
        return [sum(_sizes(server.directory)) for server in self.grid.servers]

    def end(self, upload: Upload) -> None:
        """Bring the rest: the right file is there."""
        gateway = self.grid.gateway
        gateway.wait_until(lambda: reaches(gateway, SERVERS))
        reply = upload.bring(upload.offset(), len(DATA))
        for _ in range(5):
            if reply.status == 200:
                break
            reply = upload.bring(upload.offset(), len(DATA))
        found = ask(f"{gateway.url}uri/{upload.cap(reply)}")
        assert found.body == DATA, (reply, found.status)

    def check_again(self, before: int, most: int) -> None:
        """The rest cost what it has, and not much more."""
        again = self.grid.sent() - before - 1.02 * CARRIED * HALF
        assert again < most + GREETINGS, again

    def shares(self) -> list[Path]:
        """Return all that are finished."""
        return [share for server in self.grid.servers for share in server.shares()]

    def test_gateway_killed(self) -> None:
        """A gateway that died goes on with what it had sent."""
        for size in (None, len(DATA)):
            upload = self.begin(size)
            self.grid.gateway.kill()
            before = self.grid.sent()
            self.grid.start(self.grid.gateway)
            self.end(upload)
            self.check_again(before, MIB)
            assert len(self.shares()) == SHAPE.total, self.shares()
            assert self.kept() == [0] * SERVERS, self.kept()
            for share in self.shares():
                share.unlink()

    def test_late(self) -> None:
        """A gateway that was started again waits for servers that take longer to come."""
        upload = self.begin(None)
        self.grid.gateway.kill()
        before = self.grid.sent()
        late = self.grid.lines[SHAPE.happy :]
        for line in late:
            line.silent = True
        self.grid.start(self.grid.gateway)
        gateway = self.grid.gateway
        gateway.wait_until(lambda: reaches(gateway, SHAPE.happy))
        with upload.begin(HALF, HALF + MIB) as wire:
            wire.send(DATA[HALF : HALF + MIB])
            eventually(lambda: _under_way(gateway))
            for line in late:
                line.silent = False
            assert wire.reply().status == 200
        self.end(upload)
        self.check_again(before, MIB)
        assert len(self.shares()) == SHAPE.total, self.shares()

    def test_others(self) -> None:
        """
        Nor does it matter that servers died, or that the lines were cut.

        On a busy machine one may come back too late, and the others go on.
        """
        upload = self.begin(None)
        before = self.grid.sent()
        for server in self.grid.servers[:2]:
            server.kill()
            self.grid.start(server)
        for line in self.grid.lines:
            line.reset()
        self.end(upload)
        self.check_again(before, 4 * MIB)
        assert len(self.shares()) >= SHAPE.happy, self.shares()


def _under_way(gateway: NodeProcess) -> list[object]:
    """Return what a gateway does."""
    found: list[object] = json.loads(ask(f"{gateway.url}status/?t=json").body)["active"]
    return found


def _sizes(directory: Path) -> Iterator[int]:
    for path in (directory / "storage" / "incomplete").rglob("*.*"):
        yield path.stat().st_size


class FoolscapTests(_Case, SynchronousTestCase):
    https = False


class HttpsTests(_Case, SynchronousTestCase):
    https = True
