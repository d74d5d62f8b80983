"""
A direct upload over a thin line that is cut again and again, beside one that is not.

    python -m tests.bench.cut_line [--mb 268] [--mbit 20] [--rtt 0.03] [--cuts 10]
                                   [--seed N]

Ten servers of ours, 3-of-10, are at the far end of the line, without a helper.  A client
brings one file by a handle; meanwhile the gateway or a server is killed and started again,
or the line carries nothing for 30 seconds.  What went over the line is compared with what
an upload of an eighth of the size takes without cuts, times eight.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from attrs import define

from tests.bench.links import FAR_ADDRESS, Link, thin_line
from tests.integration.lined_grid import reaches_any
from tests.integration.stock_grid import Grid, Shape, content, grid, reaches
from tests.processes import ask
from tests.report import report
from tests.soak.share_cuts import Client
from tests.soak.upload_cuts import Upload

SHAPE = Shape(3, 7, 10)
DOWN = 30.0  # seconds
_PART = 8  # of the file that is sent without cuts


@define(eq=False)
class Cutter:
    """Cuts what goes from the gateway to the servers."""

    grid: Grid
    link: Link
    chance: random.Random

    @property
    def kinds(self) -> list[tuple[str, Callable[[], None]]]:
        """The names of the cuts, and what makes them."""
        return [
            ("gateway killed", self._kill_gateway),
            ("server killed", self._kill_server),
            ("line down", self._line_down),
        ]

    def _kill_gateway(self) -> None:
        self.grid.ours.kill()
        self.grid.ours.spawn("ours")
        self.grid.ours.wait_until(partial(reaches_any, self.grid.ours))

    def _kill_server(self) -> None:
        server = self.chance.choice(list(self.grid.servers))
        server.kill()
        server.spawn("ours")
        server.wait_until(server.listens)

    def _line_down(self) -> None:
        self.link.down()
        time.sleep(DOWN)
        self.link.up()


def store(grid: Grid, data: bytes, during: Callable[[], None]) -> str:
    """Return the cap of a file that goes up by a handle while *during* runs."""
    upload = Upload(grid.ours, "handle", None, data)
    upload.open("random")
    client = Client(upload, patience=3600.0)
    client.start()
    during()
    client.join(3600.0)
    assert client.cap, client.trouble
    return client.cap


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=268.0, help="of the file")
    parser.add_argument("--mbit", type=float, default=20)
    parser.add_argument("--rtt", type=float, default=0.03, help="seconds")
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        link = stack.enter_context(thin_line(place, options.mbit, options.rtt))
        made = grid(
            place,
            shape=SHAPE,
            kind="ours",
            gateways=("ours",),
            host=FAR_ADDRESS,
            prefix=link.far,
        )
        report("a direct upload, cut", [_measure(stack.enter_context(made), link, options)])


def _measure(grid: Grid, link: Link, options: argparse.Namespace) -> dict[str, object]:
    size = int(options.mb * 1e6)
    before = link.sent()
    store(grid, content(1, size // _PART), lambda: None)
    unbroken = (link.sent() - before) * _PART
    grid.clear()
    cutter = Cutter(grid, link, random.Random(options.seed))
    pause = size * SHAPE.total / SHAPE.needed * 8e-6 / options.mbit / (options.cuts + 1)
    made: list[str] = []

    def cut() -> None:
        for number in range(options.cuts):
            time.sleep(pause * cutter.chance.uniform(0.5, 1.3))
            name, work = cutter.kinds[number % len(cutter.kinds)]
            work()
            made.append(name)

    data = content(2, size)
    before, began = link.sent(), time.monotonic()
    cap = store(grid, data, cut)
    sent, seconds = link.sent() - before, time.monotonic() - began
    shares = len(grid.shares())
    grid.ours.wait_until(partial(reaches, grid.ours, len(grid.servers)))
    found = ask(f"{grid.ours.url}uri/{cap}")
    assert found.status == 200 and found.body == data, found.status
    return {
        "MB": options.mb,
        "cuts": len(made),
        "line, unbroken, MB": unbroken / 1e6,
        "line, cut, MB": sent / 1e6,
        "times": sent / unbroken,
        "seconds": seconds,
        "shares there": shares,
    }


if __name__ == "__main__":
    main()
