"""
Files up and down, beside ``rclone serve sftp`` and ``webdav`` over a local directory.

    python -m tests.bench.beside_rclone [--mib 256] [--runs 3] [--directory DIR]

rclone is the client of both, and its server encrypts (crypt).  It runs with
``--vfs-cache-mode writes``, without which it refuses what comes out of order.  Runs
alternate, so the ratios stand a machine that does other things; above 1 truckee is faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.integration.mounts import RCLONE, done
from tests.integration.sftp_clients import CONFIG, new_account
from tests.ports import free_port
from tests.processes import GridProcess, eventually, running
from tests.report import report

MIB = 1 << 20
SHAPES = ((1, 1), (3, 10))
PROTOCOLS = ("sftp", "webdav")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with ExitStack() as stack:
        room = tempfile.TemporaryDirectory(dir=options.directory)
        place = Path(stack.enter_context(room))
        (place / "file").write_bytes(os.urandom(options.mib * MIB))
        remotes = {}
        for needed, total in SHAPES:
            shape = f"{needed}-of-{total}"
            node = GridProcess.create(
                place / shape,
                needed=needed,
                happy=total,
                total=total,
                storage_dirs=total,
                config=CONFIG,
            )
            stack.enter_context(running(node))
            for protocol, remote in _ours(node, place, shape).items():
                remotes[protocol, shape] = remote
        for protocol in PROTOCOLS:
            remotes[protocol, "rclone"] = stack.enter_context(_serve(protocol, place))
        rows = []
        for protocol in PROTOCOLS:
            ways = {
                who: remote for (what, who), remote in remotes.items() if what == protocol
            }
            rows += _measure(protocol, ways, place, options.mib, options.runs)
        report("beside_rclone", rows)


def _ours(node: GridProcess, place: Path, shape: str) -> Mapping[str, str]:
    account = new_account(node, place, f"a{shape}")
    return {
        "sftp": f":sftp,host=127.0.0.1,port={account.port},user={account.name},"
        f"key_file='{account.key}':",
        # Of the vendor owncloud rclone takes two checksums of all that it copies.
        "webdav": f":webdav,vendor=other,url='{node.url}dav/{account.root}/':",
    }


@contextmanager
def _serve(protocol: str, place: Path) -> Iterator[str]:
    """Run rclone's server; give its remote."""
    hidden, port = done([*RCLONE, "obscure", "secret"]).strip(), free_port()
    stored = place / f"stored-{protocol}"
    stored.mkdir()
    crypt = f":crypt,remote='{stored}',password={hidden}:"
    command = [*RCLONE, "serve", protocol, crypt, "--addr", f"127.0.0.1:{port}"]
    command += ["--user", "alice", "--pass", "secret", "--vfs-cache-mode", "writes"]
    command += ["--vfs-write-back", "0", "--cache-dir", str(place / f"cache-{protocol}")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    remote = f":sftp,host=127.0.0.1,port={port},user=alice,pass={hidden}:"
    if protocol == "webdav":
        url = f"http://127.0.0.1:{port}/"
        remote = f":webdav,vendor=other,url='{url}',user=alice,pass={hidden}:"
    try:
        eventually(lambda: _is_up(remote))
        yield remote
    finally:
        process.terminate()
        process.wait(60)


def _is_up(remote: str) -> bool:
    return (
        subprocess.run(
            [*RCLONE, "lsf", remote], check=False, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def _measure(
    protocol: str, ways: Mapping[str, str], place: Path, mib: int, runs: int
) -> list[dict[str, object]]:
    taken: dict[tuple[str, str], list[float]] = {}
    for number in range(runs + 1):
        for who, remote in ways.items():
            there, back = f"{remote}f{number}", place / "back"
            for way, source, target in (
                ("up", str(place / "file"), there),
                ("down", there, str(back)),
            ):
                begin = time.perf_counter()
                done([*RCLONE, "copyto", "--ignore-times", source, target])
                if number:  # the first time loads what every time uses
                    seconds = time.perf_counter() - begin
                    taken.setdefault((way, who), []).append(seconds)
            assert back.stat().st_size == mib * MIB
            done([*RCLONE, "deletefile", there])
    return [
        {
            "protocol": protocol,
            "way": way,
            "shares": who,
            "MiB/s": mib / median(seconds),
            "MiB/s of rclone": mib / median(taken[way, "rclone"]),
            "ratio": median(taken[way, "rclone"]) / median(seconds),
        }
        for (way, who), seconds in taken.items()
        if who != "rclone"
    ]


if __name__ == "__main__":
    main()
