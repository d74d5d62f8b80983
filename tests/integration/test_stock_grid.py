"""A grid of other machines: stock nodes and ours on both sides of every protocol."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import (
    SHAPES,
    Grid,
    NodeProcess,
    Program,
    Shape,
    content,
    grid,
    introduced,
    reaches,
    sizes_around,
    write_node,
)
from tests.ports import free_ports
from tests.processes import Wire, curl, eventually, run
from tests.soak import WHOLE
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, parse_cap
from truckee.codec.secrets import lease_secrets
from truckee.grid.announcements import tubid_of

MIB = 1 << 20
LEASE_TIME = 31 * 24 * 3600  # seconds

# Files that go from one program to the other, in both directions together.
# Every fifth size, another one for each shape, unless there is time.
FILES, EVERY = (300, 1) if WHOLE else (60, 5)


class _Shared:
    """The grids of this module."""

    cleanup = ExitStack()
    grid: Grid
    ours: Grid  # with storage servers of ours


def setUpModule() -> None:
    """Run the one grid."""
    with ExitStack() as stack:
        room = stack.enter_context(tempfile.TemporaryDirectory())
        _Shared.grid = stack.enter_context(grid(Path(room)))
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class _Case(SynchronousTestCase):
    """What is asked of stock's verifier and repairer."""

    @property
    def grid(self) -> Grid:
        return _Shared.grid

    def check(self, gateway: NodeProcess, cap: str, *, repair: bool = False) -> Any:
        arguments = "?t=check&verify=true&output=JSON" + ("&repair=true" if repair else "")
        return json.loads(curl("-X", "POST", gateway.file_url(cap) + arguments))

    def assert_healthy(self, gateway: NodeProcess, cap: str, shares: int = 10) -> None:
        """Have every byte of every share verified by a stock gateway."""
        found = self.check(gateway, cap)
        results = found["results"]
        self.assertTrue(results["healthy"], found["summary"])
        self.assertEqual(results["count-shares-good"], shares)
        self.assertEqual(results["count-corrupt-shares"], 0)

    def assert_repaired(self, on: Grid, cap: str, shares: Mapping[int, Path]) -> None:
        """Remove 7 of the 10 shares and have a stock gateway make them anew."""
        for number in random.Random(len(cap)).sample(sorted(shares), 7):
            shares[number].unlink()
        done = self.check(on.stock, cap, repair=True)
        self.assertTrue(done["repair-attempted"])
        self.assertTrue(done["repair-successful"], done)
        self.assert_healthy(on.stock, cap)

    def assert_both_read(self, on: Grid, cap: str, data: bytes) -> None:
        """Let both gateways read a file."""
        for gateway in (on.stock, on.ours):
            # Not assertEqual: a failure would print the file.
            self.assertTrue(gateway.get(cap) == data, gateway.directory.name)


class CrossReadTests(_Case):
    def test_both_directions(self) -> None:
        """
        What one program stored, the other reads, for every form of file: shares of five
        kinds, sizes around every boundary, lengths announced or not.
        """
        count = 0
        for first, shape in enumerate(SHAPES):
            self.grid.restart_gateways(shape)
            count_each = EVERY * FILES // len(SHAPES) // 2
            sizes = sizes_around(shape, count_each)[first % EVERY :: EVERY]
            for number, size in enumerate(sizes):
                mine, other = content(2 * number, size), content(2 * number + 1, size)
                cap = self.grid.ours.put(mine, chunked=number % 2 == 1)
                self.assertTrue(self.grid.stock.get(cap) == mine, (shape, size, "ours"))
                cap = self.grid.stock.put(other)
                self.assertTrue(self.grid.ours.get(cap) == other, (shape, size, "stock"))
                count += 2
        self.assertEqual(count, FILES)


class _DefaultShape(_Case):
    """Gateways with the usual settings and the same convergence secret."""

    @classmethod
    def setUpClass(cls) -> None:
        made = _Shared.grid
        secret = (made.stock.directory / "private" / "convergence").read_bytes()
        (made.ours.directory / "private" / "convergence").write_bytes(secret)
        made.restart_gateways(Shape())

    def setUp(self) -> None:
        super().setUp()
        self.grid.clear()


