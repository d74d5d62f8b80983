"""A stock Tahoe-LAFS node in a process of its own: a gateway and its one storage server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field
from foolscap.pb import Tub

from tests import warm
from tests.keys import certificate
from tests.ports import free_port
from tests.processes import START_TIME, ask
from truckee.flow.durable import write_durably

TAHOE = Path(sys.executable).with_name("tahoe")


@define(eq=False)
class StockNode:
    """
    ``tahoe run`` on a node whose storage server keeps its shares in *storage*.

    It knows its server from ``servers.yaml``, so it needs no introducer: the keys are
    made here, and with them its address is certain before it starts.
    """

    directory: Path
    storage: Path
    shares: tuple[int, int, int]  # needed, happy, total
    url: str = field(default="", init=False)  # with a slash at its end
    _process: subprocess.Popen[bytes] = field(init=False)

    def create(self) -> None:
        """Make the node directory."""
        port = free_port()
        needed, happy, total = self.shares
        warm.run(
            [
                TAHOE,
                "create-node",
                "--listen=tcp",
                f"--port=tcp:{port}:interface=127.0.0.1",
                f"--location=tcp:127.0.0.1:{port}",
                "--webport=tcp:0:interface=127.0.0.1",
                f"--shares-needed={needed}",
                f"--shares-happy={happy}",
                f"--shares-total={total}",
                "--nickname=stock",
                str(self.directory),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        config = self.directory / "tahoe.cfg"
        text = config.read_text()
        text = text.replace("#storage_dir =", f"storage_dir = {self.storage}")
        text = text.replace("reserved_space = 1G", "reserved_space = 0")
        config.write_text(text)
        tub = Tub(certData=certificate())
        furl = f"pb://{tub.tubID}@tcp:127.0.0.1:{port}/{'s' * 32}"
        private = self.directory / "private"
        write_durably(private / "node.pem", tub.getCertData())
        write_durably(private / "storage.furl", furl.encode() + b"\n")
        (private / "servers.yaml").write_text(
            f"storage:\n  the-one:\n    ann:\n      anonymous-storage-FURL: {furl}\n"
        )

    def start(self) -> None:
        """Run it until its gateway is connected to its server."""
        with (self.directory / "log").open("ab") as log:
            # It ends when its input does, so it never outlives the tests.
            self._process = warm.start(
                [TAHOE, "run", str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIME
        while not self._connected():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "log").read_text(errors="replace")
                raise AssertionError(f"the stock node did not start:\n{log_text}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _connected(self) -> bool:
        try:
            self.url = (self.directory / "node.url").read_text("ascii").strip()
            servers = json.loads(ask(f"{self.url}?t=json").body)["servers"]
        except (OSError, ValueError):
            return False
        # It is used when its version has come.
        return any(
            server["connection_status"].startswith("Connected") and server["version"]
            for server in servers
        )


@contextmanager
def stock_node(
    directory: Path, storage: Path, shares: tuple[int, int, int]
) -> Iterator[StockNode]:
    """Make and run a stock node over *storage*; end it whatever happens."""
    node = StockNode(directory, storage, shares)
    node.create()
    try:
        node.start()
        yield node
    finally:
        if hasattr(node, "_process"):
            node.stop()
