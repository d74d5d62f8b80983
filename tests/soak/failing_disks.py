"""
Nodes of every role on disks that become full, read-only or missing, and usable again.

    python -m tests.soak.failing_disks [--only ROLE] [--within 40]

Each role is a node of ours in a process of its own, its disks are small file systems in
memory (which takes root), and what is around it are stock nodes: an introducer and two
storage servers.  Each row is one fault at one moment: the node starts, or goes on; what can
be read is read; the problem is on its pages, in its documents, in its metrics and in its
log; nothing is written below the mount point of a disk that is missing; and once the disk
can be used again all is as before within so many seconds, without a restart.  The exit code
is 1 if anything of a row is missing, and what it is stands in its last column.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from attrs import define, field

from tests.integration.failing_disks import Disk, Fault, Gateway, make_grid, new_room
from tests.integration.stock_grid import (
    NodeProcess,
    Shape,
    content,
    introduced,
    reaches,
    use_helper,
    write_helper,
    write_introducer,
    write_node,
)
from tests.ports import free_ports
from tests.processes import Reply, ask, eventually
from tests.report import report

DATA = content(12, 100_000)
NEW = content(13, 100_000)
FAULTS: tuple[Fault, ...] = ("full", "read-only", "missing")
MOMENTS = ("start", "running")
READ_IN = 60.0  # seconds; others connect to a node that starts when they try again
SAID_IN = 15.0  # seconds; disks are looked at every five
ENDED = ("Traceback", "Unhandled")


@define(eq=False)
class Role:
    """A node whose disks fail, and what others see of it."""

    name: str
    node: Gateway
    disks: dict[Fault, Sequence[Disk]]  # those that fail
    # The problem that is told, by the fault and the moment.
    problem: Callable[[Fault, str], str]
    read: Callable[[Fault], bool]
    # What an upload is answered while the disk fails.
    store: Callable[[], int]
    expected: Callable[[Fault], set[int]]
    # Whether all is as before.
    whole: Callable[[], bool]
    pages: tuple[str, ...] = ("", "status")
    # A disk on which a file is open for writing, so that it is not made read-only.
    busy: Disk | None = None

    @contextmanager
    def broken(self, fault: Fault, moment: str) -> Iterator[None]:
        """Let its disks fail inside this context."""
        with ExitStack() as stack:
            for disk in self.disks[fault]:
                if disk is self.busy and (fault, moment) == ("read-only", "running"):
                    continue
                stack.enter_context(disk.broken(fault))
            yield


@define(eq=False)
class Row:
    """What became of one fault."""

    role: Role
    fault: Fault
    moment: str
    within: float
    cells: dict[str, object] = field(factory=dict)
    misses: list[str] = field(factory=list)

    def run(self) -> dict[str, object]:
        """Do all of it; return a line of the table."""
        log = self.role.node.log
        begin = log.stat().st_size if log.exists() else 0
        self.cells = {
            "role": self.role.name,
            "disk": self.fault,
            "at": self.moment,
            **dict.fromkeys(("started, s", "reads", "says so", "stores", "recovered, s")),
        }
        try:
            self._run()
        except Exception as error:
            self.misses.append(f"{type(error).__name__}: {error}"[:300])
        text = log.read_text(errors="replace")[begin:]
        for word in ENDED:
            if word in text:
                self.misses.append(f"{word} in the log")
                print(text[text.index(word) - 300 :][:3000], file=sys.stderr)
        self.cells["missing"] = "; ".join(self.misses) or "-"
        return self.cells

    def _run(self) -> None:
        with ExitStack() as running:
            if self.moment == "running":
                self._start(running)
                eventually(self.role.whole, READ_IN)
            with self.role.broken(self.fault, self.moment):
                if self.moment == "start":
                    self._start(running)
                self._while_broken()
            self._recovers()

    def _start(self, running: ExitStack) -> None:
        begin = time.monotonic()
        running.enter_context(self.role.node.running())
        self.cells["started, s"] = round(time.monotonic() - begin, 1)

    def _while_broken(self) -> None:
        name = self.role.problem(self.fault, self.moment)
        told = self._try(
            "is no problem", lambda: name in self.role.node.problems(), SAID_IN
        )
        self.cells["says so"] = self._said(name) if told else "no"
        read = self._try("cannot be read", partial(self.role.read, self.fault), READ_IN)
        self.cells["reads"] = "yes" if read else "no"
        status = self.role.store()
        self.cells["stores"] = status
        if status not in self.role.expected(self.fault):
            self.misses.append(f"an upload is answered {status}")
        if self.fault == "missing":
            for disk in self.role.disks[self.fault]:
                self.misses += [f"{each.name} was made" for each in disk.path.iterdir()]

    def _said(self, name: str) -> str:
        """Return where the problem *name* is told."""
        node = self.role.node
        text = node.problems()[name]
        metrics = ask(f"{node.url}metrics").body.decode()
        places = {
            **{f"/{page}": name in _page(node, page) for page in self.role.pages},
            "JSON": text in _page(node, "status?t=json"),
            "metric": "\ntruckee_problems 0" not in metrics,
            "log": name in node.log.read_text(errors="replace"),
        }
        self.misses += [
            f"nothing on {place}" for place, there in places.items() if not there
        ]
        return " ".join(place for place, there in places.items() if there)

    def _recovers(self) -> None:
        begin = time.monotonic()
        if self._try(
            "still has problems", lambda: not self.role.node.problems(), self.within
        ) and self._try("is not as before", self.role.whole, self.within):
            self.cells["recovered, s"] = round(time.monotonic() - begin, 1)
        else:
            self.misses.append(json.dumps(self.role.node.problems()))

    def _try(self, miss: str, condition: Callable[[], bool], seconds: float) -> bool:
        """Return whether *condition* comes true in time; if not, that is a *miss*."""

        def holds() -> bool:
            try:
                return condition()
            except (OSError, ValueError, LookupError):
                return False

        try:
            eventually(holds, seconds)
        except AssertionError:
            self.misses.append(miss)
            return False
        return True


def _page(node: Gateway, path: str) -> str:
    return ask(f"{node.url}{path}").body.decode("utf-8")


def _put(url: str, data: bytes = NEW, arguments: str = "") -> Reply:
    return ask("-T", "-", "-H", "Expect:", f"{url}uri{arguments}", data=data)


def _is_at(url: str, cap: str, data: bytes = DATA) -> bool:
    return ask(f"{url}uri/{cap}").body == data


def _stored(url: str) -> bool:
    """Tell whether a file can be stored and read."""
    reply = _put(url)
    return reply.status == 200 and _is_at(url, reply.text, NEW)


@define(eq=False)
class Bench:
    """The nodes around those whose disks fail, and these."""

    room: Path
    cleanup: ExitStack
    furl: str = field(init=False)  # of the introducer

    def start(self) -> None:
        """Run an introducer and two storage servers, all of them stock."""
        ports = free_ports(3)
        introducer, self.furl = write_introducer(self.room / "introducer", ports[0])
        self.cleanup.callback(introducer.stop)
        introducer.spawn("stock")
        introducer.wait_until(introducer.listens)
        for number in (1, 2):
            server = write_node(
                self.room / f"server{number}",
                self.furl,
                ports[number],
                storage=True,
                web=False,
            )
            self.cleanup.callback(server.stop)
            server.spawn("stock")
            server.wait_until(server.listens)

    def gateway(
        self, name: str, shape: Shape, servers: int, helper: str = ""
    ) -> NodeProcess:
        """Return a running gateway on a disk that does not fail."""
        gateway = write_node(self.room / name, self.furl, shape=shape)
        with (gateway.directory / "tahoe.cfg").open("a") as config:
            config.write("[client]\ncache.limit = 0\n")
        if helper:
            use_helper(gateway, helper)
        self.cleanup.callback(gateway.stop)
        gateway.spawn("ours")
        gateway.wait_until(partial(introduced, gateway))
        gateway.wait_until(partial(reaches, gateway, servers))
        return gateway

    def disk(self, path: Path) -> Disk:
        """Return a disk that can fail."""
        return Disk.mount(path, self.cleanup)

    def process(self, node: NodeProcess) -> Gateway:
        """Return the same node with a log and an address that no disk of its own has."""
        [port] = free_ports(1)
        config = node.directory / "tahoe.cfg"
        lines = config.read_text().splitlines()
        address = f"web.port = tcp:{port}:interface=127.0.0.1"
        lines = [address if line.startswith("web.port") else line for line in lines]
        config.write_text("\n".join([*lines, "[client]", "cache.limit = 0", ""]))
        return Gateway(node.directory, port, self.room / f"{node.directory.name}.log")

    # Roles

    def grid(self) -> Role:
        """An embedded grid, one of whose storage directories has a disk of its own."""
        node_disk = self.disk(self.room / "grid-disk")
        node = make_grid(node_disk.path / "node", self.room / "grid.log")
        disk = self.disk(self.room / "grid-storage")
        home, first = disk.path / "1", node.directory / "storage" / "1"
        home.mkdir(0o700)
        (home / "server-id").write_bytes((first / "server-id").read_bytes())
        config = node.directory / "tahoe.cfg"
        config.write_text(config.read_text().replace("storage/1", str(home)))
        with node.running():
            cap = node.put(DATA).text
        opening = {("missing", "start"): "storage directory 1: opening"}
        name = {"missing": "storage directory 1"}
        return Role(
            "embedded grid",
            node,
            {"full": [node_disk], "read-only": [node_disk], "missing": [disk]},
            lambda fault, moment: opening.get(
                (fault, moment), name.get(fault, "node directory")
            ),
            lambda _: _is_at(node.url, cap),
            lambda: _put(node.url).status,
            lambda fault: {200} if fault == "missing" else {507},
            lambda: _stored(node.url),
        )

    def storage(self) -> Role:
        """A storage server in a stock grid, whose shares a gateway needs or not."""
        [port] = free_ports(1)
        node_disk, disk = (
            self.disk(self.room / "ours-disk"),
            self.disk(self.room / "ours-s"),
        )
        node = write_node(node_disk.path / "ours", self.furl, port, storage=True)
        process = self.process(node)
        with (node.directory / "tahoe.cfg").open("a") as config:
            config.write(f"[storage]\nstorage_dir = {disk.path / 'storage'}\n")
        with process.running():
            # All three shares of the one file, two of three of the other.
            needs = self.gateway("needs", Shape(3, 3, 3), 3)
            does_not = self.gateway("does-not", Shape(2, 2, 3), 3)
            caps = needs.put(DATA), does_not.put(DATA)

        def read(fault: Fault) -> bool:
            needed = fault == "missing" or _is_at(needs.url, caps[0])
            return needed and _is_at(does_not.url, caps[1])

        def whole() -> bool:
            leases = ask(f"{process.url}storage?t=json").status == 200
            return leases and _is_at(needs.url, caps[0]) and _stored(needs.url)

        offer = {("missing", "start"): "storage server"}
        return Role(
            "storage server",
            process,
            {"full": [node_disk, disk], "read-only": [node_disk, disk], "missing": [disk]},
            lambda fault, moment: offer.get((fault, moment), "storage"),
            read,
            lambda: _put(does_not.url).status,
            lambda _: {200},
            whole,
        )

    def helper(self) -> Role:
        """A helper, which is a gateway too, and its spool on a disk of its own."""
        node_disk = self.disk(self.room / "helper-disk")
        node = write_helper(node_disk.path / "helper", self.furl, Shape(1, 2, 2))
        disk = self.disk(node.directory / "helper")
        process = self.process(node)
        with process.running():
            user = self.gateway("user", Shape(1, 2, 2), 2, node.helper_furl)
            cap = user.put(DATA)

            def helped() -> bool:
                told = json.loads(_put(user.url, arguments="?output=json").body)
                return bool(told["route"] == "helper")

            eventually(helped, READ_IN)
        offer = {"start": "helper", "running": "helper spool"}
        return Role(
            "helper",
            process,
            {"full": [node_disk, disk], "read-only": [node_disk, disk], "missing": [disk]},
            lambda fault, moment: offer[moment] if fault == "missing" else "helper spool",
            lambda _: _is_at(process.url, cap) and _is_at(user.url, cap),
            lambda: _put(user.url).status,
            lambda _: {200},
            lambda: _is_at(process.url, cap) and helped(),
            ("", "status", "helper_status"),
        )

    def away(self) -> Role:
        """A gateway to servers on other machines, with an upload that is open."""
        node_disk = self.disk(self.room / "gateway-disk")
        node = write_node(node_disk.path / "gateway", self.furl, shape=Shape(1, 2, 2))
        disk = self.disk(node.directory / "uploads")
        process = self.process(node)
        with process.running():
            eventually(lambda: process.put(DATA).status == 200, READ_IN)
            cap = process.put(DATA).text
            handle = ask("-X", "POST", f"{process.url}upload/open").text.strip()
            upload = f"{process.url}upload/{handle}"
            self.append(upload, DATA[:50_000])

        def whole() -> bool:
            # No byte of the upload that is open was lost.
            there = json.loads(ask(f"{upload}?t=json").body)
            return there["offset"] == 50_000 and _stored(process.url)

        names = {("missing", "start"): "open uploads", ("missing", "running"): "uploads"}
        return Role(
            "gateway",
            process,
            {"full": [node_disk, disk], "read-only": [node_disk, disk], "missing": [disk]},
            lambda fault, moment: names.get((fault, moment), "node directory"),
            lambda _: _is_at(process.url, cap),
            lambda: ask("-X", "POST", f"{process.url}upload/open").status,
            lambda _: {503, 507},
            whole,
            busy=disk,
        )

    def append(self, upload: str, data: bytes) -> None:
        """Send some bytes to an upload that is open."""
        reply = ask("-T", "-", "-H", "Expect:", upload, data=data)
        assert reply.status < 300, reply


def main() -> None:
    """Print the table; exit with 1 if anything is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the role whose name has this in it")
    parser.add_argument("--within", type=float, default=40.0, help="seconds to recover in")
    options = parser.parse_args()
    rows = []
    with ExitStack() as cleanup:
        bench = Bench(new_room(cleanup), cleanup)
        bench.start()
        for make in (bench.grid, bench.storage, bench.helper, bench.away):
            if options.only and options.only not in (make.__doc__ or "").lower():
                continue
            role = make()
            for fault in FAULTS:
                for moment in MOMENTS:
                    row = Row(role, fault, moment, options.within)
                    rows.append(row.run())
                    print(rows[-1], flush=True)
    report("failing disks", rows)
    raise SystemExit(any(row["missing"] != "-" for row in rows))


if __name__ == "__main__":
    main()
