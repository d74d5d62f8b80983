"""
The same ten stock storage servers through a stock gateway and through ours.

    python -m tests.bench.side_by_side [--mib 100] [--runs 5] [--directory DIR]

Runs alternate, so that what else the machine does falls on both.  Each file is new.  The
stock gateway reaches stock servers over HTTPS, as it does by itself, and over foolscap, as
ours does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import define, field

from tests.bench.throughput import _make, get, hash_of
from tests.integration.stock_grid import Grid, NodeProcess, grid, reaches, write_node
from tests.processes import curl
from tests.report import report


@define
class Measured:
    """What each run took."""

    seconds: list[float] = field(factory=list)
    cpu: list[float] = field(factory=list)  # seconds of the gateway's processor time

    def run(self, gateway: NodeProcess, work: Callable[[], str]) -> str:
        """Do *work* with *gateway*, and return what it returns."""
        before = gateway.cpu_time()
        started = time.perf_counter()
        result = work()
        self.seconds.append(time.perf_counter() - started)
        self.cpu.append(gateway.cpu_time() - before)
        return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(directory))
        servers = stack.enter_context(grid(place))
        foolscap = _foolscap_gateway(servers, stack)
        _measure(servers, foolscap, place / "source", options)


def _foolscap_gateway(servers: Grid, stack: ExitStack) -> NodeProcess:
    """Return a stock gateway that uses the protocol that ours uses."""
    directory = servers.stock.directory.with_name("foolscap")
    gateway = write_node(directory, servers.furl)
    config = directory / "tahoe.cfg"
    text = config.read_text()
    config.write_text(text.replace("[client]\n", "[client]\nforce_foolscap = true\n"))
    stack.callback(gateway.stop)
    gateway.spawn("stock")
    gateway.wait_until(lambda: reaches(gateway, len(servers.servers)))
    return gateway


def _measure(
    servers: Grid, foolscap: NodeProcess, source: Path, options: argparse.Namespace
) -> None:
    size = options.mib << 20
    gateways = {
        "stock, HTTPS": servers.stock,
        "stock, foolscap": foolscap,
        "truckee": servers.ours,
    }
    measured: dict[tuple[str, str], Measured] = {}
    back = source.with_name("back")
    for _ in range(options.runs):
        for name, gateway in gateways.items():
            digest = _make(source, size)
            up = measured.setdefault(("upload", name), Measured())
            upload = ["-T", str(source), f"{gateway.url}uri"]
            cap = up.run(gateway, lambda: curl(*upload).decode())  # noqa: B023
            down = measured.setdefault(("download", name), Measured())
            url = gateway.file_url(cap)
            down.run(gateway, lambda: get(url, back))  # noqa: B023
            if hash_of(back) != digest:
                raise AssertionError("the file did not come back")
            servers.clear()
    ours = {what: each for (what, name), each in measured.items() if name == "truckee"}
    report(
        f"side by side, {options.mib} MiB, 3-of-10, ten stock servers,"
        f" medians of {options.runs}",
        [
            {
                "what": f"{what}, {name}",
                "seconds": median(each.seconds),
                "MB/s": size / 1e6 / median(each.seconds),
                "gateway CPU seconds": median(each.cpu),
                "seconds / ours": median(each.seconds) / median(ours[what].seconds),
                "CPU / ours": median(each.cpu) / median(ours[what].cpu),
            }
            for (what, name), each in sorted(measured.items(), reverse=True)
        ],
    )


if __name__ == "__main__":
    main()
