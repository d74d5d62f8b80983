"""Real nodes in processes of their own, for tests and benchmarks.  All on loopback."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field, frozen

from tests import warm

# A machine under load starts Python slowly.
START_TIME = 240.0  # seconds


# Directories with shares that are not finished.
IN_PROGRESS = {"incoming", "incomplete"}


def truckee(*arguments: str) -> list[str]:
    """
    Return the command line of the ``truckee`` that is installed for this Python.

    ``TRUCKEE_PYTHON`` names another one, so that benchmarks can compare two.
    """
    python = os.environ.get("TRUCKEE_PYTHON", sys.executable)
    return [python, "-m", "truckee", *arguments]


@define(eq=False)
class GridProcess:
    """``truckee run`` on a node directory."""

    directory: Path
    environment: dict[str, str] = field(factory=dict)  # beside that of the tests
    process: subprocess.Popen[bytes] = field(init=False)
    url: str = field(init=False)  # of the web API, with a slash at its end

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        needed: int = 3,
        happy: int = 7,
        total: int = 10,
        storage_dirs: int = 10,
        web_port: str = "tcp:0:interface=127.0.0.1",
        config: str = "",
    ) -> GridProcess:
        """Make a grid; *config* is added to the end of its ``tahoe.cfg``."""
        warm.run(
            truckee(
                "create-grid",
                f"--webport={web_port}",
                f"--storage-dirs={storage_dirs}",
                f"--shares-needed={needed}",
                f"--shares-happy={happy}",
                f"--shares-total={total}",
                str(directory),
            ),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with (directory / "tahoe.cfg").open("a") as file:
            # Tests run on small disks too.
            file.write("\n[grid]\nreserved_space = 0\n" + config)
        return cls(directory)

    def start(self) -> None:
        """Run it and wait until its web API listens."""
        (self.directory / "node.url").unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = warm.start(
                truckee("run", str(self.directory)),
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        deadline = time.monotonic() + START_TIME
        while not (self.directory / "node.url").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the node did not start:\n{self.log()}")
            time.sleep(0.02)
        while not (url := (self.directory / "node.url").read_text().strip()):
            time.sleep(0.01)
        self.url = url

    def stop(self) -> int:
        """Ask it to stop, as a service manager does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def kill(self) -> None:
        """Let it die at this very moment."""
        self.process.kill()
        self.process.wait(120)

    def log(self) -> str:
        """Return all it printed."""
        return (self.directory / "log").read_text(errors="replace")

    def memory(self) -> tuple[int, int]:
        """Return its resident memory now and at its peak, in bytes (Linux)."""
        return memory_of(self.process.pid)

    def cpu_time(self) -> float:
        """Return the processor seconds it has used (Linux)."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def shares(self) -> list[Path]:
        """Return the finished shares on its storage directories."""
        return [path for path in self._files() if not IN_PROGRESS & {*path.parts}]

    def incoming(self) -> list[Path]:
        """Return the shares that are being written."""
        return [path for path in self._files() if IN_PROGRESS & {*path.parts}]

    def _files(self) -> list[Path]:
        """Return all shares; directories that vanish on the way are no error."""
        return [
            Path(place) / name
            for kind in ("shares", "incomplete")
            for directory in self.directory.glob(f"storage/*/{kind}")
            for place, _directories, names in os.walk(directory)
            for name in names
        ]


def memory_of(process: int) -> tuple[int, int]:
    """Return the resident memory of a process now and at its peak, in bytes (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = dict(re.findall(r"(VmRSS|VmHWM):\s+([0-9]+) kB", status))
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024


def opened(process: int) -> list[tuple[Path, str]]:
    """Return what a process has open, as descriptors and what they are (Linux)."""
    found = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found.append((link, os.readlink(link)))
    return found


def python_path(*more: Path) -> str:
    """Return the PYTHONPATH of the tests, good in any directory, behind *more*."""
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join([*map(str, more), *map(os.path.abspath, given)])


@frozen
class Done:
    """A command that ended."""

    code: int
    output: str
    errors: str


def run(*arguments: str, cwd: Path | None = None, umask: int = -1) -> Done:
    """Return what ``truckee`` with these arguments did; it must end by itself."""
    done = warm.run(
        truckee(*arguments),
        check=False,
        capture_output=True,
        cwd=cwd,
        umask=umask,
        timeout=START_TIME,
        env=os.environ | {"PYTHONPATH": python_path()},
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@define(eq=False)
class SharedNode:
    """A node with these settings, for all tests of a module; it starts at the first one."""

    happy: int
    config: str = ""
    needed: int = 2
    total: int = 3  # shares, and storage directories
    _cleanup: ExitStack = field(factory=ExitStack, init=False)
    _grid: GridProcess | None = field(default=None, init=False)

    def __call__(self) -> GridProcess:
        """Return it, as it runs."""
        if self._grid is None:
            place = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
            grid = GridProcess.create(
                place / "node",
                needed=self.needed,
                happy=self.happy,
                total=self.total,
                storage_dirs=self.total,
                config=self.config,
            )
            self._grid = self._cleanup.enter_context(running(grid))
        return self._grid

    def close(self) -> None:
        """End it, if it was started."""
        self._grid = None
        self._cleanup.close()


@contextmanager
def running(grid: GridProcess) -> Iterator[GridProcess]:
    """Start *grid*; stop it at the end, whatever happens."""
    grid.start()
    try:
        yield grid
    finally:
        if grid.process.poll() is None:
            grid.stop()


def curl(*arguments: str, data: bytes | None = None) -> bytes:
    """Return what curl prints; an HTTP error is an error."""
    command: Sequence[str] = [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        *arguments,
    ]
    done = subprocess.run(command, input=data, check=False, stdout=subprocess.PIPE)
    if done.returncode:
        raise CurlError(done.returncode, command, done.stdout)
    return done.stdout


class CurlError(subprocess.CalledProcessError):
    """An HTTP error, with what the server said of it."""

    def __str__(self) -> str:
        return f"{super().__str__()} {self.output[:1000].decode('utf-8', 'replace')}"


@frozen
class Reply:
    """One response; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body, which is ASCII."""
        return self.body.decode("ascii")


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the headers in a response's head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


def ask(*arguments: str, data: bytes | None = None) -> Reply:
    """Return the last response curl gets, whatever its status."""
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "120"]
    done = subprocess.run(
        [*command, *arguments], check=False, input=data, capture_output=True
    )
    got = done.stdout
    if not got:
        raise ConnectionError(done.stderr.decode())
    head, _, body = got.partition(b"\r\n\r\n")
    while head.split()[1:2] == [b"100"]:
        head, _, body = body.partition(b"\r\n\r\n")
    return Reply(*parse_head(head), body)


class Wire:
    """A connection to a web API, byte by byte; a context manager that closes it."""

    def __init__(self, url: str, receive_buffer: int = 0, timeout: float = 30.0) -> None:
        address = urlsplit(url)
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((address.hostname or "", address.port or 80))
        self._held = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, first: str, *headers: str) -> None:
        """Send a head: the method and target, then headers."""
        lines = [f"{first} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def send(self, data: bytes) -> None:
        """Send *data*, as fast as it is taken."""
        self.socket.sendall(data)

    def chunk(self, data: bytes) -> None:
        """Send *data* as one chunk of a chunked body; empty is the end."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers of what comes next; 100 Continue counts."""
        while b"\r\n\r\n" not in self._held:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the answer broke off in its head")
            self._held += more
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return parse_head(head)

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer only at the end of the connection."""
        parts = bytearray(self._held)
        while len(parts) < size and (more := self.socket.recv(size - len(parts))):
            parts += more
        self._held = bytes(parts[size:])
        return bytes(parts[:size])

    def reply(self, head: bool = False) -> Reply:
        """Return the next final response, by its length; *head*: that of a HEAD."""
        status, headers = self.head()
        while status < 200:
            status, headers = self.head()
        size = 0 if head else int(headers.get("content-length", "0"))
        body = self.read(size)
        if len(body) < size:
            raise ConnectionError("the answer broke off")
        return Reply(status, headers, body)

    def silent(self, seconds: float) -> bool:
        """Return whether nothing at all comes in *seconds*."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self._held += (more := self.socket.recv(65536))
            return False if more else not self._held
        except TimeoutError:
            return not self._held
        finally:
            self.socket.settimeout(before)


def eventually(condition: Callable[[], object], seconds: float = 120.0) -> float:
    """Wait until *condition* is true, an error after *seconds*; return how long it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"this did not come true within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - begin
