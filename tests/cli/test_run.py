"""``truckee run`` and ``twistd truckee``, as processes of their own."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.cli.making import start_here
from tests.processes import (
    START_TIME,
    Done,
    GridProcess,
    Reply,
    Wire,
    ask,
    curl,
    eventually,
    python_path,
    run,
    running,
    truckee,
)

MIB = 1 << 20
PLUGIN = Path(__file__).parents[2] / "twisted_plugins" / "truckee_plugin.py"


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.room = Path(room.name)
        self.node = self.room / "node"

    def create(self, web_port: str = "tcp:0:interface=127.0.0.1") -> GridProcess:
        return GridProcess.create(
            self.node, needed=2, happy=2, total=3, storage_dirs=3, web_port=web_port
        )

    def started(self, grid: GridProcess) -> GridProcess:
        """Return *grid*, running; it ends with the test."""
        grid.start()
        self.addCleanup(grid.process.wait, 10)
        self.addCleanup(grid.process.kill)
        return grid

    def check_refused(self, done: Done, *texts: str) -> None:
        """Check that a command gave one sentence and nothing else."""
        self.assertEqual(done.code, 1, done.errors)
        for text in texts:
            self.assertIn(text, done.errors)
        lines = done.errors.splitlines()
        self.assertEqual(len([line for line in lines if line.startswith("Error: ")]), 1)
        self.assertNotIn("Traceback", done.errors)
        self.assertNotIn("is running", done.output)

    def replace(self, old: str, new: str) -> None:
        """Change what is in tahoe.cfg."""
        config = self.node / "tahoe.cfg"
        text = config.read_text("utf-8")
        self.assertIn(old, text)
        config.write_text(text.replace(old, new), "utf-8")


@contextlib.contextmanager
def taken(port: int) -> Iterator[int]:
    """Have *port* of loopback taken, by us or by whoever has it already."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()
            port = int(other.getsockname()[1])
        yield port


class DirectoryTests(_Case):
    def test_default_grid(self) -> None:
        """Without a name ./truckee-node is made, once, and used from then on."""
        self.node = self.room / "truckee-node"
        with taken(3456):
            # So that it ends by itself; the directory is made before that.
            first = run("run", cwd=self.room)
            self.check_refused(first, "3456")
            self.assertIn(f"Made a 2-of-3 grid in {self.node}", first.output)
            secret = (self.node / "private" / "secret").read_bytes()
            second = run("run", cwd=self.room)
            self.check_refused(second, "3456")
        self.assertNotIn("Made", second.output)
        self.assertEqual((self.node / "private" / "secret").read_bytes(), secret)

    def test_named_directory(self) -> None:
        """A directory that was named is never made: a wrong name is an error."""
        for arguments in ((str(self.node),), ("-C", str(self.node)), ("--basedir", "node")):
            done = run("run", *arguments, cwd=self.room)
            self.check_refused(done, f"no node in {self.node}", "create-grid")
            self.assertEqual(list(self.room.iterdir()), [])

    def test_no_node(self) -> None:
        """A directory, or a file, that is no node is left alone."""
        self.node = self.room / "truckee-node"
        self.node.mkdir()
        (self.node / "letter").write_text("dear")
        self.check_refused(run("run", cwd=self.room), "no node in")
        self.assertEqual([path.name for path in self.node.iterdir()], ["letter"])
        self.check_refused(run("run", str(self.node / "letter")), "no node in")

    def test_two_names(self) -> None:
        """Two different directories are one too many."""
        done = run("run", "-C", str(self.room / "a"), str(self.room / "b"))
        self.assertEqual(done.code, 2)
        self.assertIn("--basedir", done.errors)
        self.assertNotIn("Traceback", done.errors)

    def test_second_process(self) -> None:
        """A directory in use is refused with the process that uses it, which goes on."""
        grid = self.started(self.create())
        done = run("run", str(self.node))
        self.check_refused(done, f"pid {grid.process.pid}", "is running the node")
        self.assertEqual(ask(grid.url).status, 200)
        self.assertEqual(grid.stop(), 0)
        with running(grid):
            self.assertEqual(ask(grid.url).status, 200)

    def test_config_is_the_operators(self) -> None:
        """Running changes nothing in tahoe.cfg: no comment, no key that is not known."""
        grid = self.create()
        config = self.node / "tahoe.cfg"
        with config.open("a") as file:
            file.write("\n# mine\n[grid]\ncolour = 100% red\n[elsewhere]\nKey = %(x)s\n")
        before = config.read_bytes()
        with running(grid):
            self.assertEqual(ask(grid.url).status, 200)
        self.assertEqual(config.read_bytes(), before)

    def test_modes(self) -> None:
        """With a umask that forbids nothing, private files are still their owner's."""
        grid = self.create()
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        with running(grid):
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
        private = self.node / "private"
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        for path in private.iterdir():
            mode = 0o700 if path.is_dir() else 0o600
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode, path.name)


