"""
A tree whose shares are removed and corrupted at random, repaired in one pass.

    python -m tests.soak.repair_tree [--objects 500] [--seed N] [--directory DIR]

On ten stock servers, 3-of-10: directories, immutable files, SDMF and MDMF files.  Of each
object one to seven shares are removed, or have one random byte changed.  Then
``truckee manifest | truckee check --verify``, and ``truckee repair`` of what that found.
Afterwards all must be healthy, for ``truckee check --verify`` and for the verifier of a
stock gateway in a process of its own, and each file must be what it was.  A corrupt share
of an immutable file stays where it is, beside a good one; where the damage is in its table
of offsets stock's verifier crashes, which is counted and no fault of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import define, field

from tests.integration.deep_trees import TreeMaker
from tests.integration.stock_grid import Grid, NodeProcess, grid
from tests.processes import ask, curl, truckee
from tests.report import report
from truckee.codec.container import HEADER_SIZE, LEASE_SIZE
from truckee.codec.slot_container import DATA_OFFSET, SlotHeader

EACH = 25  # objects of a directory, itself too
NEEDED, TOTAL = 3, 10


def main() -> None:
    """Print what happened; fail when something is not healthy, or not what it was."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--directory", default=None)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as room,
        grid(Path(room), cache=False) as made,
    ):
        soak = _Soak(made, Path(room), random.Random(options.seed))
        sys.exit(soak.run(options.objects))


@define(eq=False)
class _Soak:
    """One tree, and what is done to it."""

    grid: Grid
    place: Path
    chance: random.Random
    removed: int = field(default=0, init=False)  # shares
    corrupted: int = field(default=0, init=False)

    def run(self, objects: int) -> int:
        """Return the exit code."""
        root = self._make(objects)
        aliases = self.grid.ours.directory / "private" / "aliases"
        aliases.write_text(f"tree: {root}\n")
        before = self._contents(self._command("manifest", "--json", "tree:"))
        lines = self._command("manifest", "--json", "tree:")
        for unit in _units(lines):
            self._damage(unit["storage-index"])
        found = self._command("check", "--verify", data=lines)
        repaired = self._command("repair", data=found)
        # Directories that had been listed from few shares, too.
        again = _units(
            self._command("check", "--verify", data=self._command("manifest", "tree:"))
        )
        stock = [self._stock(unit["cap"]) for unit in again]
        for each in [each for each in stock if each]:
            print(each)
        wrong = {
            "objects": len(before),
            "shares removed": self.removed,
            "corrupted": self.corrupted,
            "found not healthy": sum(u["healthy"] is not True for u in _units(found)),
            "repaired": sum(u["healthy"] is True for u in _units(repaired)),
            "not repaired": sum(u["healthy"] is not True for u in _units(repaired)),
            "then not healthy, ours": sum(u["healthy"] is not True for u in again),
            "then not healthy, stock": sum(each.startswith("{") for each in stock),
            "stock crashed": sum(each.startswith("500") for each in stock),
            "other content": sum(
                before[path] != now
                for path, now in self._contents(lines, self.grid.stock).items()
            ),
        }
        report("one pass of repair", [wrong])
        bad = ("not repaired", "then not healthy, ours", "then not healthy, stock")
        return int(any(wrong[each] for each in (*bad, "other content")))

    def _stock(self, cap: str) -> str:
        """Return what stock's verifier has against an object; empty: it is healthy."""
        target = f"{self.grid.stock.url}uri/{quote(cap, safe='')}"
        more = "?t=check&verify=true&output=JSON"
        reply = ask("--request", "POST", target + more)
        if reply.status != 200:
            return f"{reply.status}: {reply.body[-300:].decode('utf-8', 'replace')}"
        told = json.loads(reply.body)
        return "" if told["results"]["healthy"] else json.dumps(told)

    def _make(self, objects: int) -> str:
        maker = TreeMaker(self.grid.ours.url)
        directories: dict[str, Any] = {}
        for number in range(objects // EACH):
            children = {f"f{n}": self._file(maker) for n in range(EACH - 1)}
            format = self.chance.choice(("SDMF", "MDMF"))
            cap = maker.post(
                f"?t=mkdir-with-children&format={format}", json.dumps(children).encode()
            )
            directories[f"d{number}"] = ["dirnode", {"rw_uri": cap}]
        return maker.post("?t=mkdir-with-children", json.dumps(directories).encode())

    def _file(self, maker: TreeMaker) -> Any:
        data = self.chance.randbytes(self.chance.randrange(56, 30_000))
        kind = self.chance.choice(("", "", "", "?format=SDMF", "?format=MDMF"))
        cap = curl("-T", "-", f"{maker.url}uri{kind}", data=data).decode()
        return ["filenode", {"rw_uri" if kind else "ro_uri": cap}]

    def _damage(self, index: str) -> None:
        """Leave at least so many shares that it can be read."""
        shares = [
            share
            for server in self.grid.servers
            for share in server.directory.glob(f"storage/shares/{index[:2]}/{index}/*")
        ]
        assert len(shares) == TOTAL, (index, len(shares))
        for share in self.chance.sample(shares, self.chance.randint(1, TOTAL - NEEDED)):
            if self.chance.random() < 0.5:
                share.unlink()
                self.removed += 1
                continue
            data = bytearray(share.read_bytes())
            start, end = HEADER_SIZE, len(data) - LEASE_SIZE
            if data.startswith(b"Tahoe mutable"):
                length = SlotHeader.parse(bytes(data)).length
                start, end = DATA_OFFSET, DATA_OFFSET + length
            data[self.chance.randrange(start, end)] ^= self.chance.randrange(1, 256)
            share.write_bytes(data)
            self.corrupted += 1

    def _command(self, name: str, *arguments: str, data: bytes = b"") -> bytes:
        command = truckee(name, "-d", str(self.grid.ours.directory), *arguments)
        done = subprocess.run(
            command, input=data, capture_output=True, check=False, env=os.environ
        )
        print(name, *arguments, done.stderr.decode().strip(), flush=True)
        assert done.returncode in (0, 1), done
        return done.stdout

    def _contents(
        self, lines: bytes, gateway: NodeProcess | None = None
    ) -> dict[str, bytes]:
        """Return what is in the files of a manifest; of directories nothing."""
        url = (gateway or self.grid.ours).url
        found = {}
        for unit in _units(lines):
            path = "/".join(unit["path"])
            found[path] = b""
            if unit["type"] == "file":
                data = curl(f"{url}uri/{quote(unit['cap'], safe='')}")
                found[path] = sha256(data).digest()
        return found


def _units(lines: bytes) -> Sequence[Any]:
    return [json.loads(line) for line in lines.splitlines()]


if __name__ == "__main__":
    main()
