"""
Files that are written under a name while the client, the gateway or a server is cut off.

    python -m tests.soak.write_cuts [--cuts 300] [--seed N]

Through ``PUT``, WebDAV, SFTP, tus and handles: the client vanishes with a reset, the
gateway or one of three storage servers gets SIGKILL and starts again.  Whatever happened,
afterwards the old file or the new one is at the name, never a part of it, and no other one;
the new one if its client was told so.  Then one is stored again as usual, and is there.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, field

from tests.integration.sftp_clients import new_account
from tests.integration.stock_grid import Grid, NodeProcess, Shape, grid, reaches
from tests.integration.writing_frontends import FRONTENDS, Frontend
from tests.ports import free_ports
from tests.processes import GridProcess, eventually, running
from tests.report import report

KINDS = ("client", "gateway", "server")
SHAPE = Shape(2, 2, 3)
MIB = 1 << 20


@define
class Cuts:
    """What became of the cuts of one kind, through one frontend."""

    count: int = 0
    old: int = 0
    new: int = 0
    failed: int = 0

    def line(self, what: str) -> dict[str, object]:
        """Return a line of the table."""
        return {
            "what": what,
            "cuts": self.count,
            "the old file": self.old,
            "the new one": self.new,
            "anything else": self.failed,
        }


@define(eq=False)
class Soak:
    """One run."""

    nodes: Grid
    gateway: GridProcess
    clients: list[Frontend]
    chance: random.Random
    cuts: dict[tuple[str, str], Cuts] = field(factory=dict)
    _there: dict[str, bytes | None] = field(factory=dict, repr=False)

    def round(self, number: int) -> None:
        """Cut one file off, and store it again."""
        client = self.clients[number % len(self.clients)]
        kind = KINDS[number // len(self.clients) % len(KINDS)]
        cuts = self.cuts.setdefault((client.name, kind), Cuts())
        name, old = client.name, self._there.get(client.name)
        new = self.chance.randbytes(self.chance.choice((100, 200_000, 3 * MIB, 9 * MIB)))
        said = self._cut(client, kind, name, new)
        cuts.count += 1
        found = _read(client, name)
        # A client that went when all was sent may have its file stored later.
        if found == new:
            cuts.new += 1
        elif found == old and not said:
            cuts.old += 1
        else:
            cuts.failed += 1
            size = "nothing" if found is None else f"{len(found)} bytes"
            print(f"FAILED: {name}, {kind}: {size}, {said=}", file=sys.stderr, flush=True)
        again = self.chance.randbytes(70_000)
        if not (client.store(name, again) and client.read(name) == again):
            cuts.failed += 1
            print(f"FAILED: {name}, {kind}: not stored after it", file=sys.stderr)
        self._there[name] = again

    def _cut(self, client: Frontend, kind: str, name: str, data: bytes) -> bool:
        """Return whether the client was told that its file is stored."""
        if kind == "client":
            at = self.chance.choice((len(data), self.chance.randrange(len(data))))
            client.cut(name, data, at, lambda: None)
            return False
        victim: GridProcess | NodeProcess = self.gateway
        if kind == "server":
            victim = self.chance.choice(self.nodes.servers)
        with ThreadPoolExecutor(1) as pool:
            storing = pool.submit(_store, client, name, data)
            time.sleep(self.chance.uniform(0.0, 0.6))
            victim.kill()
            said = storing.result()
        if isinstance(victim, GridProcess):
            victim.start()
        else:
            victim.spawn(self.nodes.kind)
        eventually(self.nodes_are_there)
        return said

    def nodes_are_there(self) -> bool:
        """Tell whether the gateway reaches all servers."""
        return reaches(self.nodes.ours, len(self.nodes.servers))


def _store(client: Frontend, name: str, data: bytes) -> bool:
    """Return whether *data* is said to be stored; whoever is cut off hears nothing."""
    with contextlib.suppress(Exception):
        return client.store(name, data)
    return False


def _read(client: Frontend, name: str) -> bytes | None:
    """Return what stands at a name when nothing goes on any more."""
    last, same = client.read(name), 0
    while same < 3:
        time.sleep(0.3)
        found = client.read(name)
        same = same + 1 if found == last else 0
        last = found
    return last


def main() -> None:
    """Print the table; exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        made = grid(place, servers=3, shape=SHAPE, kind="ours", gateways=())
        with made as nodes:
            gateway = GridProcess(nodes.ours.directory)
            (port,) = free_ports(1)
            with (gateway.directory / "tahoe.cfg").open("a") as config:
                listens = f"tcp:{port}:interface=127.0.0.1"
                config.write(f"\n[sftpd]\nenabled = true\nport = {listens}\n")
            with running(gateway):
                soak = Soak(nodes, gateway, [], random.Random(options.seed))
                eventually(soak.nodes_are_there)
                soak.clients = [
                    kind(gateway, new_account(gateway, place, kind.name))
                    for kind in FRONTENDS
                ]
                for number in range(options.cuts):
                    soak.round(number)
                    print(f"{number + 1} cuts", file=sys.stderr, flush=True)
            log = (gateway.directory / "log").read_text(errors="replace")
    lines = [each.line(f"{way}, {kind}") for (way, kind), each in soak.cuts.items()]
    report("files that were cut off while they were written", lines)
    if "Traceback" in log:
        print(log[-4000:], file=sys.stderr)
    raise SystemExit("Traceback" in log or any(each.failed for each in soak.cuts.values()))


if __name__ == "__main__":
    main()
