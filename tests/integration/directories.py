"""Directories that a stock gateway makes on servers of both programs."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen

from tests.integration.stock_grid import (
    NodeProcess,
    Program,
    Shape,
    configure,
    reaches,
    write_node,
)
from tests.integration.transports import Transport, write_servers
from tests.ports import free_ports
from tests.processes import curl
from truckee.codec.slot_container import DATA_OFFSET, HEADER_SIZE, SlotHeader, is_slot


@frozen
class Health:
    """What a deep check found."""

    directories: int
    whole: int  # of these: all shares are there, none corrupt


@define(eq=False)
class Directories:
    """Storage servers, a stock gateway over one transport, and the directories it made."""

    servers: Sequence[NodeProcess]
    gateway: NodeProcess
    shape: Shape
    root: str = field(default="", init=False)  # a write cap

    def start(self, programs: Sequence[Program]) -> None:
        """Run each server with a program; the gateway is stopped meanwhile."""
        for server, program in zip(self.servers, programs, strict=True):
            server.spawn(program)
        for server in self.servers:
            server.wait_until(server.listens)

    def use(self, transport: Transport) -> None:
        """Run the gateway, which reaches the servers over *transport* alone."""
        self.stop_gateway()
        write_servers(self.gateway, self.servers, transport)
        self.gateway.spawn("stock")
        try:
            self.gateway.wait_until(partial(reaches, self.gateway, len(self.servers)))
        except AssertionError:
            print("STATUS", curl(f"{self.gateway.url}?t=json").decode())
            raise

    def stop_gateway(self) -> None:
        """End the gateway, if it runs."""
        if self.gateway.running:
            self.gateway.stop()

    def stop(self) -> None:
        """End all that runs."""
        self.stop_gateway()
        alive = [server for server in self.servers if server.running]
        for server in alive:
            server.process.terminate()
        for server in alive:
            server.stop()

    # What its user does.

    def make(self, count: int) -> None:
        """Make a directory of directories, put something into each, rename it all."""
        self.root = self._post("uri?t=mkdir")
        for number in range(count):
            self._post(f"{self._path}?t=mkdir&name=draft{number}")
            self.put(f"draft{number}/first", b"a literal")
            self._post(f"{self._path}/draft{number}?t=rename&from_name=first&to_name=text")
            self._post(f"{self._path}?t=rename&from_name=draft{number}&to_name=d{number}")
            self.put(f"d{number}/file", b"%d" % number * 100)

    def wrong(self, count: int) -> int:
        """Return how many of the directories made do not list what was put into them."""
        names = ["file", "text"]
        return sum(self.names(f"d{number}") != names for number in range(count))

    def names(self, path: str = "") -> list[str]:
        """Return the names in a directory."""
        reply = curl(f"{self.gateway.url}{self._path}/{path}?t=json")
        return sorted(json.loads(reply)[1]["children"])

    def put(self, path: str, data: bytes) -> None:
        """Store a file at *path*."""
        curl("-T", "-", f"{self.gateway.url}{self._path}/{path}", data=data)

    def check(self) -> Health:
        """Check every byte of all directories."""
        found = self._deep_check("verify=true")
        results = [each["check-results"]["results"] for each in found]
        return Health(len(found), sum(map(self._is_whole, results)))

    def repair(self) -> int:
        """Repair what wants it; return how many directories that went well with."""
        found = self._deep_check("verify=true&repair=true")
        results = [each["check-and-repair-results"] for each in found]
        return sum(bool(each["repair-successful"]) for each in results)

    def _deep_check(self, arguments: str) -> list[Any]:
        reply = self._post(f"{self._path}?t=stream-deep-check&{arguments}")
        units = map(json.loads, reply.splitlines())
        return [each for each in units if each["type"] == "directory"]

    def _is_whole(self, results: Any) -> bool:
        total = self.shape.total
        return bool(
            results["healthy"]
            and results["recoverable"]
            and results["count-shares-good"] == total
            and not results["count-corrupt-shares"]
        )

    @property
    def _path(self) -> str:
        return f"uri/{quote(self.root, safe='')}"

    def _post(self, target: str) -> str:
        return curl("--request", "POST", self.gateway.url + target).decode()

    # What is on the disks.

    def shares(self) -> dict[str, list[Path]]:
        """Return all mutable shares by their storage index."""
        found: dict[str, list[Path]] = {}
        for server in self.servers:
            for path in server.shares():
                with path.open("rb") as file:
                    if is_slot(file.read(HEADER_SIZE)):
                        found.setdefault(path.parent.name, []).append(path)
        return found

    def short(self) -> int:
        """Return how many directories lack a share, or have shares of several versions."""
        return sum(
            len({path.name for path in paths}) < self.shape.total
            or len(set(map(_version, paths))) > 1
            for paths in self.shares().values()
        )

    def lose(self, chosen: Callable[[Sequence[Path]], Sequence[Path]]) -> None:
        """Remove the shares that are *chosen* from those of each directory."""
        for paths in self.shares().values():
            for path in chosen(paths):
                path.unlink()


def _version(path: Path) -> bytes:
    """Return sequence number and root hash of a share."""
    data = path.read_bytes()
    SlotHeader.parse(data)
    return struct.unpack_from(">1x40s", data, DATA_OFFSET)[0]  # type: ignore[no-any-return]


@contextmanager
def directories(
    place: Path, programs: Sequence[Program], shape: Shape
) -> Iterator[Directories]:
    """Make and run servers of these *programs*; end all whatever happens."""
    servers = [
        write_node(place / f"server{number}", "", port, storage=True, web=False)
        for number, port in enumerate(free_ports(len(programs)))
    ]
    made = Directories(servers, write_node(place / "gateway", "", shape=shape), shape)
    configure(made.gateway, shape)
    try:
        made.start(programs)
        yield made
    finally:
        made.stop()