class SameBytesTests(_DefaultShape):
    def test_convergent(self) -> None:
        """
        With the same convergence secret the same file has the same cap, and each of its
        shares the same bytes, whoever stored it.
        """
        for size in (56, 1000, MIB, MIB + 1, 3_300_007):
            data = content(size, size)
            caps, stored = [], []
            for gateway in (self.grid.stock, self.grid.ours):
                caps.append(gateway.put(data, arguments="?key=CHK"))
                shares = self.grid.shares()
                stored.append({number: _inside(path) for number, path in shares.items()})
                self.grid.clear()
            self.assertEqual(caps[0], caps[1])
            self.assertEqual(sorted(stored[0]), list(range(10)))
            self.assertTrue(stored[0] == stored[1], size)


def _inside(share: Path) -> bytes:
    """Return what a container holds, without its header and its leases."""
    data = share.read_bytes()
    leases = int.from_bytes(data[8:12], "big")
    return data[12 : len(data) - 72 * leases]


class KnownLengthTests(_DefaultShape):
    def test_verified_and_repaired(self) -> None:
        """A stock gateway finds our shares healthy, and makes new ones from three."""
        for size in (56, 100_000, 2 * MIB + 5):
            data = content(size, size)
            cap = self.grid.ours.put(data)
            self.assert_healthy(self.grid.stock, cap)
            self.assert_repaired(self.grid, cap, self.grid.shares())
            self.assert_both_read(self.grid, cap, data)
            self.grid.clear()


