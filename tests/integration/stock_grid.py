"""
Grids of many nodes, stock and ours, each in a process of its own.  All on loopback.

The node directories are written here, keys and furls too: so every address is known
before the first node runs, and all of them start side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest
from urllib.parse import quote

from attrs import define, field, frozen
from foolscap.pb import Tub

from tests import warm
from tests.integration.stock import TAHOE
from tests.keys import certificate
from tests.ports import free_ports
from tests.processes import IN_PROGRESS, START_TIME, ask, curl, truckee
from truckee.codec import base32
from truckee.flow.durable import write_durably

MIB = 1 << 20

Program = Literal["stock", "ours"]

LOOPBACK = "127.0.0.1"

# The name that tells a stock node what it is.
_CLIENT, _INTRODUCER = "tahoe-client.tac", "tahoe-introducer.tac"


@frozen
class Shape:
    """What a gateway makes of a file."""

    needed: int = 3
    happy: int = 7
    total: int = 10
    segment: int = 1 << 20  # bytes


# In which files cross from one program to the other.
SHAPES = (
    Shape(3, 7, 10),
    Shape(1, 1, 4, segment=1024),
    Shape(2, 4, 5, segment=1001),
    Shape(7, 9, 10, segment=3000),
    Shape(10, 10, 32, segment=40_000),
)


def content(seed: int, size: int) -> bytes:
    """Return the same random bytes each time."""
    return random.Random(seed).randbytes(size)


def sizes_around(shape: Shape, count: int) -> list[int]:
    """Return sizes where something changes, and others, *count* in all."""
    k = shape.needed
    segment = -(-shape.segment // k) * k
    sizes = [0, 1, 54, 55, 56, 57, 55 + k, segment - k - 1]
    for segments in (1, 2):
        around = (-k, -1, 0, 1, k, k + 1)
        sizes += [segments * segment + more for more in around]
    chosen = random.Random(shape.total)
    # The largest have five segments; of the usual segments only one such file.
    largest = 5 * segment if shape.segment < MIB else 100_000
    sizes.append(4 * segment + chosen.randrange(segment))
    sizes += [chosen.randrange(56, largest) for _ in range(count)]
    return sizes[:count]


@define(eq=False)
class NodeProcess:
    """A node directory and the process that runs it now, if one does."""

    directory: Path
    port: int  # of its tub; 0: it has none
    environment: dict[str, str] = field(factory=dict)  # beside that of the tests
    host: str = LOOPBACK  # where it listens
    prefix: Sequence[str] = ()  # of its command line: where it runs
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What runs it, or did."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """Where its web API is, with a slash at its end."""
        told = (self.directory / "node.url").read_text("ascii").strip()
        # Stock nodes write loopback, wherever they listen.
        return told.replace(LOOPBACK, self.host)

    @property
    def furl(self) -> str:
        """Where its storage server is."""
        return (self.directory / "private" / "storage.furl").read_text("ascii").strip()

    def spawn(self, program: Program) -> None:
        """Start it and do not wait."""
        (self.directory / "node.url").unlink(missing_ok=True)
        command = truckee("run", str(self.directory))
        if program == "stock":
            # It ends when its input does, so it never outlives the tests.
            command = [str(TAHOE), "run", str(self.directory)]
        with (self.directory / "log").open("ab") as log:
            self._process = warm.start(
                [*self.prefix, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition*, which may fail as long as the node is not there yet."""
        deadline = time.monotonic() + START_TIME
        while True:
            try:
                if condition():
                    return
            except (OSError, ValueError, subprocess.SubprocessError):
                pass
            if not self.running or time.monotonic() > deadline:
                raise AssertionError(
                    f"{self.directory.name} did not start:\n{self.log()[-3000:]}"
                )
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        if self.running:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Let it die at this very moment."""
        self.process.kill()
        return self.process.wait(120)

    def log(self) -> str:
        """Return all it printed, and what it logged in a file."""
        logs = (self.directory / "log", self.directory / "logs" / "twistd.log")
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    def cpu_time(self) -> float:
        """Return the processor seconds it has used (Linux)."""
        status = Path(f"/proc/{self.process.pid}/stat").read_text()
        times = status.rsplit(")", 1)[1].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    def listens(self) -> bool:
        """Tell whether other nodes can connect to it."""
        with socket.create_connection((self.host, self.port)):
            return True

    # Shares, of a storage server.

    def shares(self) -> list[Path]:
        """Return its finished shares."""
        return [path for path in self._files() if not IN_PROGRESS & {*path.parts}]

    def incoming(self) -> list[Path]:
        """Return the shares that are being written to it."""
        return [path for path in self._files() if IN_PROGRESS & {*path.parts}]

    def _files(self) -> list[Path]:
        return [
            Path(place) / name
            for kind in ("shares", "incomplete")
            for place, _directories, names in os.walk(self.directory / "storage" / kind)
            for name in names
        ]

    # Files, of a gateway.

    def put(self, data: bytes, *, chunked: bool = False, arguments: str = "") -> str:
        """Store *data*; return the cap."""
        announced = ["--data-binary", "@-", "--header", "Content-Type:", "--request", "PUT"]
        options = ["-T", "-"] if chunked else announced
        done = curl(*options, f"{self.url}uri{arguments}", data=data)
        return done.decode("ascii")

    def get(self, cap: str) -> bytes:
        """Return the file of *cap*."""
        return curl(self.file_url(cap))

    def file_url(self, cap: str) -> str:
        """Return where the file of *cap* is."""
        return f"{self.url}uri/{quote(cap, safe='')}"


@define(eq=False)
class Helper(NodeProcess):
    """A helper, which is a gateway too."""

    helper_furl: str = field(default="", kw_only=True)

    def spool(self) -> dict[str, int]:
        """Return the bytes of each file of ciphertext that waits there, by its path."""
        home = self.directory / "helper"
        found = {}
        for place in ("CHK_incoming", "CHK_encoding"):
            for path in (home / place).iterdir():
                if not path.suffix:
                    with contextlib.suppress(OSError):
                        found[f"{place}/{path.name}"] = path.stat().st_size
        return found


def write_node(
    directory: Path,
    introducer: str,
    port: int = 0,
    *,
    shape: Shape | None = None,
    storage: bool = False,
    web: bool = True,
    host: str = LOOPBACK,
) -> NodeProcess:
    """
    Make the directory of a client or, with *port*, of a node that is reached there.

    It has the form that ``tahoe create-client`` and ``create-node`` give it.  Where nobody
    uses the client in it, that reaches servers over foolscap alone: stock's asks each of
    them every second over HTTPS, a hundred times in a grid of ten.
    """
    shape = shape or Shape()
    listen = ("disabled", "disabled")
    if port:
        listen = (f"tcp:{port}:interface={host}", f"tcp:{host}:{port}")
    segment = "shares._max_immutable_segment_size_for_testing"
    _write(
        directory,
        _CLIENT,
        f"[node]\nnickname = {directory.name}\n"
        f"web.port = {f'tcp:0:interface={host}' if web else ''}\n"
        f"tub.port = {listen[0]}\ntub.location = {listen[1]}\n"
        f"[client]\nshares.needed = {shape.needed}\nshares.happy = {shape.happy}\n"
        f"shares.total = {shape.total}\n{segment} = {shape.segment}\n"
        f"force_foolscap = {str(not web).lower()}\n"
        f"[storage]\nenabled = {str(storage).lower()}\nreserved_space = 0\n",
    )
    private = directory / "private"
    if introducer:
        (private / "introducers.yaml").write_text(
            f"introducers:\n  first:\n    furl: {introducer}\n"
        )
    if storage:
        _write_furl(private, port, "storage.furl", host)
    return NodeProcess(directory, port, host=host)


def write_helper(
    directory: Path, introducer: str, shape: Shape | None = None, host: str = LOOPBACK
) -> Helper:
    """Make the directory of a helper, for either program."""
    port = free_ports(1)[0]
    node = write_node(directory, introducer, port, shape=shape, host=host)
    config = directory / "tahoe.cfg"
    config.write_text(config.read_text() + "[helper]\nenabled = true\n")
    furl = _write_furl(directory / "private", port, "helper.furl", host)
    return Helper(node.directory, node.port, host=host, helper_furl=furl)


def use_helper(gateway: NodeProcess, furl: str) -> None:
    """Let a gateway use the helper at *furl* after its next start."""
    config = gateway.directory / "tahoe.cfg"
    lines = config.read_text().splitlines()
    lines = [line for line in lines if not line.startswith("helper.furl")]
    lines.insert(lines.index("[client]") + 1, f"helper.furl = {furl}")
    config.write_text("\n".join(lines) + "\n")


def write_introducer(
    directory: Path, port: int, host: str = LOOPBACK
) -> tuple[NodeProcess, str]:
    """Make an introducer; return it and its furl."""
    _write(
        directory,
        _INTRODUCER,
        f"[node]\nnickname = introducer\ntub.port = tcp:{port}:interface={host}\n"
        f"tub.location = tcp:{host}:{port}\n",
    )
    furl = _write_furl(directory / "private", port, "introducer.furl", host)
    return NodeProcess(directory, port, host=host), furl


def _write(directory: Path, kind: str, config: str) -> None:
    directory.mkdir()
    private = directory / "private"
    private.mkdir(mode=0o700)
    made = {"node.pem": certificate()}
    for name in ("convergence", "secret"):
        made[name] = f"{base32.encode(secrets.token_bytes(32))}\n".encode()
    for name, data in made.items():
        (private / name).touch(mode=0o600)
        (private / name).write_bytes(data)
    (directory / kind).write_text("# what this node is\n")
    (directory / "tahoe.cfg").write_text(config)


def _write_furl(private: Path, port: int, name: str, host: str = LOOPBACK) -> str:
    tub = Tub(certData=(private / "node.pem").read_bytes())
    swissnum = base32.encode(secrets.token_bytes(20))
    furl = f"pb://{tub.tubID}@tcp:{host}:{port}/{swissnum}"
    write_durably(private / name, furl.encode() + b"\n")
    return furl


def configure(node: NodeProcess, shape: Shape) -> None:
    """Let a gateway make other shares, after its next start."""
    wanted = {
        "shares.needed": shape.needed,
        "shares.happy": shape.happy,
        "shares.total": shape.total,
        "shares._max_immutable_segment_size_for_testing": shape.segment,
    }
    config = node.directory / "tahoe.cfg"
    lines = config.read_text().splitlines()
    for index, line in enumerate(lines):
        key = line.partition(" =")[0]
        if key in wanted:
            lines[index] = f"{key} = {wanted[key]}"
    config.write_text("\n".join(lines) + "\n")


@define(eq=False)
class Nodes:
    """Storage servers, a stock gateway, and ours when it is wanted."""

    servers: Sequence[NodeProcess]
    stock: NodeProcess
    ours: NodeProcess

    def start_gateways(self, gateways: Sequence[Program] = ("stock", "ours")) -> None:
        """Run the gateways, until they are connected to all servers."""
        if "stock" in gateways:
            self.stock.spawn("stock")
        if "ours" in gateways:
            self.ours.spawn("ours")
        for gateway in (self.stock, self.ours):
            if gateway.running:
                gateway.wait_until(partial(reaches, gateway, len(self.servers)))

    def restart_gateways(self, shape: Shape) -> None:
        """Run the gateways with other settings; it does not matter whether they ran."""
        alive = [gateway for gateway in (self.stock, self.ours) if gateway.running]
        for gateway in alive:
            gateway.process.terminate()
        for gateway in alive:
            gateway.stop()
        for gateway in (self.stock, self.ours):
            configure(gateway, shape)
        self.start_gateways()

    def stop(self) -> None:
        """End all that runs."""
        alive = [node for node in self._nodes() if node.running]
        for node in alive:
            node.process.terminate()
        for node in alive:
            node.stop()

    def _nodes(self) -> list[NodeProcess]:
        """Return all nodes, those first that end first."""
        return [self.ours, self.stock, *self.servers]

    def shares(self) -> dict[int, Path]:
        """Return the finished shares on all servers by number; they are of one file."""
        found = [path for server in self.servers for path in server.shares()]
        return {int(path.name): path for path in found}

    def clear(self) -> None:
        """Remove all shares."""
        for server in self.servers:
            for share in server.shares():
                share.unlink()


@define(eq=False)
class Grid(Nodes):
    """These, and the introducer that tells the gateways of the servers."""

    kind: Program  # of the servers
    introducer: NodeProcess
    furl: str  # of the introducer

    def start(self, gateways: Sequence[Program] = ("stock", "ours")) -> None:
        """Run all of it, until the gateways are connected to all servers."""
        # Whoever finds no introducer waits for longer and longer before it tries again.
        self.introducer.spawn("stock")
        self.introducer.wait_until(self.introducer.listens)
        for server in self.servers:
            server.spawn(self.kind)
        self.start_gateways(gateways)

    def _nodes(self) -> list[NodeProcess]:
        return [*Nodes._nodes(self), self.introducer]


def connected(gateway: NodeProcess) -> int:
    """
    Return how many servers a gateway can use, over foolscap or HTTPS.

    A stock gateway calls a server connected before it has heard its version, and does
    nothing with it till then.
    """
    return sum(
        each["connection_status"].casefold().startswith("connected")
        and each["version"] is not None
        for each in _status(gateway)["servers"]
    )


def reaches(gateway: NodeProcess, servers: int) -> bool:
    """Tell whether a gateway is connected to that many servers."""
    return connected(gateway) == servers


def introduced(gateway: NodeProcess) -> bool:
    """Tell whether a gateway of ours is connected to its introducer."""
    return any(
        each.endswith(": Connected") for each in _status(gateway)["introducers"]["statuses"]
    )


def _status(gateway: NodeProcess) -> Any:
    return json.loads(ask(f"{gateway.url}?t=json").body)


@contextmanager
def grid(
    directory: Path,
    *,
    servers: int = 10,
    shape: Shape | None = None,
    kind: Program = "stock",
    gateways: Sequence[Program] = ("stock", "ours"),
    host: str = LOOPBACK,
    prefix: Sequence[str] = (),
    cache: bool = True,
) -> Iterator[Grid]:
    """
    Make and run a grid in *directory*; end all of it whatever happens.

    All but the gateways listen on *host* and run where *prefix* lets them.  Without a
    *cache* our gateway has what is read from the servers each time.
    """
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    ports = free_ports(servers + 1)
    introducer, furl = write_introducer(directory / "introducer", ports.pop(), host)
    members = [
        write_node(
            directory / f"server{number}", furl, port, storage=True, web=False, host=host
        )
        for number, port in enumerate(ports)
    ]
    for node in (introducer, *members):
        node.prefix = prefix
    made = Grid(
        members,
        write_node(directory / "stock", furl, shape=shape),
        write_node(directory / "ours", furl, shape=shape),
        kind,
        introducer,
        furl,
    )
    if not cache:
        with (made.ours.directory / "tahoe.cfg").open("a") as config:
            config.write("[client]\ncache.limit = 0\n")
    try:
        made.start(gateways)
        yield made
    finally:
        made.stop()
