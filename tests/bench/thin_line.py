"""
Uploads over a thin line, through a helper at its far end.

    python -m tests.bench.thin_line [--mbit 8] [--rtt 0.05] [--mb 20] [--stock] [--direct]
                                    [--open] [--down SECONDS]

Two network namespaces stand for a home and a data centre; introducer, ten stock storage
servers and helpers are at the far end.  With ``--stock`` a stock client uploads to a stock
helper too, with ``--direct`` our gateway also goes without a helper.  With ``--open`` files
also go by an upload that is opened, fed in pieces and closed, and the last column tells how
long the close takes.  With ``--down`` the line carries nothing for so long in mid-upload.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from attrs import define, field

from tests.bench.links import FAR_ADDRESS, Link, thin_line
from tests.bench.throughput import _digest, _make
from tests.integration.stock_grid import (
    Grid,
    NodeProcess,
    grid,
    reaches,
    use_helper,
    write_helper,
)
from tests.processes import curl
from tests.report import report

_PIECE = 1_000_000  # bytes


@define(eq=False)
class Meter:
    """Samples what the line has carried."""

    _link: Link
    samples: list[tuple[float, int]] = field(factory=list)
    _over: threading.Event = field(factory=threading.Event)

    def run(self) -> None:
        """Sample until ``stop``, in a thread."""
        while not self._over.wait(0.02):
            self.samples.append((time.perf_counter(), self._link.sent()))

    def stop(self) -> None:
        """Sample no more."""
        self._over.set()

    def drained(self) -> float:
        """Return when all but the last few packets had left."""
        last = self.samples[-1][1]
        return next(when for when, sent in self.samples if sent >= last - 20_000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mbit", type=float, default=8)
    parser.add_argument("--rtt", type=float, default=0.05, help="seconds")
    parser.add_argument("--mb", type=float, default=20, help="of the file")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--down", type=float, default=0, help="seconds")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        link = stack.enter_context(thin_line(place, options.mbit, options.rtt))
        servers = stack.enter_context(
            grid(place, gateways=(), host=FAR_ADDRESS, prefix=link.far)
        )
        _measure(servers, link, place, stack, options)


def _measure(
    servers: Grid, link: Link, place: Path, stack: ExitStack, options: argparse.Namespace
) -> None:
    size = int(options.mb * 1e6)
    rows = []
    runs: list[tuple[str, NodeProcess, str]] = []
    for kind in ("ours", "stock") if options.stock else ("ours",):
        helper = write_helper(place / f"helper-{kind}", servers.furl, host=FAR_ADDRESS)
        helper.prefix = link.far
        stack.callback(helper.stop)
        if kind == "stock":
            force_foolscap(helper)
            force_foolscap(servers.stock)
        helper.spawn("ours" if kind == "ours" else "stock")
        helper.wait_until(partial(reaches, helper, len(servers.servers)))
        gateway = servers.ours if kind == "ours" else servers.stock
        use_helper(gateway, helper.helper_furl)
    servers.start_gateways(("ours", "stock") if options.stock else ("ours",))
    time.sleep(2)
    runs = [
        ("truckee, known size", servers.ours, ""),
        ("truckee, unknown size", servers.ours, "-"),
    ]
    if options.stock:
        runs.append(("stock client, stock helper", servers.stock, ""))
    if options.open:
        runs.append(("open upload, known size", servers.ours, "open?size="))
        runs.append(("open upload, unknown size", servers.ours, "open?"))
    if options.direct:
        runs.append(("truckee, no helper", servers.ours, "?helper=no"))
    for name, gateway, how in runs:
        rows.append(_run(name, gateway, how, link, place / "source", size, options))
        servers.clear()
    report(
        f"{options.mb:g} MB over {options.mbit:g} Mbit/s, {options.rtt * 1000:g} ms", rows
    )


def force_foolscap(node: NodeProcess) -> None:
    """Keep a stock node from HTTPS, which it tries on addresses of its own choice."""
    config = node.directory / "tahoe.cfg"
    text = config.read_text()
    config.write_text(text.replace("[client]\n", "[client]\nforce_foolscap = true\n"))


def _run(
    name: str,
    gateway: NodeProcess,
    how: str,
    link: Link,
    source: Path,
    size: int,
    options: argparse.Namespace,
) -> dict[str, object]:
    digest = _make(source, size)
    size = source.stat().st_size
    meter = Meter(link)
    thread = threading.Thread(target=meter.run)
    before, started, cpu = link.sent(), time.perf_counter(), gateway.cpu_time()
    thread.start()
    timers = []
    if options.down:
        middle = options.mb * 4 / options.mbit
        timers = [
            threading.Timer(middle, link.down),
            threading.Timer(middle + options.down, link.up),
        ]
    for timer in timers:
        timer.start()
    query = how if how.startswith("?") else ""
    closing = 0.0
    if how.startswith("open"):
        query = f"{how}{size if how.endswith('=') else ''}"
        cap, closing = _by_handle(gateway.url, query, source)
    elif how == "-":
        cap = curl("-T", "-", f"{gateway.url}uri", data=source.read_bytes()).decode()
    else:
        cap = curl("-T", str(source), f"{gateway.url}uri{query}").decode()
    ended = time.perf_counter()
    meter.stop()
    thread.join()
    sent, drained = link.sent() - before, meter.drained()
    seconds = ended - started
    row = {
        "what": name,
        "seconds": seconds,
        "file / line rate": size * 8 / 1e6 / options.mbit / (seconds - options.down),
        "line used until drained": sent
        * 8
        / 1e6
        / options.mbit
        / (drained - started - options.down),
        "bytes on the line / file": sent / size,
        "cap after the line is drained, s": ended - drained,
        "gateway CPU s": gateway.cpu_time() - cpu,
        "close, s": closing or "-",
    }
    if _digest(gateway.file_url(cap)) != digest:
        raise AssertionError("the file did not come back")
    return row


def _by_handle(url: str, how: str, source: Path) -> tuple[str, float]:
    """Return the cap of a file that goes up in pieces, and the seconds of the close."""
    handle = curl("-X", "POST", f"{url}upload/{how}&key=random").decode().strip()
    with source.open("rb") as file:
        while piece := file.read(_PIECE):
            curl("-T", "-", f"{url}upload/{handle}", data=piece)
    started = time.perf_counter()
    cap = curl("-X", "POST", f"{url}upload/{handle}?close=true").decode()
    return cap, time.perf_counter() - started


if __name__ == "__main__":
    main()