class UnknownLengthTests(_DefaultShape):
    def test_verified_and_repaired(self) -> None:
        """A file whose length nobody announced is a file like any other to stock nodes."""
        for size in (1, 55, 56, 1000, MIB - 1, MIB, MIB + 1, 5_000_011):
            data = content(size, size)
            cap = self.grid.ours.put(data, chunked=True)
            if size > 55:
                self.assert_healthy(self.grid.stock, cap)
                self.assert_repaired(self.grid, cap, self.grid.shares())
            self.assert_both_read(self.grid, cap, data)
            self.grid.clear()

    def test_shares_grow_meanwhile(self) -> None:
        """Share data is on the servers' disks before the last byte was even sent."""
        for size in (8 * MIB, 64 * MIB) if WHOLE else (8 * MIB,):
            data = content(size, size)
            with Wire(self.grid.ours.url, timeout=120) as wire:
                wire.request("PUT /uri", "Transfer-Encoding: chunked")
                for start in range(0, size - 1, MIB):
                    wire.chunk(data[start : min(start + MIB, size - 1)])
                eventually(lambda: any(map(_has_data, self._incoming())))
                self.assertEqual(self.grid.shares(), {})
                wire.chunk(data[-1:])
                wire.chunk(b"")
                cap = wire.reply().text
            self.assert_healthy(self.grid.stock, cap)
            self.assert_repaired(self.grid, cap, self.grid.shares())
            self.assert_both_read(self.grid, cap, data)
            self.grid.clear()

    def test_given_up(self) -> None:
        """When the client goes away in the middle, no share stays anywhere."""
        with Wire(self.grid.ours.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            for _ in range(8):
                wire.chunk(bytes(MIB))
            eventually(self._incoming)
        eventually(lambda: not self._incoming())
        self.assertEqual(self.grid.shares(), {})

    def _incoming(self) -> list[Path]:
        return [path for server in self.grid.servers for path in server.incoming()]


def _has_data(share: Path) -> bool:
    """Tell whether a sparse file has data behind its first block."""
    with share.open("rb") as file:
        file.seek(4096)
        return any(file.read(65536))


class _OurServers(_Case):
    """Ten storage servers of ours, an introducer, and gateways."""

    @classmethod
    def setUpClass(cls) -> None:
        if not hasattr(_Shared, "ours"):
            room = _Shared.cleanup.enter_context(tempfile.TemporaryDirectory())
            made = grid(Path(room), kind="ours")
            _Shared.ours = _Shared.cleanup.enter_context(made)

    def setUp(self) -> None:
        super().setUp()
        self.grid.clear()

    @property
    def grid(self) -> Grid:
        return _Shared.ours


class OurServersTests(_OurServers):
    def test_stock_client(self) -> None:
        """A stock gateway uploads to our servers, downloads, verifies and repairs."""
        for size in (56, 100_000, 3 * MIB + 1):
            data = content(size, size)
            cap = self.grid.stock.put(data)
            self.assertEqual(sorted(self.grid.shares()), list(range(10)))
            self.assert_healthy(self.grid.stock, cap)
            self.assert_repaired(self.grid, cap, self.grid.shares())
            self.assert_both_read(self.grid, cap, data)
            self.grid.clear()

    def test_our_client(self) -> None:
        """Our own gateway reaches them as it reaches stock servers."""
        for chunked in (False, True):
            data = content(chunked, 3 * MIB)
            cap = self.grid.ours.put(data, chunked=chunked)
            self.assert_healthy(self.grid.stock, cap)
            self.assert_both_read(self.grid, cap, data)

    def test_leases(self) -> None:
        """A share has the one lease of its client, in the form of stock servers."""
        cap = self.grid.stock.put(content(1, 1000))
        self.grid.stock.put(content(1, 1000))  # renews
        secret = base32.decode(
            (self.grid.stock.directory / "private" / "secret").read_text().strip()
        )
        parsed = parse_cap(cap)
        assert isinstance(parsed, ChkReadCap)
        storage_index = parsed.storage_index
        for server in self.grid.servers:
            for path in server.shares():
                data = path.read_bytes()
                secrets = lease_secrets(secret, storage_index, tubid_of(server.furl))
                version, _, leases = (
                    int.from_bytes(data[at : at + 4], "big") for at in (0, 4, 8)
                )
                self.assertEqual((version, leases), (2, 1))
                lease = data[-72:]
                self.assertEqual(lease[:4], bytes(4))
                for stored, plain in (
                    (lease[4:36], secrets.renew),
                    (lease[36:68], secrets.cancel),
                ):
                    self.assertEqual(stored, blake2b(plain, digest_size=32).digest())
                left = int.from_bytes(lease[68:], "big") - time.time()
                self.assertTrue(LEASE_TIME - 300 < left <= LEASE_TIME, left)
        dumped = warm.run(
            [TAHOE, "debug", "dump-share", str(path)], check=True, capture_output=True
        )
        self.assertIn(b"Lease #0: owner=0, expire in", dumped.stdout)

    def test_killed_clients(self) -> None:
        """
        A client that dies in the middle of an upload leaves nothing that readers see.

        What it had begun is kept for half an hour, for a client to go on.
        """
        grid = self.grid
        programs: tuple[Program, ...] = ("ours", "stock")
        for gateway, program in zip((grid.ours, grid.stock), programs, strict=True):
            body = grid.introducer.directory / "body"
            body.write_bytes(content(3, 64 * MIB))
            upload = subprocess.Popen(["curl", "-s", "-T", body, f"{gateway.url}uri"])
            begun = self._kept if program == "ours" else self._incoming
            eventually(begun)
            gateway.kill()
            self.assertNotEqual(upload.wait(60), 0)
            self.assertEqual(
                {path.stat().st_mode & 0o777 for path in self._kept()}, {0o700}
            )
            self.assertEqual(grid.shares(), {})
            grid.start_gateways([program])

    def _kept(self) -> list[Path]:
        """Return the files of kept shares that have a byte, behind 12 of their head."""
        places = (each.directory / "storage" / "incomplete" for each in self.grid.servers)
        found = (path for place in places for path in place.rglob("*.*"))
        return [path for path in found if path.stat().st_size > 12]

    def _incoming(self) -> list[Path]:
        return [path for server in self.grid.servers for path in server.incoming()]


class ComeAndGoTests(_OurServers):
    def test_server_returns(self) -> None:
        """A server that went away is used again when it is back."""
        server = self.grid.servers[0]
        for gateway in (self.grid.ours, self.grid.stock):
            server.stop()
            eventually(partial(reaches, gateway, 9))
            gateway.put(content(4, 1000), chunked=True)
            self.assertEqual(server.shares(), [])
            server.spawn("ours")
            for each in (self.grid.ours, self.grid.stock):
                eventually(partial(reaches, each, 10))
            cap = gateway.put(content(5, 1000), arguments="?key=CHK")
            self.assertEqual(len(server.shares()), 1)
            self.assert_both_read(self.grid, cap, content(5, 1000))
            self.grid.clear()

    def test_introducer_returns(self) -> None:
        """An introducer that restarted is told of servers again, and tells of new ones."""
        self.grid.introducer.stop()
        self.grid.introducer.spawn("stock")
        eventually(lambda: not introduced(self.grid.ours))
        self.grid.ours.put(content(6, 1000))
        room = self.grid.introducer.directory.parent
        with ExitStack() as stack:
            # Whoever comes now knows only what servers told the introducer again.
            reader = write_node(room / "reader", self.grid.furl)
            stack.callback(reader.stop)
            self.grid.introducer.wait_until(self.grid.introducer.listens)
            reader.spawn("stock")
            reader.wait_until(partial(reaches, reader, 10))
            # And our gateway hears of a server that it never knew.
            eventually(lambda: introduced(self.grid.ours))
            [port] = free_ports(1)
            late = write_node(room / "late", self.grid.furl, port, storage=True, web=False)
            stack.callback(late.stop)
            late.spawn("ours")
            eventually(partial(reaches, self.grid.ours, 11))

    def test_introducer_down(self) -> None:
        """Without its introducer a node uses the servers it heard of last time."""
        self.grid.introducer.stop()
        self.addCleanup(self.grid.introducer.wait_until, self.grid.introducer.listens)
        self.addCleanup(self.grid.introducer.spawn, "stock")
        self.grid.ours.stop()
        self.grid.ours.spawn("ours")
        self.grid.ours.wait_until(partial(reaches, self.grid.ours, 10))
        data = content(7, 100_000)
        cap = self.grid.ours.put(data)
        self.assert_both_read(self.grid, cap, data)

    def test_static_servers(self) -> None:
        """servers.yaml is enough: no introducer is needed."""
        room = self.grid.introducer.directory.parent
        client = write_node(room / "static", "", shape=Shape(3, 10, 10))
        servers = {
            f"server {number}": {"ann": {"anonymous-storage-FURL": server.furl}}
            for number, server in enumerate(self.grid.servers)
        }
        (client.directory / "private" / "servers.yaml").write_text(
            yaml.safe_dump({"storage": servers})
        )
        self.addCleanup(client.stop)
        client.spawn("ours")
        client.wait_until(partial(reaches, client, 10))
        data = content(8, 100_000)
        self.assert_both_read(self.grid, client.put(data), data)


class StockDirectoryTests(_DefaultShape):
    """Directories that stock commands made."""

    def create(self, name: str) -> NodeProcess:
        directory = self.grid.introducer.directory.parent / name
        warm.run(
            [
                TAHOE,
                "create-client",
                f"--introducer={self.grid.furl}",
                "--webport=tcp:0:interface=127.0.0.1",
                f"--nickname={name}",
                str(directory),
            ],
            check=True,
            capture_output=True,
        )
        node = NodeProcess(directory, 0)
        self.addCleanup(node.stop)
        return node

    @contextmanager
    def running(self, node: NodeProcess, program: Program) -> Iterator[NodeProcess]:
        node.spawn(program)
        node.wait_until(partial(reaches, node, 10))
        try:
            yield node
        finally:
            node.stop()

    def files(self, node: NodeProcess) -> dict[str, bytes]:
        """Return all files that are not new at each start of either program."""
        passing = ("log", "node.url", "running.process", "twistd.log", "tmp")
        return {
            str(path.relative_to(node.directory)): path.read_bytes()
            for path in node.directory.rglob("*")
            if path.is_file()
            and not path.name.startswith(passing)
            and "logs" not in path.relative_to(node.directory).parts
        }

    def test_used_directory(self) -> None:
        """A stock client's directory runs here unchanged, and there again afterwards."""
        node = self.create("used")
        first, second = content(9, 100_000), content(10, 100_000)
        with self.running(node, "stock"):
            cap = node.put(first)
        before = self.files(node)
        with self.running(node, "ours"):
            self.assertTrue(node.get(cap) == first)
            self.assertEqual(node.put(first, arguments="?key=CHK"), cap)
            other = node.put(second)
        after = self.files(node)
        for name, data in before.items():
            if name.endswith("_cache.yaml"):
                # Rewritten whole by whoever heard of the servers last.
                self.assertEqual(_cached(after[name]).keys(), _cached(data).keys())
            else:
                self.assertEqual(after.get(name), data, name)
        with self.running(node, "stock"):
            self.assertTrue(node.get(cap) == first)
            self.assertTrue(node.get(other) == second)

    def test_new_directory(self) -> None:
        """So does one that never ran: the keys it lacks are made, and stock takes them."""
        node = self.create("new")
        before = self.files(node)
        data = content(11, 100_000)
        with self.running(node, "ours"):
            cap = node.put(data, arguments="?key=CHK")
        after = self.files(node)
        self.assertEqual({name: after.get(name) for name in before}, before)
        with self.running(node, "stock"):
            self.assertEqual(node.put(data), cap)
        kept = self.files(node)
        for name in ("private/convergence", "private/secret", "private/node.pem"):
            self.assertEqual(kept[name], after[name], name)


def _cached(text: bytes) -> dict[str, object]:
    return {entry["key_s"]: entry["ann"] for entry in yaml.safe_load(text)}


_TUBID = "a" * 32


def _listening(port: str) -> str:
    return f"[node]\ntub.port = {port}\ntub.location = tcp:127.0.0.1:1\n"


class BadFilesTests(SynchronousTestCase):
    """Whatever is wrong, the operator learns the file, the place and the reason."""

    def setUp(self) -> None:
        super().setUp()
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.room = Path(room.name)

    def refused(self, path: Path, *words: str) -> None:
        """Check that the node does not start and says why."""
        node = self.room / "node"
        done = run("run", str(node))
        self.assertEqual(done.code, 1, (words, done))
        self.assertNotIn("Traceback", done.errors)
        self.assertTrue(done.errors.startswith("Error: "), done.errors)
        for word in (str(path), *words):
            self.assertIn(word, done.errors)

    def test_yaml(self) -> None:
        """Files that are no YAML, or something else than what belongs there."""
        node = write_node(self.room / "node", "")
        furl = f"pb://{_TUBID}@tcp:127.0.0.1:1"
        for name, text, words in (
            ("introducers.yaml", "introducers: {\n", ["line 2"]),
            ("introducers.yaml", "\x00", ["cannot be read"]),
            ("introducers.yaml", "- a\n", ["introducers:"]),
            ("introducers.yaml", "introducers:\n  a: b\n", ["introducers: a", "furl"]),
            ("introducers.yaml", "introducers:\n  a:\n    furl: x\n", ["a: furl", "pb://"]),
            ("introducers.yaml", f"introducers:\n  a:\n    furl: {furl}\n", ["a: furl"]),
            (
                "introducers.yaml",
                f"introducers:\n  ../a:\n    furl: {furl}/x\n",
                ["../a"],
            ),
            ("servers.yaml", "storage: [\n", ["line 2"]),
            ("servers.yaml", "storage:\n  a: b\n", ["storage: a", "ann"]),
            ("servers.yaml", "storage:\n  a:\n    ann: {}\n", ["storage: a", "FURL"]),
            (
                "servers.yaml",
                f"storage:\n  a:\n    ann:\n      anonymous-storage-FURL: {furl}\n",
                ["storage: a", "pb://"],
            ),
            (
                "servers.yaml",
                "storage:\n  a:\n    ann:\n"
                f"      anonymous-storage-FURL: {furl}/x\n"
                "      permutation-seed-base32: '!'\n",
                ["storage: a"],
            ),
        ):
            path = node.directory / "private" / name
            path.write_text(text)
            self.refused(path, *words)
            path.unlink()

    def test_config(self) -> None:
        """Values in tahoe.cfg that cannot be."""
        node = write_node(self.room / "node", "")
        config = node.directory / "tahoe.cfg"
        closed = "[storage]\nenabled = false\n"
        for text, words in (
            ("[node\n", ["cannot be read"]),
            (f"[client]\nintroducer.furl = pb://x\n{closed}", ["[client] introducer.furl"]),
            (f"{_listening('nonsense:1')}{closed}", ["[node] tub.port"]),
            (f"{_listening('tcp')}{closed}", ["[node] tub.port"]),
            (f"{_listening('tcp:x')}{closed}", ["[node] tub.port"]),
            ("[storage]\nenabled = perhaps\n", ["[storage] enabled"]),
            ("[node]\ntub.port = disabled\n[storage]\nenabled = true\n", ["tub.port"]),
        ):
            config.write_text(text)
            self.refused(config, *words)

    def test_own_files(self) -> None:
        """Files that the node wrote itself and that were damaged since."""
        [port] = free_ports(1)
        node = write_node(self.room / "node", "", port, storage=True, web=False)
        for name, text in (
            ("private/node.privkey", "priv-v0-aaaa\n"),
            ("private/secret", "\n"),
            ("private/node.pem", "nothing\n"),
            ("private/storage.furl", "nothing\n"),
            ("permutation-seed", "!\n"),
        ):
            path = node.directory / name
            before = path.read_bytes() if path.exists() else None
            path.write_text(text)
            self.refused(path)
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)

    def test_port_taken(self) -> None:
        """A port of another program is named."""
        port = _Shared.grid.introducer.port
        write_node(self.room / "node", "", port, storage=True, web=False)
        self.refused(Path(f"tcp:{port}"), "tub.port")
