"""A process that dies in an upload: what was answered is there, and nothing else is."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, Reply, Wire, curl
from tests.soak import WHOLE
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, parse_cap

ROUNDS = 50 if WHOLE else 16
TOTAL = 3  # shares of each file
MIB = 1 << 20
PIECE = 256 * 1024  # bytes sent at once

KINDS = ("announced", "chunked", "convergent", "convergent chunked")
# In the body, when the answer is there, and in the last part of the time that the round
# before needed from the last byte to the answer.
MOMENTS = ("body", "answer", "end")


@define(eq=False)
class Upload:
    """One upload in a thread, and the moment at which its server is to die."""

    url: str
    kind: str
    seed: int
    size: int
    kill_at: int  # bytes sent; more than there are for never
    now: threading.Event = field(factory=threading.Event, init=False)
    whole: bool = field(default=False, init=False)  # the last byte was sent
    ending: float = field(default=0.0, init=False)  # seconds from then to the answer
    reply: Reply | None = field(default=None, init=False)

    def data(self) -> bytes:
        """Return the file."""
        return random.Random(self.seed).randbytes(self.size)

    def run(self) -> None:
        """Send the file and wait for the answer, or for the connection to break."""
        try:
            with Wire(self.url) as wire:
                self._send(wire)
                self.whole = True
                sent = time.monotonic()
                if self.kill_at == self.size:
                    self.now.set()
                reply = wire.reply()
                self.ending = time.monotonic() - sent
                self.reply = reply
        except OSError:
            pass  # it died
        finally:
            self.now.set()

    def _send(self, wire: Wire) -> None:
        data = memoryview(self.data())
        chunked = "chunked" in self.kind
        wire.request(
            "PUT /uri?key=CHK" if "convergent" in self.kind else "PUT /uri",
            "Transfer-Encoding: chunked" if chunked else f"Content-Length: {self.size}",
        )
        for start in range(0, self.size, PIECE):
            piece = bytes(data[start : start + PIECE])
            if chunked:
                wire.chunk(piece)
            else:
                wire.send(piece)
            if start <= self.kill_at < start + len(piece):
                self.now.set()
        if chunked:
            wire.chunk(b"")


class KillTests(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.grid = GridProcess.create(
            Path(room.name) / "node", needed=2, happy=2, total=TOTAL, storage_dirs=TOTAL
        )
        self.addCleanup(lambda: self.grid.kill())
        self.grid.start()
        self.answered: dict[str, Upload] = {}  # by storage index
        self.lost: set[str] = set()  # storage indexes of files whose answer was lost
        self.outcomes: Counter[str] = Counter()

    def test_sigkill(self) -> None:
        """
        Killed at any moment and started again, every file whose cap was answered is there
        byte for byte; no share is of any other file, no spool or draft is left, and the
        disk space of what broke off is free.

        The one exception is a file that was stored for good when its answer was cut off:
        that is known by its having all shares, and its whole body having been sent.
        """
        chance = random.Random(20)
        sizes: dict[str, int] = {}
        ending = dict.fromkeys(KINDS, 0.1)
        for number in range(ROUNDS):
            kind = KINDS[number % len(KINDS)]
            moment = MOMENTS[number // len(KINDS) % len(MOMENTS)]
            if moment != "end":
                # A file of the same size shows how long the end of this one takes.
                sizes[kind] = int(MIB * 64 ** chance.random())
            size = sizes[kind]
            upload = Upload(
                self.grid.url,
                kind,
                seed=number,
                size=size,
                kill_at=(
                    chance.randrange(size) if moment == "body" else size + (moment != "end")
                ),
            )
            delay = ending[kind] * (0.6 + 0.5 * chance.random())
            self.kill_during(upload, delay if moment == "end" else 0.0)
            ending[kind] = upload.ending or ending[kind]
            if any((self.grid.directory / "storage" / "journal").iterdir()):
                self.outcomes[f"{moment}: died while shares were shown"] += 1
            self.grid.start()
            self.check_disk(upload, moment)
        self.check_all()
        print(dict(sorted(self.outcomes.items())))
        # How many live to hear their answer depends on what else the machine does.
        self.assertGreater(len(self.answered), ROUNDS // 8)
        self.assertGreater(ROUNDS - len(self.answered), ROUNDS // 8)

    def kill_during(self, upload: Upload, delay: float) -> None:
        """Kill the grid *delay* seconds after the upload says so."""
        thread = threading.Thread(target=upload.run)
        thread.start()
        self.assertTrue(upload.now.wait(60))
        time.sleep(delay)
        self.grid.kill()
        thread.join(60)
        self.assertFalse(thread.is_alive())

    def check_disk(self, upload: Upload, moment: str) -> None:
        """Look at what the restarted node has."""
        if upload.reply is not None:
            self.assertEqual(upload.reply.status, 200, upload.reply.body)
            cap = parse_cap(upload.reply.text)
            assert isinstance(cap, ChkReadCap)
            self.answered[base32.encode(cap.storage_index)] = upload
            self.outcomes[f"{moment}: answered"] += 1
            self.read_back(upload)
        shares = Counter(path.parent.name for path in self.grid.shares())
        for index in shares.keys() - self.answered.keys() - self.lost:
            self.assertIsNone(upload.reply, "an answered file left other shares")
            self.assertTrue(upload.whole, f"shares of a broken body: {upload}")
            self.lost.add(index)
            self.outcomes[f"{moment}: stored, answer lost"] += 1
            break
        else:
            if upload.reply is None:
                self.outcomes[f"{moment}: nothing stored"] += 1
        known = self.answered.keys() | self.lost
        self.assertEqual(shares, dict.fromkeys(known, TOTAL))
        self.assertEqual(self.grid.incoming(), [])
        for empty in ("tmp", "storage/journal"):
            self.assertEqual(list((self.grid.directory / empty).iterdir()), [])
        self.check_space()

    def check_space(self) -> None:
        """All that is on the disk are the finished shares, and small files of the node."""
        shares = self.grid.shares()
        used = sum(path.stat().st_blocks * 512 for path in shares)
        others = [
            path
            for path in self.grid.directory.rglob("*")
            if path.is_file() and path not in shares and path.name != "log"
        ]
        rest = sum(path.stat().st_blocks * 512 for path in others)
        self.assertLess(rest, MIB, others)
        wanted = sum(path.stat().st_size for path in shares)
        self.assertLessEqual(used, wanted + 8192 * len(shares))

    def read_back(self, upload: Upload) -> None:
        """Check that an answered file is what was sent."""
        assert upload.reply is not None
        found = curl(f"{self.grid.url}uri/{upload.reply.text}")
        self.assertTrue(found == upload.data(), f"another content: {upload}")

    def check_all(self) -> None:
        """Check every answered file once more."""
        for upload in self.answered.values():
            self.read_back(upload)
