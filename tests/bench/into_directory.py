"""
A long file that streams into a directory at 8 MiB/s, by PUT DIRCAP/NAME, WebDAV or SFTP.

    python -m tests.bench.into_directory [--mib 1024] [--directory DIR]
        [--frontends web,webdav,sftp]

The time from the first full segment to the first byte of a share, from the last byte to
the answer beside that of a change of the directory alone, and the memory over idle.  Of
SFTP the answer is that to CLOSE.  No file of the node has a piece of what was sent.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench.source import put, readable, write
from tests.integration.sftp_clients import CONFIG, new_account
from tests.processes import GridProcess, curl, running
from tests.report import report

MIB = 1 << 20
# Shorter ones are of the directory.
_LONG = 100_000  # bytes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--frontends", default="web,webdav,sftp")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    rows = []
    for frontend in options.frontends.split(","):
        room = tempfile.TemporaryDirectory(dir=options.directory)
        made = GridProcess.create(Path(room.name) / "node", config=CONFIG)
        with room, running(made) as node:
            for chunked in (True,) if frontend == "sftp" else (False, True):
                rows.append(_measure(node, frontend, options.mib * MIB, chunked))
    report("into_directory", rows)


def _measure(
    node: GridProcess, frontend: str, size: int, chunked: bool
) -> dict[str, object]:
    account = new_account(node, node.directory.parent, f"a{chunked:d}")
    cap = account.root
    # The first upload loads what every upload uses.
    curl("-T", "-", f"{node.url}uri/{cap}/first", data=b"x" * 100_000)
    if frontend == "sftp":
        write(account, "first", 100_000, 0, lambda: None)
    publish = median(_linked(node, cap, number) for number in range(9))
    for share in node.shares():
        if share.stat().st_size > _LONG:
            share.unlink()
    idle, _ = node.memory()
    seen: list[float] = []
    found: list[Path] = []
    half = time.perf_counter() + size / (16 * MIB)

    def look() -> None:
        nonlocal half
        if not seen and any(path.stat().st_size > 12 for path in node.incoming()):
            seen.append(time.perf_counter())
        if half and time.perf_counter() > half:
            half = 0.0
            found.extend(readable(node))

    if frontend == "sftp":
        sent = write(account, "long", size, 8 * MIB, look)
    else:
        path = {"web": "uri", "webdav": "dav"}[frontend]
        url = f"{node.url}{path}/{cap}/long"
        sent = put(url, size, 8 * MIB, chunked=chunked, meanwhile=look)
    found += readable(node)
    head = curl("--range", "0-99", f"{node.url}uri/{cap}/long")
    assert len(head) == 100, head
    _, peak = node.memory()
    return {
        "frontend": frontend,
        "length": "unknown" if chunked else "known",
        "MiB": size // MIB,
        "ms to the first share byte": (seen[0] - sent.first_segment) * 1e3,
        "ms to the answer": (sent.answer - sent.last_byte) * 1e3,
        "ms of a change": publish * 1e3,
        "MiB over idle": (peak - idle) / MIB,
        "readable files": len(found),
    }


def _linked(node: GridProcess, cap: str, number: int) -> float:
    started = time.perf_counter()
    curl("-T", "-", f"{node.url}uri/{cap}/small{number}", data=b"x")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
