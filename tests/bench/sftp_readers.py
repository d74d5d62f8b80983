"""
Clients of SFTP that ask for all of a long file at once, as paramiko's ``get`` does.

    python -m tests.bench.sftp_readers [--mib 1024] [--readers 64] [--directory DIR]

One that takes it as it comes; then many that take nothing for a while, each of which has
asked for the whole file; then these that take some each.  The memory of the gateway over
idle, at its peak.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import paramiko
from paramiko.sftp import CMD_READ, int64

from tests.bench.source import put
from tests.integration.sftp_clients import CONFIG, Account, logged_in, new_account
from tests.processes import GridProcess, curl, running
from tests.report import report

MIB = 1 << 20
_PIECE = 32 << 10  # bytes of one request
_TAKEN = 8  # MiB that each takes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    rows = []
    for measure in (_one, _many):
        room = tempfile.TemporaryDirectory(dir=options.directory)
        made = GridProcess.create(
            Path(room.name) / "node", needed=1, happy=1, total=1, config=CONFIG
        )
        with room, running(made) as node:
            account = new_account(node, Path(room.name), "alice")
            url = f"{node.url}uri/{account.root}"
            put(f"{url}/long", options.mib * MIB, 0, chunked=False)
            curl(f"{url}/long", "--range", "0-99")
            with logged_in(account) as client, client.open("/long", "rb") as file:
                file.read(MIB)
            _reset_peak(node)
            idle, _ = node.memory()
            rows += measure(node, account, idle, options.readers)
    report("sftp_readers", rows)


def _one(
    node: GridProcess, account: Account, idle: int, readers: int
) -> list[dict[str, object]]:
    with logged_in(account) as client, client.open("/long", "rb") as file:
        size = file.stat().st_size or 0
        file.prefetch(size)
        got = 0
        while data := file.read(MIB):
            got += len(data)
        assert got == size, (got, size)
    return [_row(node, "one that gets all", 1, idle)]


def _many(
    node: GridProcess, account: Account, idle: int, readers: int
) -> list[dict[str, object]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(logged_in(account)) for _ in range(readers)]
        connected = _row(node, "connected, and asking for nothing", readers, idle)
        for client in clients:
            _ask_for_all(client)
        time.sleep(10)  # whatever is not bounded grows
        stalled = _row(node, "that take nothing", readers, idle)
        for client in clients:
            channel, left = client.get_channel(), _TAKEN * MIB
            assert channel is not None
            while left > 0:
                left -= len(channel.recv(min(left, MIB)))
        taken = _row(node, f"that took {_TAKEN} MiB each", readers, idle)
    return [connected, stalled, taken]


def _ask_for_all(client: paramiko.SFTPClient) -> None:
    file = client.open("/long", "rb")
    size = file.stat().st_size or 0
    file._closed = True  # nobody is to close it, and to wait for that
    for offset in range(0, size, _PIECE):
        client._async_request(
            type(None), CMD_READ, file.handle, int64(offset), min(_PIECE, size - offset)
        )


def _reset_peak(node: GridProcess) -> None:
    Path(f"/proc/{node.process.pid}/clear_refs").write_text("5")


def _row(node: GridProcess, what: str, readers: int, idle: int) -> dict[str, object]:
    now, peak = node.memory()
    return {
        "readers": readers,
        "what": what,
        "MiB over idle at the peak": (peak - idle) / MIB,
        "MiB over idle now": (now - idle) / MIB,
    }


if __name__ == "__main__":
    main()
