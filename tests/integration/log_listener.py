"""
A program that listens to the log of a gateway, as desktop applications do with Autobahn.

    python -m tests.integration.log_listener NODEDIR

It prints "open" when it is connected, each message in a line, and in the end why it ended.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor

reactor: Any = global_reactor
websocket: Any = import_module("autobahn.twisted.websocket")


class Listener(websocket.WebSocketClientProtocol):  # type: ignore[misc]
    """Prints what it hears."""

    def onOpen(self) -> None:
        print("open", flush=True)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode("utf-8"), flush=True)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        print("closed", code, reason, flush=True)
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Listen until the connection ends."""
    node = Path(sys.argv[1])
    url = (node / "node.url").read_text().strip().replace("http://", "ws://")
    token = (node / "private" / "api_auth_token").read_text().strip()
    factory = websocket.WebSocketClientFactory(
        f"{url.rstrip('/')}/private/logs/v1",
        headers={"Authorization": f"tahoe-lafs {token}"},
    )
    factory.protocol = Listener
    reactor.connectTCP(factory.host, factory.port, factory)
    reactor.run()


if __name__ == "__main__":
    main()