class RefusalTests(_Case):
    def test_port_taken(self) -> None:
        """A port that is taken is named, with what to do."""
        with taken(0) as port:
            self.create(f"tcp:{port}:interface=127.0.0.1")
            done = run("run", str(self.node))
            self.check_refused(done, str(port), "in use", "web.port")
        self.assertFalse((self.node / "node.url").exists())

    def test_wrong_port(self) -> None:
        """An endpoint that cannot be is named with its file and its key."""
        for port in ("nonsense:1", "tcp:x", "tcp:99999", "tcp:-1", "tcp", "tcp:0:inter=a"):
            shutil.rmtree(self.node, ignore_errors=True)
            self.create(port)
            done = run("run", str(self.node))
            self.check_refused(done, str(self.node / "tahoe.cfg"), "web.port")

    def test_wrong_config(self) -> None:
        """What is wrong in tahoe.cfg is named with the file and the key."""
        self.create()
        good = (self.node / "tahoe.cfg").read_text()
        for old, new, text in (
            ("nickname = truckee", "nickname = 5%", "[node] nickname"),
            ("shares.needed = 2", "shares.needed = two", "[client] shares.needed"),
            ("shares.needed = 2", "shares.needed = 4", "[client] shares"),
            ("reserved_space = 0", "reserved_space = lots", "[grid] reserved_space"),
            ("[node]", "[node", "cannot be read"),
            ("#upload.max-size = 1T", "upload.max-size = 1X", "upload.max-size"),
        ):
            self.replace(old, new)
            done = start_here(self.node)
            self.check_refused(done, str(self.node / "tahoe.cfg"), text)
            (self.node / "tahoe.cfg").write_text(good)
        (self.node / "tahoe.cfg").write_bytes(b"[node]\nnickname = \xff\n")
        self.check_refused(run("run", str(self.node)), "cannot be read")

    def test_secrets(self) -> None:
        """A secret that is missing or damaged is never replaced: the node does not run."""
        self.create()
        for name in ("secret", "convergence"):
            path = self.node / "private" / name
            good = path.read_bytes()
            for bad in (None, b"not base32!\n", b"\xff"):
                path.unlink()
                if bad is not None:
                    path.write_bytes(bad)
                self.check_refused(run("run", str(self.node)), str(path), "backup")
                self.assertEqual(path.exists(), bad is not None)
                path.write_bytes(good)

    def test_no_storage(self) -> None:
        """When all storage directories are missing the node runs, and says so."""
        grid = self.create()
        for number in range(3):
            (self.node / "storage" / str(number) / "server-id").unlink()
        with running(grid):
            self.assertIn("There is no storage directory", curl(grid.url).decode())
            self.assertIn("storage directory 2: opening", grid.log())
        for number in range(3):
            directory = self.node / "storage" / str(number)
            self.assertEqual(list(directory.iterdir()), [], "something was made there")


class StorageTests(_Case):
    def test_one_missing(self) -> None:
        """A storage directory that is not there is named, and the others serve."""
        grid = self.create()
        data = random.Random(1).randbytes(MIB)
        with running(grid):
            old = curl("-T", "-", f"{grid.url}uri", data=data).decode()
        identity = self.node / "storage" / "1" / "server-id"
        identity.rename(self.room / "server-id")
        with running(grid):
            self.assertIn(str(identity.parent), grid.log())
            self.assertIn("Mount its disk", grid.log())
            self.assertNotIn("Traceback", grid.log())
            self.assertEqual(curl(f"{grid.url}uri/{old}"), data)
            new = curl("-T", "-", f"{grid.url}uri", data=data).decode()
            self.assertEqual(curl(f"{grid.url}uri/{new}"), data)
        (self.room / "server-id").rename(identity)
        with running(grid):
            for cap in (old, new):
                self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)

    def test_damaged_identity(self) -> None:
        """A directory whose identity is damaged is treated as one that is not there."""
        grid = self.create()
        (self.node / "storage" / "1" / "server-id").write_text("mfrgg\n")
        (self.node / "storage" / "2" / "server-id").write_bytes(b"\xff\xff")
        with running(grid):
            self.assertIn("storage/1", grid.log())
            self.assertIn("storage/2", grid.log())
            self.assertNotIn("Traceback", grid.log())
            reply = ask("-T", "-", f"{grid.url}uri", data=bytes(1000))
            self.assertEqual(reply.status, 503, reply.body)

    def test_moved_directory(self) -> None:
        """A storage directory may be anywhere, and keeps its shares when it moves."""
        grid = self.create()
        data = random.Random(2).randbytes(MIB)
        with running(grid):
            cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
        for number in range(3):
            old = self.node / "storage" / str(number)
            new = self.room / f"disk{number} with blanks, ü"
            old.rename(new)
            self.replace(f"storage/{number}", str(new))
        with running(grid):
            self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)


