"""Uploads to disks that are full, or become full: small file systems in memory."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock_grid import (
    NodeProcess,
    Shape,
    reaches,
    write_node,
)
from tests.ports import free_ports
from tests.processes import GridProcess, Reply, Wire, ask, curl, eventually, running

MIB = 1 << 20
# Of each small file system; a file of three times as much does not fit at 2-of-3.
ROOM = 8 * MIB


def small_disk(path: Path, cleanup: ExitStack, size: int = ROOM) -> None:
    """Have a file system of *size* bytes at *path*, with what is in there moved to it."""
    if os.geteuid() != 0:
        raise SkipTest("mounting a small file system takes root")
    inside = {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(path)]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode != 0:
        raise SkipTest(f"cannot mount: {done.stderr.decode().strip()}")
    cleanup.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
    for name, data in inside.items():
        (path / name).write_bytes(data)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.cleanup = ExitStack()
        self.addCleanup(self.cleanup.close)
        self.room = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))

    def grid_on(self, *small: str, happy: int) -> GridProcess:
        """Return a running 2-of-3 grid whose directories *small* are small file systems."""
        grid = GridProcess.create(
            self.room / "node", needed=2, happy=happy, total=3, storage_dirs=3
        )
        for name in small:
            path = grid.directory / name
            path.mkdir(exist_ok=True)
            small_disk(path, self.cleanup)
        self.cleanup.enter_context(running(grid))
        self.free = {name: self.free_space(grid, name) for name in small}
        return grid

    def free_space(self, grid: GridProcess, name: str) -> int:
        """Return the bytes that are free on a file system."""
        status = os.statvfs(grid.directory / name)
        return status.f_bfree * status.f_frsize

    def check_given_back(self, grid: GridProcess) -> None:
        """Check that nothing of an upload is left, and no space taken."""
        eventually(lambda: not grid.incoming())
        self.assertEqual(grid.shares(), [])
        for name, free in self.free.items():
            self.assertLessEqual(free - self.free_space(grid, name), 16384, name)
        self.assertNotIn("Traceback", grid.log())

    def check_full(self, reply: Reply) -> None:
        """Check that the answer says that there is no space, in one sentence."""
        self.assertEqual(reply.status, 507, reply.body)
        self.assertRegex(reply.text, r"(?i)space|full")
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
        self.assertNotIn("<", reply.text)

    def put(self, grid: GridProcess, data: bytes, *options: str, query: str = "") -> Reply:
        return ask("-T", "-", *options, f"{grid.url}uri{query}", data=data)


ALL = ("storage/0", "storage/1", "storage/2")


class AllFullTests(_Case):
    def test_announced_too_large(self) -> None:
        """A length for which there is no room is refused before the body: 507."""
        grid = self.grid_on(*ALL, happy=2)
        with Wire(grid.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {3 * ROOM}", "Expect: 100-continue")
            status, headers = wire.head()
            self.assertEqual(status, 507)
            body = wire.read(int(headers["content-length"]))
            self.check_full(Reply(status, headers, body))
        self.check_given_back(grid)

    def test_streamed_too_large(self) -> None:
        """A body that outgrows the disks is answered with 507, and its space comes back."""
        grid = self.grid_on(*ALL, happy=2)
        with Wire(grid.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            data = random.Random(1).randbytes(MIB)
            try:
                for _ in range(3 * ROOM // MIB):
                    wire.chunk(data)
            except ConnectionError:
                pass  # the answer came before the end
            self.check_full(wire.reply())
        self.check_given_back(grid)

    def test_form_too_large(self) -> None:
        """The same holds for a form."""
        grid = self.grid_on(*ALL, happy=2)
        data = random.Random(1).randbytes(3 * ROOM)
        self.check_full(ask("--form", "file=@-", f"{grid.url}uri?t=upload", data=data))
        self.check_given_back(grid)

    def test_convergent_too_large(self) -> None:
        """A convergent file has its length when it is placed: 507 after the first pass."""
        grid = self.grid_on(*ALL, happy=2)
        data = random.Random(1).randbytes(3 * ROOM)
        self.check_full(self.put(grid, data, query="?key=CHK"))
        self.check_given_back(grid)

    def test_full_then_not(self) -> None:
        """After a refusal a file that fits is stored, and the node serves on."""
        grid = self.grid_on(*ALL, happy=2)
        data = random.Random(1).randbytes(ROOM)
        self.check_full(self.put(grid, 3 * data))
        small = data[: 3 * MIB]
        reply = self.put(grid, small)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(curl(f"{grid.url}uri/{reply.text}"), small)

    def test_promised_space(self) -> None:
        """What one upload was promised is not given to another one."""
        grid = self.grid_on(*ALL, happy=2)
        size = ROOM  # shares of half a disk
        with Wire(grid.url) as first, Wire(grid.url) as second, Wire(grid.url) as third:
            for wire in (first, second, third):
                wire.request("PUT /uri", f"Content-Length: {size}", "Expect: 100-continue")
                status, _headers = wire.head()
                if wire is first:
                    self.assertEqual(status, 100)
            self.assertEqual(status, 507)
            data = random.Random(2).randbytes(size)
            first.send(data)
            reply = first.reply()
        self.assertEqual(reply.status, 200)
        self.assertEqual(curl(f"{grid.url}uri/{reply.text}"), data)


class OneFullTests(_Case):
    def check_two_shares(self, grid: GridProcess, reply: Reply, data: bytes) -> None:
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(curl(f"{grid.url}uri/{reply.text}"), data)
        self.assertEqual(grid.incoming(), [])

    def test_one_of_three(self) -> None:
        """With one disk of three full and two demanded, uploads of every kind succeed."""
        grid = self.grid_on("storage/1", happy=2)
        data = random.Random(3).randbytes(3 * ROOM)
        for query in ("", "?key=CHK"):
            self.check_two_shares(grid, self.put(grid, data, query=query), data)
        announced = ["--request", "PUT", "--data-binary", "@-", f"{grid.url}uri"]
        self.check_two_shares(grid, ask(*announced, data=data), data)
        taken = self.free["storage/1"] - self.free_space(grid, "storage/1")
        self.assertLessEqual(taken, 65536)

    def test_all_demanded(self) -> None:
        """With one disk of three full and three demanded, an upload is refused: 507."""
        grid = self.grid_on("storage/1", happy=3)
        data = random.Random(3).randbytes(3 * ROOM)
        reply = self.put(grid, data)
        self.check_full(reply)
        self.check_given_back(grid)


class OtherMachineTests(_Case):
    """A storage server over foolscap, which is asked for room before a file is sent."""

    def gateway(self, config: str = "") -> NodeProcess:
        """Return a running gateway whose one server has a small disk."""
        [port] = free_ports(1)
        server = write_node(self.room / "server", "", port, storage=True, web=False)
        storage = server.directory / "storage"
        storage.mkdir()
        small_disk(storage, self.cleanup)
        gateway = write_node(self.room / "gateway", "", shape=Shape(1, 1, 1))
        (gateway.directory / "private" / "servers.yaml").write_text(
            f"storage:\n  one:\n    ann:\n      anonymous-storage-FURL: {server.furl}\n"
        )
        with (gateway.directory / "tahoe.cfg").open("a") as file:
            file.write(config)
        for node in (server, gateway):
            self.cleanup.callback(node.stop)
            node.spawn("ours")
        gateway.wait_until(partial(reaches, gateway, 1))
        return gateway

    def test_bound(self) -> None:
        """Of unknown length it fits if its bytes do, whatever the bound is."""
        gateway = self.gateway()
        data = random.Random(6).randbytes(3 * MIB)
        url, form = f"{gateway.url}uri", ("--form", "file=@-")
        chunked = ("--header", "Transfer-Encoding: chunked", url)
        for arguments in (("-T", "-", url), (*form, *chunked), (*form, url)):
            reply = ask(*arguments, data=data)
            self.assertEqual(reply.status, 200, reply.body)
            self.assertTrue(gateway.get(reply.text) == data)
            # One client is promised half of what is free, so the next needs the room.
            for share in (self.room / "server" / "storage" / "shares").glob("??/*/*"):
                share.unlink()

    def test_too_long(self) -> None:
        """One that does not fit after all is refused, and nothing of it stays."""
        gateway = self.gateway()
        self.check_full(ask("-T", "-", f"{gateway.url}uri", data=bytes(2 * ROOM)))
        storage = self.room / "server" / "storage"
        eventually(lambda: not [*storage.glob("shares/??/*/*")])
        eventually(lambda: not [*storage.glob("incomplete/??/*/*")])

    def test_form_above_the_bound(self) -> None:
        """A form with a length may be larger than the usual bound."""
        gateway = self.gateway("[client]\nupload.max-unknown-size = 2M\n")
        data = random.Random(7).randbytes(3 * MIB)
        url, form = f"{gateway.url}uri", ("--form", "file=@-")
        chunked = ask(*form, "--header", "Transfer-Encoding: chunked", url, data=data)
        self.assertEqual(chunked.status, 413, chunked.body)
        self.assertTrue(gateway.get(ask(*form, url, data=data).text) == data)


class NodeDiskTests(_Case):
    def test_spool(self) -> None:
        """A convergent file for whose spool there is no room is answered with 507."""
        grid = self.grid_on("tmp", happy=2)
        data = random.Random(4).randbytes(3 * ROOM)
        self.check_full(self.put(grid, data, query="?key=CHK"))
        self.check_given_back(grid)

    def test_journal(self) -> None:
        """A node that cannot write its journal answers with 507 and stores nothing."""
        grid = self.grid_on("storage/journal", happy=2)
        filler = grid.directory / "storage" / "journal" / "filler.new"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass
            self.check_full(self.put(grid, random.Random(5).randbytes(MIB)))
        filler.unlink()
        self.check_given_back(grid)
