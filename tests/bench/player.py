"""
A real player: Chromium seeks in a film that comes from ten stock servers.

    python -m tests.bench.player [--mb 200] [--seeks 20] [--segment KIB] [--no-cache]
        [--seed N] [--directory DIR]

The film is made with ffmpeg.  A page plays it from the gateway and seeks to random
places; each time a frame from there must be shown.  Told are the bytes that the servers
sent, beside those that the browser took of its answers and the segments that these are in.
A whole segment is read for any byte of it, so that *segment* decides how many more they
are, and what is sent beyond these segments was fetched in vain.  Needs chromium and ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket
from statistics import median
from threading import Thread
from typing import Any
from unittest import SkipTest
from urllib.parse import urlsplit

from tests.integration.stock_grid import NodeProcess, Shape, grid
from tests.processes import curl
from tests.report import report

LENGTH = 120  # seconds
_WAITING = 64 << 10  # bytes

PAGE = """<!doctype html><video id="v" muted preload="metadata" src="/film"></video><script>
const places = %s, video = document.getElementById("v"), told = [];
const once = (name) => new Promise(
  (done) => video.addEventListener(name, done, {once: true}));
const within = (work, ms) => Promise.race([work, new Promise(
  (_, fail) => setTimeout(() => fail(new Error("no frame")), ms))]);
const frame = () => new Promise((done) => video.requestVideoFrameCallback(
  (_, about) => done(about.mediaTime)));
async function all() {
  if (video.readyState < 1) await once("loadedmetadata");
  for (const place of places) {
    const began = performance.now(), wanted = place * video.duration;
    const shown = frame();
    video.currentTime = wanted;
    try {
      const at = await within(shown, 60000);
      told.push({ms: performance.now() - began, off: Math.abs(at - wanted)});
    } catch (error) { told.push({ms: -1, off: -1}); }
  }
}
all().catch((error) => told.push({ms: -1, off: -1, error: String(error)})).then(
  () => fetch("/told", {method: "POST", body: JSON.stringify(told)}));
</script>"""


def make_film(path: Path, size: int) -> None:
    """Make a film of about *size* bytes."""
    rate = str(size * 8 // LENGTH)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi"]
    command += ["-i", f"testsrc2=size=320x240:rate=25:duration={LENGTH}"]
    command += [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
    ]
    command += ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
    command += ["-x264-params", "nal-hrd=cbr:force-cfr=1", "-movflags", "+faststart"]
    subprocess.run([*command, str(path)], check=True)


class Between(ThreadingHTTPServer):
    """Stands between the browser and the gateway, and counts what the browser takes."""

    daemon_threads = True

    def __init__(self, film: str, places: list[float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.film = urlsplit(film)
        self.places = places
        self.parts: list[range] = []  # what was taken, in bytes of the film
        self.told: Queue[list[dict[str, Any]]] = Queue()


class _Handler(BaseHTTPRequestHandler):
    server: Between

    def do_GET(self) -> None:
        if self.path != "/film":
            page = (PAGE % json.dumps(self.server.places)).encode()
            self._head(200, {"Content-Type": "text/html", "Content-Length": str(len(page))})
            self.wfile.write(page)
            return
        film = self.server.film
        gateway = HTTPConnection(film.hostname or "", film.port, timeout=60)
        # What waits in the system here would wait in the browser's, were it there alone.
        self.connection.setsockopt(SOL_SOCKET, SO_SNDBUF, _WAITING)
        gateway.sock = socket()
        gateway.sock.setsockopt(SOL_SOCKET, SO_RCVBUF, _WAITING)
        gateway.sock.connect((film.hostname or "", film.port or 80))
        asked = self.headers.get("Range")
        target = f"{film.path}?{film.query}"
        gateway.request("GET", target, headers={"Range": asked} if asked else {})
        answer = gateway.getresponse()
        start = _first_byte(answer.getheader("Content-Range"))
        taken = 0
        try:
            self._head(answer.status, dict(answer.getheaders()))
            # What is read here waits in front of the browser: no more than a little.
            while piece := answer.read(16384):
                taken += len(piece)
                self.wfile.write(piece)
        except OSError:
            pass  # the browser has enough
        finally:
            gateway.close()
            self.server.parts.append(range(start, start + taken))

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.told.put(json.loads(self.rfile.read(length)))
        self._head(204, {})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "server", "date"):
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _first_byte(content_range: str | None) -> int:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else 0


def watch(gateway: NodeProcess, cap: str, places: list[float]) -> tuple[Between, Any]:
    """Let the browser seek; return what stood between, and what the page told."""
    between = Between(f"{gateway.file_url(cap)}?filename=film.mp4", places)
    Thread(target=between.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SkipTest("there is no chromium here")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio"]
        options += ["--no-first-run", "--autoplay-policy=no-user-gesture-required"]
        url = f"http://127.0.0.1:{between.server_port}/"
        browser = subprocess.Popen(
            [chromium, *options, f"--user-data-dir={profile}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = between.told.get(timeout=60.0 * (1 + len(places)))
        finally:
            browser.terminate()
            browser.wait(30)
            between.shutdown()
            between.server_close()
            time.sleep(1.0)  # a browser's children write into its profile to the end
    return between, told


def bytes_from(server: NodeProcess) -> int:
    """Return the bytes that the gateway has received from *server*."""
    command = ["ss", "-tinH", "dport", "=", f":{server.port}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sum(map(int, re.findall(r"bytes_received:(\d+)", told)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--seeks", type=int, default=20)
    parser.add_argument("--segment", type=int, default=1024, help="KiB of the film's")
    parser.add_argument("--no-cache", action="store_true", help="of the gateway")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        film = Path(name) / "film.mp4"
        make_film(film, options.mb * 10**6)
        shape = Shape(segment=options.segment << 10)
        cache = not options.no_cache
        with grid(Path(name), shape=shape, gateways=("ours",), cache=cache) as on:
            cap = curl("-T", str(film), f"{on.ours.url}uri").decode()
            before = sum(map(bytes_from, on.servers))
            places = [chance.uniform(0.02, 0.98) for _ in range(options.seeks)]
            between, told = watch(on.ours, cap, places)
            fetched = sum(map(bytes_from, on.servers)) - before
    taken = sum(map(len, between.parts))
    size = -(-(options.segment << 10) // shape.needed) * shape.needed
    touched = {
        number
        for part in between.parts
        if part
        for number in range(part[0] // size, part[-1] // size + 1)
    }
    shown = [each["ms"] for each in told if 0 <= each["off"] < 0.2]
    row: dict[str, object] = {
        "film, MB": options.mb,
        "seeks": len(told),
        "frames shown": len(shown),
        "median, ms": median(shown) if shown else "-",
        "requests": len(between.parts),
        "browser took, MB": taken / 1e6,
        "in segments of, MB": len(touched) * size / 1e6,
        "servers sent, MB": fetched / 1e6,
        "sent / took": fetched / taken,
        "sent / segments": fetched / (len(touched) * size),
    }
    report("Chromium seeks, 3-of-10, ten stock servers", [row])


if __name__ == "__main__":
    main()
