"""
Many clients that put entries into one directory, through our gateway and a stock one.

    python -m tests.bench.many_entries [--clients 50] [--entries 20] [--stock-entries 2]
        [--bytes 40] [--directory DIR]

Both gateways use the same ten stock servers.  Each client has a connection of its own and
puts its files one after the other, by PUT DIRCAP/NAME; the stock gateway is given fewer of
them.  Every answer must be a success, and every name must be in the directory then, as the
stock gateway lists it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.stock_grid import NodeProcess, grid
from tests.processes import curl
from tests.report import report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--entries", type=int, default=20, help="of each client")
    parser.add_argument("--stock-entries", type=int, default=2)
    parser.add_argument("--bytes", type=int, default=40, help="of each file")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as room,
        grid(Path(room)) as made,
    ):
        counts = {"ours": options.entries, "stock": options.stock_entries}
        rows = []
        for name, gateway in (("ours", made.ours), ("stock", made.stock)):
            rows.append(_measure(name, gateway, made.stock, options, counts[name]))
        report("many_entries", rows)
        ours, stock = (float(str(row["entries/s"])) for row in rows)
        print(f"times stock: {ours / stock:.1f}")


def _measure(
    name: str,
    gateway: NodeProcess,
    witness: NodeProcess,
    options: argparse.Namespace,
    each: int,
) -> dict[str, object]:
    cap = curl("-X", "POST", f"{gateway.url}uri?t=mkdir").decode().strip()
    address = urlsplit(gateway.url)

    def put(client: int) -> int:
        """Put the files of one client; return how many failed."""
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
        failed = 0
        for number in range(each):
            body = os.urandom(options.bytes)
            path = f"/uri/{cap.replace(':', '%3A')}/c{client}-{number}"
            connection.request("PUT", path, body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in (200, 201):
                failed += 1
                print(name, answer.status, text.decode("utf-8", "replace").strip())
        connection.close()
        return failed

    cpu, started = gateway.cpu_time(), time.perf_counter()
    with ThreadPoolExecutor(options.clients) as pool:
        failed = sum(pool.map(put, range(options.clients)))
    seconds, used = time.perf_counter() - started, gateway.cpu_time() - cpu
    listing = json.loads(curl(f"{witness.url}uri/{cap}?t=json"))
    count = options.clients * each
    missing = count - failed - len(listing[1]["children"])
    return {
        "gateway": name,
        "entries": count,
        "errors": failed,
        "missing": missing,
        "entries/s": f"{count / seconds:.1f}",
        "CPU s/100": f"{100 * used / count:.2f}",
    }


if __name__ == "__main__":
    main()