class ServingTests(_Case):
    def test_greeting(self) -> None:
        """It tells how to put a file in and how to get it back."""
        grid = self.started(self.create())
        eventually(lambda: "Ctrl-C" in grid.log())
        self.assertIn(f"curl -T FILE {grid.url}uri\n", grid.log())
        self.assertIn(f"curl {grid.url}uri/CAP", grid.log())
        self.assertIn("any 2 of 3 shares on 3 storage directories", grid.log())

    def test_ports(self) -> None:
        """What is in node.url is an address that works."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for web_port, url in (
            (f"tcp:{port}:interface=127.0.0.1", f"http://127.0.0.1:{port}/"),
            ("tcp6:0:interface=\\:\\:1", "http://[::1]:"),
        ):
            shutil.rmtree(self.node, ignore_errors=True)
            grid = self.create(web_port)
            with running(grid):
                self.assertTrue(grid.url.startswith(url), grid.url)
                self.assertEqual(ask("--globoff", grid.url).status, 200)

    def test_exposed(self) -> None:
        """A bare number listens for other machines, and who starts the node is told so."""
        # In a network of its own nobody else can reach it.
        alone = ("unshare", "--net")
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
            raise SkipTest("needs unshare(1), and the right to use it")
        self.create("3490")
        told = self.room / "told"
        with told.open("wb") as output:
            process = warm.start(
                [*alone, *truckee("run", str(self.node))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.terminate)
        eventually(lambda: "\nWarning: " in told.read_text())
        for text in ("Warning: The web API", "truckee.node.build#warn] The web API"):
            self.assertIn(
                f"{text} listens on port 3490 of all addresses of this machine, so other "
                "machines may reach it",
                told.read_text(),
            )
        self.assertIn("web.port = tcp:3490:interface=127.0.0.1", told.read_text())

    def test_nickname(self) -> None:
        """A name with a percent sign is a name like any other."""
        grid = self.create()
        self.replace("nickname = truckee", "nickname = 100%% ü")
        with running(grid):
            self.assertEqual(ask(grid.url).status, 200)


class StopTests(_Case):
    def test_idle(self) -> None:
        """SIGTERM and SIGINT end an idle node at once, with 0, idle clients or not."""
        grid = self.create()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.started(grid)
            with Wire(grid.url) as idle:
                idle.request("GET /")
                idle.reply()
                begin = time.monotonic()
                grid.process.send_signal(number)
                self.assertEqual(grid.process.wait(10), 0)
                self.assertLess(time.monotonic() - begin, 3)
            self.assertNotIn("Traceback", grid.log())

    def test_busy(self) -> None:
        """
        Within 10 s it ends with 0 though a client neither sends on nor reads on, and
        nothing is left of the uploads.
        """
        with contextlib.ExitStack() as clients:
            grids = {}
            for number in (signal.SIGTERM, signal.SIGINT):
                self.node = self.room / f"node{number}"
                grid = grids[number] = self.started(self.create())
                self.make_busy(grid, clients)
            begin = time.monotonic()
            for number, grid in grids.items():
                grid.process.send_signal(number)
            for grid in grids.values():
                self.assertEqual(grid.process.wait(15), 0)
            self.assertLess(time.monotonic() - begin, 10)
        for grid in grids.values():
            self.assertEqual(grid.incoming(), [])
            self.assertEqual(len(grid.shares()), 3)
            journal = grid.directory / "storage" / "journal"
            self.assertEqual(list(journal.iterdir()), [])
            self.assertNotIn("Traceback", grid.log())

    def make_busy(self, grid: GridProcess, clients: contextlib.ExitStack) -> None:
        """Have clients that stop in the middle, one of each kind."""
        cap = curl("-T", "-", f"{grid.url}uri", data=bytes(32 * MIB)).decode()
        upload = clients.enter_context(Wire(grid.url))
        upload.request("PUT /uri", f"Content-Length: {8 * MIB}")
        upload.send(bytes(3 * MIB))
        spool = clients.enter_context(Wire(grid.url))
        spool.request("PUT /uri?key=CHK", "Transfer-Encoding: chunked")
        spool.chunk(bytes(3 * MIB))
        download = clients.enter_context(Wire(grid.url, receive_buffer=4096))
        download.request(f"GET /uri/{cap}")
        download.read(1000)
        eventually(grid.incoming)

    def test_requests_end(self) -> None:
        """What is in progress may end and is answered; nobody new is served."""
        grid = self.started(self.create())
        data = random.Random(3).randbytes(6 * MIB)
        cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
        replies: list[Reply] = []

        def read() -> None:
            with Wire(grid.url, receive_buffer=65536) as wire:
                wire.request(f"GET /uri/{cap}")
                status, headers = wire.head()
                reading.set()
                time.sleep(1)
                replies.append(Reply(status, headers, wire.read(len(data))))

        reading = threading.Event()
        reader = threading.Thread(target=read)
        reader.start()
        self.assertTrue(reading.wait(10))
        with Wire(grid.url) as upload:
            upload.request("PUT /uri", f"Content-Length: {len(data)}")
            upload.send(data[: 3 * MIB])
            eventually(grid.incoming)
            grid.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with self.assertRaises(ConnectionError), Wire(grid.url):
                pass
            upload.send(data[3 * MIB :])
            reply = upload.reply()
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["connection"], "close")
        self.assertEqual(grid.process.wait(10), 0)
        reader.join(10)
        self.assertTrue(replies[0].body == data)
        with running(grid):
            self.assertTrue(curl(f"{grid.url}uri/{reply.text}") == data)

    def test_twice(self) -> None:
        """A second signal changes nothing."""
        grid = self.started(self.create())
        with Wire(grid.url) as wire:
            wire.request("PUT /uri", f"Content-Length: {8 * MIB}")
            wire.send(bytes(3 * MIB))
            eventually(grid.incoming)
            grid.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            grid.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            wire.socket.close()
            self.assertEqual(grid.process.wait(10), 0)
        self.assertEqual(grid.incoming(), [])


class TwistdTests(_Case):
    """``twistd truckee``, with the plugin where Twisted looks for plugins."""

    def setUp(self) -> None:
        super().setUp()
        plugins = self.room / "path" / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        shutil.copy(PLUGIN, plugins)

    def twistd(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.room / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("twistd"),
                    "--nodaemon",
                    "--pidfile=",
                    *arguments,
                ],
                stdout=log,
                stderr=log,
                cwd=self.room,
                env=os.environ | {"PYTHONPATH": python_path(self.room / "path")},
            )
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.kill)
        return process

    def log(self) -> str:
        return (self.room / "log").read_text()

    def test_serves(self) -> None:
        """It runs the node in --basedir and ends in order on SIGTERM."""
        grid = self.create()
        process = self.twistd("truckee", "--basedir", str(self.node))
        url = self.node / "node.url"
        eventually(lambda: url.exists() and url.read_text().strip(), START_TIME)
        grid.url = url.read_text().strip()
        data = random.Random(4).randbytes(MIB)
        cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
        self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)
        self.check_refused(run("run", str(self.node)), f"pid {process.pid}")
        process.terminate()
        # Twisted ends by the signal itself once all is stopped.
        self.assertIn(process.wait(10), (0, -signal.SIGTERM))
        self.assertIn("Server Shut Down", self.log())
        self.assertEqual((self.node / "running.process.lock").read_bytes(), b"")
        self.assertNotIn("Traceback", self.log())
        self.assertNotIn(cap, self.log())

    def test_help(self) -> None:
        """It is among the commands of twistd."""
        process = self.twistd("--help")
        self.assertEqual(process.wait(120), 0)
        self.assertIn("truckee", self.log())

    def test_no_node(self) -> None:
        """Without a node it ends with an error, in one sentence."""
        process = self.twistd("truckee", "--basedir", str(self.node))
        self.assertEqual(process.wait(120), 1)
        self.assertIn("no node in", self.log())
        self.assertNotIn("Traceback", self.log())

    def test_cannot_start(self) -> None:
        """A node that cannot start ends its process with an error, and says why."""
        with taken(0) as port:
            self.create(f"tcp:{port}:interface=127.0.0.1")
            process = self.twistd("truckee", "--basedir", str(self.node))
            self.assertEqual(process.wait(120), 1)
        self.assertIn("in use", self.log())
        self.assertNotIn("Traceback", self.log())
        shutil.rmtree(self.node)
        with taken(0) as port:
            grid = self.create()
            with running(grid):
                curl("-d", "", f"{grid.url}upload/open?key=random")
            config = self.node / "tahoe.cfg"
            config.write_text(
                re.sub(
                    "web.port = .*",
                    f"web.port = tcp:{port}:interface=127.0.0.1",
                    config.read_text(),
                )
            )
            process = self.twistd("truckee", "--basedir", str(self.node))
            self.assertEqual(process.wait(120), 1)
        self.assertIn("in use", self.log())
        self.assertNotIn("Traceback", self.log())
        shutil.rmtree(self.node)
        grid = self.started(self.create())
        process = self.twistd("truckee", "--basedir", str(self.node))
        self.assertEqual(process.wait(120), 1)
        self.assertIn(f"pid {grid.process.pid}", self.log())
        self.assertNotIn("Traceback", self.log())
        self.assertEqual(ask(grid.url).status, 200)
