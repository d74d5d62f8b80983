"""Every kind of path at both ends of ``truckee put`` and ``truckee get``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests import warm
from tests.processes import GridProcess, eventually, opened, truckee
from truckee.cli import main

DATA = bytes(range(256)) * 800  # several pipe buffers
TIME = 60.0  # seconds in which a command ends


_top = tempfile.TemporaryDirectory()
_grid = GridProcess(Path(_top.name) / "node")
_cap: list[str] = []  # of DATA


def setUpModule() -> None:
    """Start one grid for all, and store DATA in it."""
    GridProcess.create(_grid.directory, needed=1, happy=1, total=1, storage_dirs=1)
    _grid.start()
    done = warm.run(
        truckee("put", "-u", _grid.url),
        input=DATA,
        capture_output=True,
        check=True,
        timeout=TIME,
    )
    _cap.append(done.stdout.decode().strip())


def tearDownModule() -> None:
    """Stop it."""
    _grid.stop()
    _top.cleanup()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp(dir=_top.name))

    @property
    def cap(self) -> str:
        """Return the cap of DATA."""
        return _cap[0]

    @staticmethod
    def command(name: str, *arguments: str) -> list[str]:
        """Return a command line for this grid."""
        return truckee(name, "-u", _grid.url, *arguments)

    def do(self, name: str, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """Run a command that ends with *code*; return what it said, or printed."""
        done = warm.run(
            self.command(name, *arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=TIME,
            cwd=cwd or self.place,
        )
        told = done.stderr.decode()
        self.assertEqual(done.returncode, code, told)
        self.assertNotIn("Traceback", told)
        self.assertNotIn("Errno", told)
        if code == 1:
            self.assertEqual(len(told.splitlines()), 1, told)
        return told if code else done.stdout.decode().strip()

    def refused(self, name: str, *arguments: str) -> str:
        """Run a command that ends before it talks to a gateway; return its sentence."""
        before = Path.cwd()
        os.chdir(self.place)
        try:
            done = CliRunner().invoke(main, self.command(name, *arguments)[3:])
        finally:
            os.chdir(before)
        self.assertEqual(done.exit_code, 1, done.output)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertNotIn("Errno", done.stderr)
        return done.stderr

    def read_back(self, cap: str) -> bytes:
        """Return the content of *cap*."""
        done = warm.run(
            self.command("get", cap), capture_output=True, check=True, timeout=TIME
        )
        return done.stdout


@contextlib.contextmanager
def in_thread(work: threading.Thread) -> Iterator[None]:
    """Run *work* beside the block, and wait for it at the end."""
    work.start()
    yield
    work.join(TIME)
    assert not work.is_alive()


class GetTests(_Case):
    def get(self, name: str, code: int = 0) -> str:
        """Fetch DATA into *name*."""
        return self.do("get", "-q", self.cap, name, code=code)

    def refuses(self, name: str) -> str:
        """Try to fetch into *name*, where nothing can be."""
        return self.refused("get", self.cap, name)

    def left(self) -> list[str]:
        """Return the names in our directory."""
        return sorted(os.listdir(self.place))

    def test_new_and_replaced(self) -> None:
        """A file appears under its name, or replaces another and keeps its mode."""
        self.get("new")
        old = self.place / "old"
        old.write_bytes(b"old")
        old.chmod(0o640)
        self.get("old")
        self.assertEqual(old.read_bytes(), DATA)
        self.assertEqual(stat.S_IMODE(old.stat().st_mode), 0o640)
        self.assertEqual(self.left(), ["new", "old"])

    def test_device(self) -> None:
        """A device is written into, and stays a device."""
        if os.getuid():
            raise SkipTest("making a device takes root")
        device = self.place / "null"
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        self.get("null")
        self.assertTrue(stat.S_ISCHR(device.stat().st_mode))
        self.assertEqual(self.left(), ["null"])

    def test_full_device(self) -> None:
        """A device that takes nothing is an error of its own."""
        self.assertIn("No space left", self.get("/dev/full", 1))
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/full").st_mode))

    def test_fifo(self) -> None:
        """The reader of a FIFO gets the bytes, however slowly it reads."""
        fifo = self.place / "fifo"
        os.mkfifo(fifo)
        got: list[bytes] = []
        with in_thread(threading.Thread(target=lambda: got.append(fifo.read_bytes()))):
            self.get("fifo")
        self.assertEqual(got, [DATA])
        self.assertTrue(stat.S_ISFIFO(fifo.stat().st_mode))

    def test_fifo_without_reader(self) -> None:
        """A Ctrl-C is heard while a FIFO has no reader."""
        self._interrupted(lambda process: _is_opening(process, self.place / "fifo"))

    def test_fifo_not_read(self) -> None:
        """A Ctrl-C is heard while the reader of a FIFO reads nothing."""
        os.mkfifo(self.place / "fifo")
        reader = os.open(self.place / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self._interrupted(lambda _: _unread(reader) >= 60_000)

    def _interrupted(self, ready: Callable[[int], bool]) -> None:
        fifo = self.place / "fifo"
        if not fifo.exists():
            os.mkfifo(fifo)
        get = warm.start(
            self.command("get", "-q", self.cap, str(fifo)), stderr=subprocess.PIPE
        )
        eventually(lambda: ready(get.pid), TIME)
        get.send_signal(signal.SIGINT)
        told = get.communicate(timeout=TIME)[1]
        self.assertEqual((get.returncode, told), (130, b""))

    def test_links(self) -> None:
        """A link stays a link, and the file that it names is made or replaced."""
        (self.place / "there").write_bytes(b"old")
        for link, target in (("link", "there"), ("dangling", "made")):
            (self.place / link).symlink_to(target)
            self.get(link)
            self.assertTrue((self.place / link).is_symlink())
            self.assertEqual((self.place / target).read_bytes(), DATA)
        self.assertEqual(self.left(), ["dangling", "link", "made", "there"])

    def test_loop(self) -> None:
        """A link to itself is said to be one."""
        (self.place / "loop").symlink_to("loop")
        self.assertIn("symbolic link", self.refuses("loop"))

    def test_directories(self) -> None:
        """A directory, or a name in none, is refused before anything is fetched."""
        (self.place / "d").mkdir()
        for name in ("d", "d/", ".", "..", "/"):
            self.assertIn("is a directory", self.refuses(name))
        self.assertIn("there is no directory", self.refuses("nowhere/x"))
        self.assertIn("no directory", self.refuses("x/"))
        self.assertEqual(self.left(), ["d"])

    def test_socket(self) -> None:
        """A Unix socket is neither replaced nor written into; it is named."""
        self.addCleanup(make_socket(self.place / "socket").close)
        told = self.do("get", "-q", self.cap, "socket", code=1)
        self.assertIn("socket: No such device or address", told)
        self.assertTrue(stat.S_ISSOCK((self.place / "socket").stat().st_mode))
        self.assertEqual(self.left(), ["socket"])

    def test_longest_name(self) -> None:
        """A name of the longest length that the file system takes is taken."""
        for name in ("n" * 255, "ö" * 127):
            self.get(name)
            self.assertEqual((self.place / name).read_bytes(), DATA)
        self.assertIn("too long", self.refuses("n" * 256))
        self.assertEqual(len(self.left()), 2)

    def test_part_that_is_no_file(self) -> None:
        """What somebody put in the place of the unfinished file is not written to."""
        victim = self.place / "victim"
        victim.write_bytes(b"mine")
        (self.place / "x.part").symlink_to("victim")
        self.refuses("x")
        self.assertEqual(victim.read_bytes(), b"mine")
        os.mkfifo(self.place / "y.part")
        self.refuses("y")

    def test_two_at_once(self) -> None:
        """A file that another command writes is not written by a second one."""
        with (self.place / "x.part").open("wb") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            self.assertIn("another process", self.refuses("x"))

    def test_nothing_left(self) -> None:
        """A file that cannot be found leaves no empty file."""
        gone = "URI:CHK:" + "a" * 26 + ":" + "a" * 52 + ":2:3:1000"
        self.do("get", gone, "x", code=4)
        self.assertEqual(self.left(), [])

    def test_empty(self) -> None:
        """A file of no bytes appears, too."""
        self.do("get", "URI:LIT:", "x")
        self.assertEqual((self.place / "x").read_bytes(), b"")
        self.assertEqual(self.left(), ["x"])

    def test_closed_pipe(self) -> None:
        """A reader that has enough ends the command without a word."""
        get = warm.start(
            self.command("get", self.cap), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert get.stdout is not None and get.stderr is not None
        get.stdout.read(1)
        get.stdout.close()
        self.assertEqual(get.stderr.read(), b"")
        get.wait(TIME)
        get.stderr.close()


def make_socket(path: Path) -> socket.socket:
    """Return what listens at a Unix socket; the path itself may be longer than one's."""
    made = socket.socket(socket.AF_UNIX)
    place = os.open(path.parent, os.O_RDONLY)
    try:
        made.bind(f"/proc/self/fd/{place}/{path.name}")
    finally:
        os.close(place)
    return made


