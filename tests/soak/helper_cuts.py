"""
Uploads through a helper that are cut at random moments, again and again.

    python -m tests.soak.helper_cuts [--cuts 200] [--minutes M] [--seed N] [--keep-logs DIR]

Client, gateway and helper are killed or frozen for some seconds, the line between gateway
and helper is reset or silent.  Files have convergent or given keys.  A client whose request
broke brings the same file again, as often as it takes: in the end there must be the right
file, and every answer on the way must be a clean error.  What goes over the line beyond the
file itself is told for each cut; what carries it is measured beforehand, without cuts.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from attrs import define, field

from tests.integration.helper_line import HelpedGrid, Put, helped_grid, putting
from tests.integration.stock_grid import Shape, content
from tests.processes import Reply, eventually
from tests.report import report

MB = 1_000_000
SHAPE = Shape(2, 3, 4)
KINDS = (
    "client killed",
    "client frozen",
    "gateway killed",
    "gateway frozen",
    "helper killed",
    "helper frozen",
    "line reset",
    "line silent",
)
# Bytes that one cut may cost.
AGAIN = 1 << 20
# Of a new connection: certificates, greetings, what servers are asked.
GREETING = 16 * 1024
PATIENCE = 240.0  # seconds for any answer
# Frozen or silent for so many seconds; for the last at times.
SHORT, LONG = (1.0, 6.0), 30.0


@define
class Cuts:
    """What became of the cuts of one kind."""

    kind: str
    count: int = 0
    went_on: int = 0  # the same request got its cap
    again: int = 0  # the file was brought again
    errors: dict[str, int] = field(factory=dict)  # clean ones
    failures: int = 0
    resent: list[int] = field(factory=list)  # bytes
    seconds: list[float] = field(factory=list)  # from its end to the cap

    def line(self) -> dict[str, object]:
        """Return a line of the table."""
        clean = ", ".join(f"{n} x {text}" for text, n in sorted(self.errors.items()))
        return {
            "what": self.kind,
            "cuts": self.count,
            "went on": self.went_on,
            "brought again": self.again,
            "clean errors": clean or "-",
            "failed": self.failures,
            "sent again, median KiB": round(median(self.resent or [0]) / 1024),
            "most KiB": round(max(self.resent, default=0) / 1024),
            "to the cap, median s": median(self.seconds or [0.0]),
            "most s": max(self.seconds, default=0.0),
        }


@define(eq=False)
class Soak:
    """One run."""

    helped: HelpedGrid
    chance: random.Random
    overhead: float = 0.0  # bytes that carry one byte
    cuts: dict[str, Cuts] = field(factory=lambda: {kind: Cuts(kind) for kind in KINDS})
    _seed: int = 0
    _left: set[str] = field(factory=set)  # files at the helper that wait in vain
    _of_round: list[tuple[Cuts, float]] = field(factory=list)  # and when they ended

    @property
    def count(self) -> int:
        """Cuts so far."""
        return sum(each.count for each in self.cuts.values())

    def measure(self) -> None:
        """Find out what carries a file, on lines of all rates, when nothing is cut."""
        for rate in (1, 2, 20, 0):
            self.helped.line.rate = rate * MB
            data = self.new_file(8 * MB)
            before = self.helped.line.sent
            with putting(self.helped.gateway, data) as sending:
                reply = sending.reply(PATIENCE)
            assert reply is not None and reply.status == 200, reply
            extra = (self.helped.line.sent - before) / len(data) - 1
            print(f"{rate or '-'} MB/s: {extra:.2%} more than the file", flush=True)
            self.overhead = max(self.overhead, extra)
        self.helped.grid.clear()

    def new_file(self, size: int) -> bytes:
        """Return bytes that no other round has."""
        self._seed += 1
        return content(self._seed, size)

    def round(self) -> None:
        """Store one file, cut once or more often on its way."""
        size = self.chance.randint(5 * MB, 40 * MB)
        data = self.new_file(size)
        key = (
            "CHK" if self.chance.random() < 0.5 else f"{self.chance.getrandbits(128):032x}"
        )
        self.helped.line.rate = size / self.chance.uniform(1.0, 5.0)
        kinds = self.chance.choices(KINDS, k=self.chance.choice((1, 1, 1, 2, 3)))
        self._of_round.clear()
        before, deadline = self.helped.line.sent, time.monotonic() + 3 * PATIENCE
        reply: Reply | None = None
        while reply is None or reply.status != 200:
            first = len(self._of_round)
            chunked = self.chance.random() < 0.3
            arguments = f"?key={key}&output=json"
            with putting(self.helped.gateway, data, arguments, chunked) as sending:
                while kinds and self.reach(sending, self.moment(size)):
                    self.cut(kinds.pop(0), sending)
                reply = sending.reply(PATIENCE)
            self.judge(reply, [cuts for cuts, _ in self._of_round[first:]])
            self.revive()
            if time.monotonic() > deadline:
                self.fail("no cap after all that time")
                return
        self.check(json.loads(reply.body), data, self.helped.line.sent - before)

    def moment(self, size: int) -> int:
        """Return how many bytes shall be held when it is cut; all of them: at the end."""
        return min(size, int(size * self.chance.uniform(0.0, 1.05)))

    def reach(self, sending: Put, count: int) -> bool:
        """Wait until the helper has so many bytes; False: it will not."""
        deadline = time.monotonic() + PATIENCE
        while sending.process.poll() is None and time.monotonic() < deadline:
            held = self.held()
            if held >= count:
                return True
            if not held and self.helped.grid.shares():
                return False  # it is stored
            time.sleep(0.01)
        return False

    def held(self) -> int:
        """Return the bytes at the helper of the file of this round."""
        spool = self.helped.helper.spool()
        return sum(size for path, size in spool.items() if path not in self._left)

    def cut(self, kind: str, sending: Put) -> None:
        """Do it."""
        held = self.held() / MB
        print(f"{kind}; {held:.1f} MB held", file=sys.stderr, flush=True)
        self.cuts[kind].count += 1
        who, _, how = kind.partition(" ")
        seconds = LONG if self.chance.random() < 0.08 else self.chance.uniform(*SHORT)
        if how == "reset":
            self.helped.line.reset()
        elif how == "silent":
            self.helped.line.silent = True
            time.sleep(seconds)
            self.helped.line.silent = False
        else:
            process = {
                "client": sending.process,
                "gateway": self.helped.gateway.process,
                "helper": self.helped.helper.process,
            }[who]
            if how == "killed":
                process.kill()
                process.wait()
            else:
                process.send_signal(signal.SIGSTOP)
                time.sleep(seconds)
                process.send_signal(signal.SIGCONT)
        if kind == "helper killed":
            time.sleep(self.chance.choice((0.0, 1.0, 3.0)))
            self.helped.start_helper()
        self._of_round.append((self.cuts[kind], time.monotonic()))

    def judge(self, reply: Reply | None, cuts: Sequence[Cuts]) -> None:
        """One request has ended, with these cuts on its way."""
        for each in cuts:
            if reply is not None and reply.status == 200:
                each.went_on += 1
            else:
                each.again += 1
        if reply is None:
            if not any(each.kind in ("client killed", "gateway killed") for each in cuts):
                self.fail("the request broke off")
        elif reply.status != 200:
            text = f"{reply.status} {reply.body[:60].decode('utf-8', 'replace')}"
            print(f"answer {text}", file=sys.stderr, flush=True)
            if reply.status not in (503, 507) or b"Traceback" in reply.body:
                self.fail(text)
            for each in cuts[-1:]:
                each.errors[text] = each.errors.get(text, 0) + 1

    def revive(self) -> None:
        """Have the gateway run, connected to the helper."""
        if not self.helped.gateway.running:
            self.helped.start_gateway()
        self.helped.gateway.wait_until(self.helped.linked)

    def check(self, told: Mapping[str, Any], data: bytes, sent: int) -> None:
        """The file is there, it is the right one, and little was sent again."""
        now, count = time.monotonic(), len(self._of_round)
        if self.helped.gateway.get(told["cap"]) != data:
            self.fail("another file came back")
        try:
            eventually(lambda: self.held() == 0, 20)
        except AssertionError:
            # While the helper was away the file went without it.
            if told["route"] == "helper":
                self.fail(f"left at the helper: {self.helped.helper.spool()}")
            self._left.update(self.helped.helper.spool())
        again = sent - int(len(data) * (1 + self.overhead)) - GREETING * (1 + count)
        for cuts, ended in self._of_round:
            cuts.resent.append(max(0, again) // count)
            cuts.seconds.append(now - ended)
        if again > count * AGAIN:
            self.fail(f"{again} bytes sent again after {count} cuts")
        self.helped.grid.clear()

    def fail(self, reason: str, cuts: Cuts | None = None) -> None:
        """Count a failure, as one of the last cut unless another is to blame."""
        last = self._of_round[-1][0] if self._of_round else self.cuts[KINDS[0]]
        cuts = cuts or last
        cuts.failures += 1
        print(f"{cuts.kind} FAILED: {reason}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the table; exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-logs", default=None, help="a directory for them")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        with helped_grid(Path(name), shape=SHAPE) as helped:
            soak = Soak(helped, random.Random(options.seed))
            try:
                soak.measure()
                while soak.count < options.cuts and time.monotonic() < end:
                    soak.round()
            finally:
                logs = {
                    "gateway": helped.gateway.log(),
                    "helper": helped.helper.log(),
                }
                for node, log in logs.items() if options.keep_logs else ():
                    (Path(options.keep_logs) / f"{node}.log").write_text(log)
        for node, log in logs.items():
            if "Traceback" in log:
                soak.fail("a traceback in its log", soak.cuts[f"{node} killed"])
    report("uploads through a helper, cut", [each.line() for each in soak.cuts.values()])
    raise SystemExit(any(each.failures for each in soak.cuts.values()))


if __name__ == "__main__":
    main()
