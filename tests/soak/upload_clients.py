"""
Files of 0 bytes to 256 MiB by every client that can go on: tuspy, tus-js-client in Node,
the page in Chromium, and curl with a handle.

    python -m tests.soak.upload_clients [--most MIB]

Each file comes back and is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tusclient.client import TusClient

from tests.integration.browser import Browser, missing, run_node
from tests.processes import GridProcess, ask, curl, running
from tests.report import report

MIB = 1 << 20
SIZES = (0, 1, 55, 56, MIB, 16 * MIB + 1, 64 * MIB, 256 * MIB)
CAP = "return await page.locator('.cap').last().inputValue({ timeout: 600000 })"


def by_tuspy(url: str, path: Path) -> str:
    """Return the cap of the file at *path*, in pieces of 8 MiB with checksums."""
    client = TusClient(f"{url}tus/")
    uploader = client.uploader(str(path), chunk_size=8 * MIB, upload_checksum=True)
    if path.stat().st_size:
        uploader.upload()
    else:
        uploader.set_url(uploader.create_url())
    cap: str = json.loads(ask(str(uploader.url)).body)["cap"]
    return cap


def by_tus_js(url: str, path: Path) -> str:
    """Return the cap of the file at *path*, in pieces of 16 MiB."""
    options = json.dumps({"chunkSize": 16 * MIB})
    cap: str = run_node("tus.mjs", f"{url}tus/", str(path), options, timeout=600)["cap"]
    return cap


def by_handle(url: str, path: Path) -> str:
    """Return the cap of the file at *path*, in one piece."""
    handle = curl("-X", "POST", f"{url}upload/open?size={path.stat().st_size}").decode()
    target = f"{url}upload/{handle}?offset=0&close=true"
    return curl(
        "-X", "PUT", "--data-binary", f"@{path}", "-H", "Content-Type:", target
    ).decode()


def in_browser(profile: Path) -> Callable[[str, Path], str]:
    """Return what uploads with the page, each file in a browser of its own."""

    def upload(url: str, path: Path) -> str:
        with Browser(profile) as browser:
            browser.do(f"await page.goto('{url}upload')")
            browser.do("await page.setInputFiles('#file', args)", str(path))
            return str(browser.do(CAP))

    return upload


def main() -> None:
    """Print the table; exit with 1 if a file came back wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=256, help="MiB of the largest file")
    options = parser.parse_args()
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        ways: dict[str, Callable[[str, Path], str]] = {
            "tuspy": by_tuspy,
            "curl, handle": by_handle,
        }
        if missing(browser=False) is None:
            ways["tus-js-client"] = by_tus_js
        if missing(browser=True) is None:
            ways["Chromium"] = in_browser(place / "profile")
        grid = GridProcess.create(
            place / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        with running(grid):
            for size in (size for size in SIZES if size <= options.most * MIB):
                path = place / "file"
                path.write_bytes(os.urandom(size))
                wanted = hashlib.sha256(path.read_bytes()).digest()
                for way, upload in ways.items():
                    began = time.monotonic()
                    cap = upload(grid.url, path)
                    seconds = time.monotonic() - began
                    got = hashlib.sha256(curl(f"{grid.url}uri/{cap}")).digest()
                    wrong += got != wanted
                    rows.append(
                        {
                            "client": way,
                            "bytes": size,
                            "came back": "right" if got == wanted else "WRONG",
                            "seconds, with its start": seconds,
                        }
                    )
    report("round trips", rows)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