def _is_opening(process: int, path: Path) -> bool:
    """Tell whether a process waits in an open(2); Linux only."""
    try:
        number = Path(f"/proc/{process}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        raise SkipTest(f"cannot see what a process waits for in {path}") from None
    return number in ("257", "56")  # openat on x86-64, and on most others


def _unread(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    answer = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


def _read_position(process: int, path: Path) -> int:
    """Return how much of *path* a process has read; 0 before it opened it."""
    with contextlib.suppress(FileNotFoundError):
        for each, name in opened(process):
            if name == str(path):
                return int(
                    Path(f"/proc/{process}/fdinfo/{each.name}").read_text().split()[1]
                )
    return 0


class PutTests(_Case):
    def stored(self, name: str) -> bytes:
        """Store *name*, and return what comes back."""
        return self.read_back(self.do("put", "-q", name))

    def test_proc(self) -> None:
        """A file whose size is said to be 0 is read all the same."""
        self.assertEqual(self.stored("/proc/version"), Path("/proc/version").read_bytes())
        # This one differs at each look.
        self.assertEqual(self.stored("/proc/cpuinfo")[:9], b"processor")

    def test_empty(self) -> None:
        """A file of no bytes is stored, and one that says so of itself, too."""
        (self.place / "empty").touch()
        for name in ("empty", "/proc/self/oom_score_adj"):
            self.assertEqual(len(self.stored(name)), 0 if name == "empty" else 2, name)

    def test_devices(self) -> None:
        """A device is read to its end."""
        self.assertEqual(self.stored("/dev/null"), b"")

    def test_fifo(self) -> None:
        """A FIFO is read to its end."""
        fifo = self.place / "fifo"
        os.mkfifo(fifo)
        with in_thread(threading.Thread(target=lambda: fifo.write_bytes(DATA))):
            self.assertEqual(self.stored("fifo"), DATA)

    def test_fifo_resumed(self) -> None:
        """What cannot be read again is not begun with --resume."""
        os.mkfifo(self.place / "fifo")
        opened = os.open(self.place / "fifo", os.O_RDWR)
        try:
            self.assertIn("regular file", self.do("put", "--resume", "fifo", code=2))
        finally:
            os.close(opened)

    def test_links_and_names(self) -> None:
        """Links are followed; any name that the system takes is taken."""
        (self.place / "file").write_bytes(DATA)
        (self.place / "link").symlink_to("file")
        self.assertEqual(self.stored("link"), DATA)
        odd = os.fsdecode(b"caf\xe9 \n " + b"n" * 240)
        (self.place / odd).write_bytes(b"odd")
        self.assertEqual(self.stored(odd), b"odd")

    def test_sparse(self) -> None:
        """Holes are zeros."""
        with (self.place / "sparse").open("wb") as file:
            file.seek(3 << 20)
            file.write(b"end")
        self.assertEqual(self.stored("sparse"), bytes(3 << 20) + b"end")

    def test_refused(self) -> None:
        """What cannot be read is named, with what to do."""
        (self.place / "loop").symlink_to("loop")
        (self.place / "d").mkdir()
        listening = make_socket(self.place / "socket")
        self.addCleanup(listening.close)
        for name, words in (
            ("d", "tar c d"),
            (".", "directory"),
            ("nowhere", "nowhere: No such file"),
            ("n" * 256, "too long"),
            ("loop", "symbolic link"),
            ("d/x/y", "No such file"),
            ("socket", "No such device or address"),
        ):
            self.assertIn(words, self.refused("put", name), name)

    def test_grown(self) -> None:
        """A file that grows while it is read does not end as if all were well."""
        self._changed(1, "changed while it was read")

    def test_shrunk(self) -> None:
        """A file that becomes shorter while it is read is said to have."""
        self._changed(-1, "became shorter")

    def test_vanished(self) -> None:
        """A file that is removed while it is read is stored as it was."""
        path, put = self._reading()
        path.unlink()
        put.send_signal(signal.SIGCONT)
        cap, told = put.communicate(timeout=TIME)
        self.assertEqual((put.returncode, told), (0, b""))
        self.assertEqual(len(self.read_back(cap.decode().strip())), 48 << 20)

    def _changed(self, by: int, words: str) -> None:
        path, put = self._reading()
        os.truncate(path, (48 << 20) + 5 if by > 0 else 0)
        put.send_signal(signal.SIGCONT)
        told = put.communicate(timeout=TIME)[1].decode()
        self.assertIn(words, told)
        self.assertEqual(put.returncode, 1)

    def _reading(self) -> tuple[Path, subprocess.Popen[bytes]]:
        """Return a file, and what reads it and was stopped before its end."""
        path = self.place / "file"
        size = 48 << 20
        path.write_bytes(bytes(size))
        put = warm.start(
            self.command("put", "-q", str(path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        eventually(lambda: _read_position(put.pid, path), TIME)
        put.send_signal(signal.SIGSTOP)
        if _read_position(put.pid, path) >= size:
            put.kill()
            raise SkipTest("this machine reads faster than it can be stopped")
        return path, put


class AddressTests(_Case):
    def test_bad_addresses(self) -> None:
        """What is no address is said to be none, and what one looks like."""
        for url in (
            "127.0.0.1:3456",
            "ftp://127.0.0.1/",
            "http://",
            "http://[::1",
            "http://127.0.0.1:port/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:0/",
            "http://a b/",
            "http://ö/",
            "http://user@127.0.0.1/",
            "x",
        ):
            done = CliRunner().invoke(main, ["get", "-u", url, self.cap])
            self.assertEqual(done.exit_code, 1, url)
            self.assertIn("http://127.0.0.1:3456/", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_literal_addresses(self) -> None:
        """An IPv6 address is one; where nothing listens the gateway does not answer."""
        done = warm.run(
            truckee("get", "-u", "http://[::1]:1/", self.cap),
            capture_output=True,
            check=False,
            timeout=TIME,
        )
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"does not answer", done.stderr)

    def test_no_home(self) -> None:
        """Without HOME there is a sentence, too."""
        surroundings = {k: v for k, v in os.environ.items() if k != "HOME"}
        done = warm.run(
            truckee("put"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIME,
            cwd=self.place,
            env=surroundings,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"--node-url", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
