"""Storage servers of ours, each behind a line of its own, and a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from attrs import define

from tests.integration.helper_line import Line
from tests.integration.stock_grid import (
    NodeProcess,
    Shape,
    connected,
    reaches,
    write_introducer,
    write_node,
)
from tests.ports import free_ports

SHAPE = Shape(2, 4, 6)
SERVERS = 6


@define(eq=False)
class Lined:
    """Servers, each behind a line of its own, and a gateway."""

    gateway: NodeProcess
    servers: list[NodeProcess]
    lines: list[Line]

    def sent(self) -> int:
        """Return the bytes that went to servers."""
        return sum(line.sent for line in self.lines)

    def start(self, node: NodeProcess) -> None:
        """Start a node, until it answers."""
        node.spawn("ours")
        is_there = node.listens if node in self.servers else partial(reaches_any, node)
        node.wait_until(is_there)


@contextmanager
def lined(place: Path, https: bool) -> Iterator[Lined]:
    """Make and run all of it; end it whatever happens."""
    with ExitStack() as stack:
        ports = free_ports(SERVERS + 1)
        introducer, furl = write_introducer(place / "introducer", ports.pop())
        lines, servers = [], []
        for number, port in enumerate(ports):
            server = write_node(
                place / f"server{number}", furl, port, storage=True, web=False
            )
            line = stack.enter_context(Line(port))
            config = server.directory / "tahoe.cfg"
            here = f"tub.location = tcp:127.0.0.1:{port}"
            there = f"tub.location = tcp:127.0.0.1:{line.port}"
            config.write_text(config.read_text().replace(here, there))
            lines.append(line)
            servers.append(server)
        gateway = write_node(place / "gateway", furl, shape=SHAPE)
        if https:
            with (gateway.directory / "tahoe.cfg").open("a") as file:
                file.write("\n[client]\nstorage.transport = https\n")
        introducer.spawn("stock")
        stack.callback(introducer.kill)
        introducer.wait_until(introducer.listens)
        found = Lined(gateway, servers, lines)
        for node in (*servers, gateway):
            stack.callback(_end, node)
            found.start(node)
        gateway.wait_until(lambda: reaches(gateway, SERVERS))
        yield found


def reaches_any(gateway: NodeProcess) -> bool:
    """Tell whether a gateway answers."""
    return connected(gateway) >= 0


def _end(node: NodeProcess) -> None:
    if node.running:
        node.kill()
