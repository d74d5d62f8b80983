"""
Uploads that are cut at random moments, again and again, by handle and with tus.

    python -m tests.soak.upload_cuts [--cuts 300] [--seed N]

The client vanishes with a reset, or hangs and is left behind; the gateway is killed and
started again.  Whatever happened, the upload goes on where it is: in the end there must be
the right file.  What was answered as taken must be there after a kill, and the next request
after a cut is answered within 2 seconds of the moment when the gateway listens.  What is
sent again was in the buffers of the system when it was cut.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Protocol

from attrs import define, field

from tests.processes import GridProcess, Reply, Wire, ask, running
from tests.report import report

MIB = 1 << 20
KINDS = ("client reset", "client hangs", "gateway killed")
WAYS = ("handle", "tus")
ACCEPTED = 2.0  # seconds


@define
class Cuts:
    """What became of the cuts of one kind, of one way to upload."""

    count: int = 0
    failures: int = 0
    accepted: list[float] = field(factory=list)  # seconds
    resent: list[int] = field(factory=list)  # bytes that the client had sent before

    def line(self, what: str) -> dict[str, object]:
        """Return a line of the table."""
        return {
            "what": what,
            "cuts": self.count,
            "failed": self.failures,
            "accepted, median s": median(self.accepted or [0.0]),
            "accepted, most s": max(self.accepted, default=0.0),
            "sent again, median KiB": round(median(self.resent or [0]) / 1024),
            "sent again, most KiB": round(max(self.resent, default=0) / 1024),
        }


class Gateway(Protocol):
    """A node with a web API."""

    @property
    def url(self) -> str:
        """Where it is."""


@define(eq=False)
class Upload:
    """One open upload, as its client sees it."""

    grid: Gateway
    way: str
    size: int | None  # that is told when it is opened
    data: bytes = field(repr=False)
    path: str = field(default="", init=False)

    def open(self, key: str) -> None:
        """Make it."""
        if self.way == "handle":
            size = "" if self.size is None else f"&size={self.size}"
            self.path = "/upload/" + self.say("POST", f"/upload/open?key={key}{size}").text
            return
        length = "Upload-Defer-Length: 1"
        if self.size is not None:
            length = f"Upload-Length: {self.size}"
        reply = self.say("POST", f"/tus/?key={key}", length)
        self.path = reply.headers["location"]

    def say(self, method: str, path: str, *headers: str) -> Reply:
        """Return the answer to a request without a body."""
        with Wire(self.grid.url) as wire:
            wire.request(
                f"{method} {path}", "Content-Length: 0", "Tus-Resumable: 1.0.0", *headers
            )
            return wire.reply(method == "HEAD")

    def offset(self) -> int:
        """Return where to go on; whoever still feeds it is cut off."""
        return int(self.look().headers["upload-offset"])

    def look(self) -> Reply:
        """Return the answer to HEAD."""
        reply = self.say("HEAD", self.path)
        if reply.status != 200:
            raise AssertionError(f"HEAD was answered with {reply.status}")
        return reply

    def begin(self, offset: int, end: int) -> Wire:
        """Return a connection on which the bytes up to *end* may be sent now."""
        wire = Wire(self.grid.url, timeout=120.0)
        length = f"Content-Length: {end - offset}"
        if self.way == "handle":
            close = "&close=true" if end == len(self.data) else ""
            wire.request(f"PUT {self.path}?offset={offset}{close}", length)
            return wire
        headers = ["Content-Type: application/offset+octet-stream", "Tus-Resumable: 1.0.0"]
        if self.size is None and end == len(self.data):
            headers.append(f"Upload-Length: {end}")
        wire.request(f"PATCH {self.path}", length, f"Upload-Offset: {offset}", *headers)
        return wire

    def send(self, offset: int, end: int) -> Reply:
        """Return the answer to the bytes up to *end*."""
        with self.begin(offset, end) as wire:
            wire.send(self.data[offset:end])
            return wire.reply()

    def bring(self, offset: int, end: int) -> Reply:
        """
        Return the answer to the bytes up to *end*.

        A request that was left behind may still reach the gateway, be it only now, and then
        it is the last one that came: whoever was cut off by it looks and goes on.
        """
        reply = self.send(offset, end)
        for _ in range(5):
            if reply.status != 409:
                break
            found = self.offset()
            reply = self.look() if found > end else self.send(found, end)
        return reply

    def cap(self, reply: Reply) -> str:
        """Return the cap in the answer to the last bytes."""
        return reply.text if self.way == "handle" else reply.headers["upload-cap"]


@define(eq=False)
class Soak:
    """One run."""

    grid: GridProcess
    chance: random.Random
    cuts: dict[tuple[str, str], Cuts] = field(
        factory=lambda: {(way, kind): Cuts() for way in WAYS for kind in KINDS}
    )
    _hanging: list[Wire] = field(factory=list)

    @property
    def count(self) -> int:
        """Cuts so far."""
        return sum(each.count for each in self.cuts.values())

    def round(self) -> None:
        """Store one file, cut several times on its way."""
        data = self.chance.randbytes(self.chance.randint(1, 6 * MIB))
        known = self.chance.random() < 0.5
        upload = Upload(
            self.grid, self.chance.choice(WAYS), len(data) if known else None, data
        )
        upload.open(self.chance.choice(("random", "CHK")))
        last = None
        taken = 0  # as it was answered
        for _ in range(self.chance.randint(1, 6)):
            last = self.cuts[upload.way, self.chance.choice(KINDS)]
            try:
                taken = self.cut(upload, last, taken)
            except (AssertionError, OSError, KeyError) as error:
                self.fail(last, repr(error))
                return
        reply = upload.bring(taken, len(data))
        if reply.status not in (200, 204):
            self.fail(last, f"{reply.status} {reply.body[:200]!r}")
        elif ask(f"{self.grid.url}uri/{upload.cap(reply)}").body != data:
            self.fail(last, "another file came back")
        while len(self._hanging) > 20:
            self._hanging.pop(0).socket.close()

    def cut(self, upload: Upload, cuts: Cuts, offset: int) -> int:
        """Send some bytes and cut them off; return the offset that was answered then."""
        rest = len(upload.data) - offset
        share = self.chance.randrange(rest // 2 + 1)
        if share and self.chance.random() < 0.3:
            # What is answered is safe, whatever comes.
            end = offset + share
            reply = upload.bring(offset, end)
            assert reply.status in (200, 204), reply
            offset = end
            rest -= share
            share = self.chance.randrange(rest // 2 + 1)
        wire = upload.begin(offset, len(upload.data))
        with contextlib.suppress(OSError):
            wire.send(upload.data[offset : offset + share])
        time.sleep(self.chance.choice((0.0, 0.0, 0.01, 0.05)))
        cuts.count += 1
        self.end(wire, next(kind for (_, kind), each in self.cuts.items() if each is cuts))
        began = time.monotonic()
        found = upload.offset()
        seconds = time.monotonic() - began
        cuts.accepted.append(seconds)
        cuts.resent.append(max(0, offset + share - found))
        assert found >= offset, f"{found} of {offset} bytes that were answered are there"
        assert seconds < ACCEPTED, f"the next request waited for {seconds:.1f} s"
        return found

    def end(self, wire: Wire, kind: str) -> None:
        """Do it."""
        if kind == "client reset":
            linger = struct.pack("ii", 1, 0)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            wire.socket.close()
        elif kind == "client hangs":
            self._hanging.append(wire)
        else:
            self.grid.kill()
            wire.socket.close()
            self.grid.start()

    def fail(self, cuts: Cuts | None, reason: str) -> None:
        """Count a failure."""
        if cuts is not None:
            cuts.failures += 1
        print(f"FAILED: {reason}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the table; exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        grid = GridProcess.create(
            Path(name) / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        with running(grid):
            soak = Soak(grid, random.Random(options.seed))
            while soak.count < options.cuts:
                soak.round()
                print(f"{soak.count} cuts", file=sys.stderr, flush=True)
        if "Traceback" in grid.log():
            soak.fail(None, f"a traceback in the log:\n{grid.log()[-4000:]}")
            soak.cuts[WAYS[0], KINDS[0]].failures += 1
    lines = [each.line(f"{way}, {kind}") for (way, kind), each in soak.cuts.items()]
    report("uploads in pieces, cut", lines)
    raise SystemExit(any(each.failures for each in soak.cuts.values()))


if __name__ == "__main__":
    main()
