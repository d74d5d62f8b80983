"""
SFTP over a long line: how much of it OpenSSH's client and the gateway fill.

    python -m tests.bench.sftp_line [--mbit 4000] [--rtt 0.05] [--mb 400]

Two network namespaces; a grid of its own is at the far end of a line with that delay.  The
first rows are of the same file over the web port, in the same run.  The gateway's processor
time of HTTP is what encoding and storing cost; what SFTP takes beyond it is SSH's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
from attrs import evolve

from tests.bench.links import FAR_ADDRESS, thin_line
from tests.integration.sftp_clients import Account, new_account
from tests.processes import GridProcess, truckee
from tests.report import report

_CONFIG = f"\n[sftpd]\nenabled = true\nport = tcp:8022:interface={FAR_ADDRESS}\n"
_QUEUE = 64 << 20  # bytes that wait in front of the line


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mbit", type=float, default=4000)
    parser.add_argument("--rtt", type=float, default=0.05, help="seconds")
    parser.add_argument("--mb", type=int, default=400, help="of the file")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        line = thin_line(place, options.mbit, options.rtt, _QUEUE)
        link = stack.enter_context(line)
        grid = GridProcess.create(
            place / "node",
            needed=2,
            happy=2,
            total=3,
            storage_dirs=3,
            web_port=f"tcp:8456:interface={FAR_ADDRESS}",
            config=_CONFIG,
        )
        log = stack.enter_context((place / "log").open("wb"))
        command = [*link.far, *truckee("run", str(grid.directory))]
        node = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(node.wait)
        stack.callback(node.terminate)
        url = grid.directory / "sftp.url"
        while not url.exists():
            time.sleep(0.05)
        grid.url = (grid.directory / "node.url").read_text().strip()
        _measure(grid, node.pid, place, options)


def _measure(grid: GridProcess, pid: int, place: Path, options: argparse.Namespace) -> None:
    source, back = place / "source", place / "back"
    with source.open("wb") as file:
        for _ in range(options.mb):
            file.write(os.urandom(1_000_000))
    account = new_account(grid, place, "alice")
    web = f"{grid.url}uri/{account.root}"
    runs: list[tuple[str, Callable[[], None]]] = [
        ("HTTP up", lambda: _run("curl", "-sfT", str(source), f"{web}/h")),
        ("HTTP down", lambda: _run("curl", "-sfo", str(back), f"{web}/h")),
        ("SFTP up", lambda: _sftp(account, f"put {source} /s")),
        ("SFTP down", lambda: _sftp(account, f"get /s {back}")),
    ]
    rows = []
    for name, run in runs:
        cpu, began = _cpu(pid), time.perf_counter()
        run()
        seconds, used = time.perf_counter() - began, _cpu(pid) - cpu
        if "down" in name and back.read_bytes() != source.read_bytes():
            raise SystemExit(f"{name}: other bytes")
        rows.append(
            {
                "": name,
                "MB/s": f"{options.mb / seconds:.1f}",
                "gateway, ms of processor each MB": f"{1000 * used / options.mb:.2f}",
            }
        )
    delay = f"{options.rtt * 1000:g} ms"
    report(f"{options.mb} MB over {options.mbit:g} Mbit/s, {delay}", rows)


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _sftp(account: Account, line: str) -> None:
    account = evolve(account, port=8022)
    command = ["sftp", "-q", "-b", "-", "-P", "8022"]
    for option in account.options:
        command += ["-o", option]
    command.append(f"{account.name}@{FAR_ADDRESS}")
    subprocess.run(
        command, input=f"{line}\n".encode(), check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
